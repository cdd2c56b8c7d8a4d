// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Enrolment} from "./identity/Enrolment.sol";
import {IdentityBase, IdentityRecord, KeyRecord, WaitingKey} from "./identity/IdentityBase.sol";
import {IdentityHolds} from "./identity/IdentityHolds.sol";
import {Possession} from "./identity/Possession.sol";
import {Replacements} from "./identity/Replacements.sol";
import {IIdentityRegistry} from "./interfaces/IIdentityRegistry.sol";

/// @title Identities of people (R-ID-1, R-ID-2)
/// @notice A random id, the key on the person's card, the operator that answers for it, and every key that it ever had.
/// Immutable, without owner; an operator speaks by signed orders, a card by proofs of possession. Source:
/// docs/ledger.md, Identities.
contract IdentityRegistry is Enrolment, IdentityHolds, Replacements {
    /// @param delaySeconds that a replacement without the old card waits: 1 hour to 30 days.
    constructor(address consortium_, uint32 delaySeconds) IdentityBase(consortium_) Replacements(delaySeconds) {}

    /// @inheritdoc IIdentityRegistry
    function stateOf(bytes32 identity) external view returns (State) {
        return _stateOf(_records[identity]);
    }

    /// @inheritdoc IIdentityRegistry
    function identityOf(bytes32 identity) external view returns (Identity memory answer) {
        IdentityRecord memory known = _records[identity];
        if (known.state == State.None) return answer;
        answer.state = _stateOf(_records[identity]);
        answer.operator = known.operator;
        answer.attestation = known.attestation;
        answer.cardEnforced = _has(known.flags, CARD_ENFORCED);
        answer.emulator = _has(known.flags, EMULATOR);
        answer.held = _has(known.flags, HELD);
        answer.replacing = _has(known.flags, REPLACING);
        answer.reason = known.reason;
        answer.counter = known.counter;
        answer.keyCount = known.keyCount;
        answer.registeredAt = known.registeredAt;
        answer.keySince = known.keySince;
        answer.activatedAt = known.activatedAt;
        answer.changedAt = known.changedAt;
        KeyRecord storage current = _currentKey(identity);
        answer.x = current.x;
        answer.y = current.y;
    }

    /// @inheritdoc IIdentityRegistry
    function replacementOf(bytes32 identity) external view returns (Replacement memory) {
        WaitingKey memory waiting = _waiting[identity];
        return Replacement({
            x: waiting.x,
            y: waiting.y,
            attestation: waiting.attestation,
            cardEnforced: _has(waiting.flags, CARD_ENFORCED),
            emulator: _has(waiting.flags, EMULATOR),
            startedBy: waiting.startedBy,
            executableAt: waiting.executableAt
        });
    }

    /// @inheritdoc IIdentityRegistry
    function keyCount(bytes32 identity) external view returns (uint16) {
        return _records[identity].keyCount;
    }

    /// @inheritdoc IIdentityRegistry
    function keyAt(bytes32 identity, uint16 index) external view returns (Key memory answer) {
        IdentityRecord memory known = _records[identity];
        if (index >= known.keyCount) return answer;
        KeyRecord memory key = _keys[identity][index];
        bool isCurrent = index == known.keyCount - 1;
        uint8 flags = isCurrent ? known.flags : key.flags;
        answer.x = key.x;
        answer.y = key.y;
        answer.attestation = isCurrent ? known.attestation : key.attestation;
        answer.cardEnforced = _has(flags, CARD_ENFORCED);
        answer.emulator = _has(flags, EMULATOR);
        answer.since = isCurrent ? known.keySince : key.since;
        answer.until = key.until;
    }

    /// @inheritdoc IIdentityRegistry
    function identityOfKey(bytes32 x) external view returns (bytes32) {
        return _identityOfKey[x];
    }

    /// @inheritdoc IIdentityRegistry
    function possessionDigest(uint16 operator, bytes32 identity, bytes32 x, bytes32 y, Purpose purpose, uint64 deadline)
        external
        view
        returns (bytes32)
    {
        return Possession.digest(_domainSeparator(), operator, identity, x, y, purpose, deadline);
    }

    /// @inheritdoc IIdentityRegistry
    function wordDigest(bytes32 identity, bytes32 x, bytes32 y, Purpose purpose, uint64 deadline)
        external
        view
        returns (bytes32)
    {
        IdentityRecord storage known = _records[identity];
        return Possession.word(_domainSeparator(), known.operator, identity, x, y, purpose, known.activatedAt, deadline);
    }

    /// @inheritdoc IIdentityRegistry
    function consortium() external view returns (address) {
        return address(CONSORTIUM);
    }
}
