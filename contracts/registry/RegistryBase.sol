// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {CertificateSlot} from "../CertificateSlot.sol";
import {KeyProof} from "../KeyProof.sol";
import {LotRecord} from "../LotRules.sol";
import {Nonces} from "../Nonces.sol";
import {TypedDomain} from "../TypedDomain.sol";
import {ICertificateRegistry} from "../interfaces/ICertificateRegistry.sol";
import {IConsortium} from "../interfaces/IConsortium.sol";

/// @notice What is kept of a batch, in five slots.
/// @param decidedAt The last time that an endorsement decided an entry: when all were, the batch was settled.
struct BatchRecord {
    bytes32 digest;
    uint16 stationMember;
    uint16 lotOwner;
    uint24 electorate;
    uint8 k;
    uint8 n;
    uint8 count;
    uint40 submittedAt;
    uint40 windowEnd;
    uint40 decidedAt;
    uint40 lot;
    uint256 present;
    uint256 accepted;
    uint256 rejected;
}

/// @title What all parts of the registry keep and ask
/// @dev Slots 0, 1 and 2 are read by proofs: frozen. So this contract comes first in the order of inheritance.
abstract contract RegistryBase is ICertificateRegistry, TypedDomain {
    using CertificateSlot for uint256;
    using Nonces for Nonces.Used;

    mapping(bytes32 certificate => uint256 slot) internal _certificates;
    mapping(uint40 id => BatchRecord) internal _batches;
    mapping(bytes32 spkiHash => uint256 block_) internal _keyBlocks;

    // Bit b is set when a blocked key's hash ends in the octet b: most submissions need not look at `_keyBlocks`.
    uint256 internal _keyBlockFilter;
    mapping(uint40 id => LotRecord) internal _lots;
    Nonces.Used internal _nonces;

    IConsortium internal immutable CONSORTIUM;

    constructor(address consortium_) TypedDomain(IConsortium(consortium_).salt()) {
        CONSORTIUM = IConsortium(consortium_);
        KeyProof.requirePrecompile();
    }

    /// @inheritdoc ICertificateRegistry
    function isNonceUsed(address signer, uint256 nonce) external view returns (bool) {
        return _nonces.isUsed(signer, nonce);
    }

    /// @inheritdoc ICertificateRegistry
    function consortium() external view returns (address) {
        return address(CONSORTIUM);
    }

    /// @return member The active member for whom `who` may order, 0 when it may not.
    function _memberOf(address who, bool dutyToo, bool suspendedToo) internal view returns (uint16 member) {
        IConsortium.Account memory known = CONSORTIUM.account(who);
        bool hasRole = known.role == IConsortium.Role.Administrator || (dutyToo && known.role == IConsortium.Role.Duty);
        if (!known.active || !hasRole) return 0;
        IConsortium.MemberState state = CONSORTIUM.memberState(known.member);
        bool mayAct =
            state == IConsortium.MemberState.Active || (suspendedToo && state == IConsortium.MemberState.Suspended);
        return mayAct ? known.member : 0;
    }

    function _ownerOf(uint256 slot) internal view returns (uint16) {
        return _lots[slot.lot()].terms.owner;
    }

    /// @dev A lot ends with its owner's rights, and does not come back with them.
    function _hasOwnerChanged(LotRecord storage known, IConsortium.Member memory owner) internal view returns (bool) {
        return owner.state != IConsortium.MemberState.Active || owner.changedAt > known.openedAt;
    }

    function _requireDeadline(uint64 deadline) internal view {
        if (block.timestamp > deadline) revert RegistryDeadlinePassed(deadline);
    }

    function _useNonce(address signer, uint256 nonce) internal {
        if (!_nonces.use(signer, nonce)) revert RegistryNonceUsed(signer, nonce);
    }

    function _requireSignature(address signer, bytes32 structHash, bytes calldata signature) internal view {
        if (!_isSigned(signer, structHash, signature)) revert RegistryBadSignature(signer);
    }
}
