// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {LotRecord, LotRules} from "../LotRules.sol";
import {ICertificateRegistry} from "../interfaces/ICertificateRegistry.sol";
import {IConsortium} from "../interfaces/IConsortium.sol";
import {RegistryBase} from "./RegistryBase.sol";

/// @title Lots: what a station may submit, for whom, and for how long
abstract contract Lots is RegistryBase {
    bytes32 private constant OPEN_LOT_TYPE = keccak256("OpenLot(bytes32 termsHash,uint256 nonce,uint64 deadline)");
    bytes32 private constant CLOSE_LOT_TYPE = keccak256("CloseLot(uint40 lot,uint64 deadline)");

    uint40 public override lotCount;

    /// @inheritdoc ICertificateRegistry
    function openLot(
        LotTerms calldata terms,
        address administrator,
        uint256 nonce,
        uint64 deadline,
        bytes calldata signature
    ) external returns (uint40 id) {
        _requireDeadline(deadline);
        _useNonce(administrator, nonce);
        if (terms.owner == 0 || CONSORTIUM.actingMember(administrator, IConsortium.Role.Administrator) != terms.owner) {
            revert RegistryNotAuthorised(administrator);
        }
        bytes32 termsHash = LotRules.hashTerms(terms);
        _requireSignature(administrator, keccak256(abi.encode(OPEN_LOT_TYPE, termsHash, nonce, deadline)), signature);
        id = ++lotCount;
        LotRules.open(_lots[id], CONSORTIUM, terms, id, administrator);
    }

    /// @inheritdoc ICertificateRegistry
    function closeLot(uint40 id, address administrator, uint64 deadline, bytes calldata signature) external {
        _requireDeadline(deadline);
        LotRecord storage closing = _lots[id];
        uint16 owner = closing.terms.owner;
        if (owner == 0) revert RegistryUnknownLot(id);
        if (_memberOf(administrator, false, true) != owner) revert RegistryNotAuthorised(administrator);
        _requireSignature(administrator, keccak256(abi.encode(CLOSE_LOT_TYPE, id, deadline)), signature);
        if (closing.closed) revert RegistryLotClosed(id);
        closing.closed = true;
        emit LotClosed(id, administrator);
    }

    /// @inheritdoc ICertificateRegistry
    function lot(uint40 id) external view returns (Lot memory) {
        LotRecord storage known = _lots[id];
        LotTerms storage terms = known.terms;
        bool closed = known.closed || (terms.owner != 0 && _hasOwnerChanged(known, CONSORTIUM.member(terms.owner)));
        return Lot(terms.owner, terms.profile, terms.maximum, known.used, terms.closesAt, closed);
    }

    /// @inheritdoc ICertificateRegistry
    function lotTerms(uint40 id) external view returns (LotTerms memory) {
        return _lots[id].terms;
    }
}
