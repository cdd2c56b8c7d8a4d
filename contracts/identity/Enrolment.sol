// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ICertificateRegistry} from "../interfaces/ICertificateRegistry.sol";
import {IConsortium} from "../interfaces/IConsortium.sol";
import {IIdentityRegistry} from "../interfaces/IIdentityRegistry.sol";
import {IdentityBase, IdentityRecord, KeyRecord} from "./IdentityBase.sol";
import {Possession} from "./Possession.sol";

/// @title Registration and activation, in batches (R-ID-1)
abstract contract Enrolment is IdentityBase {
    bytes32 private constant REGISTER_TYPE = keccak256("Register(bytes32 entriesHash,uint64 deadline)");
    bytes32 private constant ACTIVATE_TYPE = keccak256("Activate(bytes32 entriesHash,uint64 deadline)");

    uint256 private constant MAXIMUM_ENTRIES = 100;

    /// @inheritdoc IIdentityRegistry
    function register(Registration[] calldata entries, uint64 deadline, address signer, bytes calldata signature)
        external
    {
        _requireSize(entries.length);
        _requireDeadline(deadline);
        uint16 operator = _memberOf(signer, REGISTRARS, false);
        if (operator == 0 || !_mayHaveUsers(operator)) revert IdentityNotAuthorised(signer);
        bytes32 entriesHash = keccak256(abi.encode(entries));
        _requireSignature(signer, keccak256(abi.encode(REGISTER_TYPE, entriesHash, deadline)), signature);

        bytes32 separator = _domainSeparator();
        ICertificateRegistry registry = _certificateRegistry();
        for (uint256 i = 0; i < entries.length; ++i) {
            _register(entries[i], operator, signer, separator, registry);
        }
    }

    /// @inheritdoc IIdentityRegistry
    function activate(Activation[] calldata entries, uint64 deadline, address signer, bytes calldata signature)
        external
    {
        _requireSize(entries.length);
        _requireDeadline(deadline);
        uint16 operator = _memberOf(signer, REGISTRARS, false);
        if (operator == 0) revert IdentityNotAuthorised(signer);
        bytes32 entriesHash = keccak256(abi.encode(entries));
        _requireSignature(signer, keccak256(abi.encode(ACTIVATE_TYPE, entriesHash, deadline)), signature);

        bytes32 separator = _domainSeparator();
        ICertificateRegistry registry = _certificateRegistry();
        for (uint256 i = 0; i < entries.length; ++i) {
            _activate(entries[i], operator, signer, separator, registry);
        }
    }

    function _register(
        Registration calldata entry,
        uint16 operator,
        address signer,
        bytes32 separator,
        ICertificateRegistry registry
    ) private {
        bytes32 identity = entry.identity;
        IdentityRecord storage made = _records[identity];
        Refusal refusal;
        if (identity == 0 || identity == NOBODY) {
            refusal = Refusal.BadIdentity;
        } else if (made.state != State.None) {
            // The same entry once more: it had its effect.
            if (made.operator == operator && _keys[identity][0].x == entry.x) return;
            refusal = Refusal.IdentityTaken;
        } else {
            refusal = _judgeKey(entry, operator, Purpose.Register, separator, registry);
        }
        if (refusal != Refusal.None) {
            emit IdentityEntryRefused(identity, operator, entry.x, refusal);
            return;
        }
        _records[identity] = IdentityRecord({
            state: State.Registered,
            flags: _flagsOf(entry),
            attestation: entry.attestation,
            reason: 0,
            operator: operator,
            counter: 0,
            keyCount: 1,
            registeredAt: uint40(block.timestamp),
            keySince: uint40(block.timestamp),
            activatedAt: 0,
            changedAt: uint40(block.timestamp)
        });
        KeyRecord storage key = _keys[identity][0];
        key.x = entry.x;
        key.y = entry.y;
        _identityOfKey[entry.x] = identity;
        emit IdentityRegistered(
            identity, operator, signer, entry.x, entry.y, entry.attestation, entry.cardEnforced, entry.emulator
        );
    }

    function _activate(
        Activation calldata entry,
        uint16 operator,
        address signer,
        bytes32 separator,
        ICertificateRegistry registry
    ) private {
        bytes32 identity = entry.identity;
        IdentityRecord storage known = _records[identity];
        Refusal refusal = Refusal.None;
        if (known.state == State.None || known.operator != operator) {
            refusal = Refusal.UnknownIdentity;
        } else if (known.state == State.Active) {
            return; // it had its effect
        } else if (known.state == State.Revoked || _has(known.flags, HELD | REPLACING)) {
            refusal = Refusal.WrongState;
        } else if (block.timestamp > entry.deadline) {
            refusal = Refusal.DeadlinePassed;
        } else {
            KeyRecord storage key = _currentKey(identity);
            (bytes32 x, bytes32 y) = (key.x, key.y);
            bytes32 payload = Possession.digest(separator, operator, identity, x, y, Purpose.Activate, entry.deadline);
            if (!Possession.isSigned(payload, entry.r, entry.s, x, y)) refusal = Refusal.BadProof;
            else if (_isBlocked(registry, x, y)) refusal = Refusal.KeyBlocked;
        }
        if (refusal != Refusal.None) {
            emit IdentityEntryRefused(identity, operator, 0, refusal);
            return;
        }
        known.state = State.Active;
        known.activatedAt = uint40(block.timestamp);
        known.changedAt = uint40(block.timestamp);
        emit IdentityActivated(identity, operator, signer);
    }

    /// @dev R-ID-6: a member that is no operator can bring its own users.
    function _mayHaveUsers(uint16 member) private view returns (bool) {
        IConsortium.MemberKind kind = CONSORTIUM.member(member).kind;
        return kind == IConsortium.MemberKind.Operator || kind == IConsortium.MemberKind.Service;
    }

    function _requireSize(uint256 count) private pure {
        if (count == 0 || count > MAXIMUM_ENTRIES) revert IdentityBatchSize(count);
    }
}
