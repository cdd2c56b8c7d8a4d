// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IIdentityRegistry} from "../interfaces/IIdentityRegistry.sol";
import {IdentityBase, IdentityRecord, KeyRecord, WaitingKey} from "./IdentityBase.sol";

/// @title Another key for the same identity
/// @notice At once with the old key's word; or, for a lost card, by two accounts of the operator and after a delay in
/// which the person's card or any account of the operator can end it.
abstract contract Replacements is IdentityBase {
    bytes32 private constant REPLACE_TYPE = keccak256("ReplaceKey(bytes32 entryHash,uint16 counter,uint64 deadline)");
    bytes32 private constant START_TYPE =
        keccak256("StartReplacement(bytes32 entryHash,uint16 counter,uint64 deadline)");
    bytes32 private constant CONFIRM_TYPE =
        keccak256("ConfirmReplacement(bytes32 identity,bytes32 x,bytes32 y,uint16 counter,uint64 deadline)");
    bytes32 private constant CANCEL_TYPE =
        keccak256("CancelReplacement(bytes32 identity,uint16 counter,uint64 deadline)");

    uint32 private constant SHORTEST_DELAY = 1 hours;
    uint32 private constant LONGEST_DELAY = 30 days;

    uint32 public immutable override replacementDelaySeconds;

    constructor(uint32 delaySeconds) {
        if (delaySeconds < SHORTEST_DELAY || delaySeconds > LONGEST_DELAY) revert IdentityBadDelay(delaySeconds);
        replacementDelaySeconds = delaySeconds;
    }

    /// @inheritdoc IIdentityRegistry
    function replaceKey(
        Registration calldata entry,
        Activation calldata agreement,
        uint16 counter,
        uint64 deadline,
        address signer,
        bytes calldata signature
    ) external {
        bytes32 identity = entry.identity;
        IdentityRecord storage known = _requireKeyOrder(REPLACE_TYPE, entry, counter, deadline, signer, signature);
        bool replacing = _has(known.flags, REPLACING);
        if (replacing) _endReplacement(identity, known, false);
        _requireGoodKey(entry, known.operator);
        if (agreement.identity != identity) revert IdentityBadProof(identity);
        // A card that nobody activated may still be in the hands of who made it.
        if (known.activatedAt == 0) revert IdentityWrongState(identity, known.state);
        _requireWord(agreement, known, entry.x, entry.y, Purpose.Replace);
        if (replacing) emit ReplacementCancelled(identity, known.operator, signer, false, counter + 1);
        _identityOfKey[entry.x] = identity;
        _replace(identity, known, entry.x, entry.y, entry.attestation, _flagsOf(entry), signer, true);
    }

    /// @inheritdoc IIdentityRegistry
    function startReplacement(
        Registration calldata entry,
        uint16 counter,
        uint64 deadline,
        address signer,
        bytes calldata signature
    ) external {
        bytes32 identity = entry.identity;
        IdentityRecord storage known = _requireKeyOrder(START_TYPE, entry, counter, deadline, signer, signature);
        if (_has(known.flags, REPLACING)) revert IdentityWrongState(identity, State.Replacing);
        _requireGoodKey(entry, known.operator);
        uint40 executableAt = uint40(block.timestamp + replacementDelaySeconds);
        _waiting[identity] = WaitingKey(entry.x, entry.y, signer, executableAt, entry.attestation, _flagsOf(entry));
        _identityOfKey[entry.x] = identity;
        known.flags |= REPLACING;
        emit ReplacementStarted(
            identity,
            known.operator,
            signer,
            entry.x,
            entry.y,
            entry.attestation,
            entry.cardEnforced,
            entry.emulator,
            executableAt,
            _touch(known)
        );
    }

    /// @inheritdoc IIdentityRegistry
    function confirmReplacement(
        bytes32 identity,
        bytes32 x,
        bytes32 y,
        uint16 counter,
        uint64 deadline,
        address signer,
        bytes calldata signature
    ) external {
        bytes32 structHash = keccak256(abi.encode(CONFIRM_TYPE, identity, x, y, counter, deadline));
        IdentityRecord storage known =
            _requireOrder(identity, deadline, signer, ADMINISTRATORS, false, structHash, signature);
        WaitingKey memory waiting = _requireWaiting(identity, known);
        if (waiting.x != x || waiting.y != y) revert IdentityOtherKey(identity);
        if (waiting.startedBy == signer) revert IdentitySameAccount(signer);
        // What an account began that was suspended since is nothing to confirm.
        if (_memberOf(waiting.startedBy, REGISTRARS, false) == 0) revert IdentityNotAuthorised(waiting.startedBy);
        _requireCounter(identity, known, counter);
        if (block.timestamp < waiting.executableAt) revert IdentityTooEarly(identity, waiting.executableAt);
        if (_isBlocked(_certificateRegistry(), x, y)) revert IdentityKeyRefused(identity, Refusal.KeyBlocked);
        delete _waiting[identity];
        _replace(identity, known, x, y, waiting.attestation, waiting.flags, signer, false);
    }

    /// @inheritdoc IIdentityRegistry
    function cancelReplacement(
        bytes32 identity,
        uint16 counter,
        uint64 deadline,
        address signer,
        bytes calldata signature
    ) external {
        bytes32 structHash = keccak256(abi.encode(CANCEL_TYPE, identity, counter, deadline));
        IdentityRecord storage known = _requireOrder(identity, deadline, signer, HOLDERS, true, structHash, signature);
        _requireWaiting(identity, known);
        if (known.counter != counter) revert IdentityCounter(identity, known.counter, counter);
        _endReplacement(identity, known, false);
        emit ReplacementCancelled(identity, known.operator, signer, false, _touch(known));
    }

    /// @inheritdoc IIdentityRegistry
    function cancelByCard(Activation calldata veto) external {
        bytes32 identity = veto.identity;
        IdentityRecord storage known = _records[identity];
        WaitingKey memory waiting = _requireWaiting(identity, known);
        _requireWord(veto, known, waiting.x, waiting.y, Purpose.Cancel);
        _endReplacement(identity, known, true);
        emit ReplacementCancelled(identity, known.operator, msg.sender, true, _touch(known));
    }

    function _requireKeyOrder(
        bytes32 type_,
        Registration calldata entry,
        uint16 counter,
        uint64 deadline,
        address signer,
        bytes calldata signature
    ) private view returns (IdentityRecord storage known) {
        bytes32 structHash = keccak256(abi.encode(type_, keccak256(abi.encode(entry)), counter, deadline));
        known = _requireOrder(entry.identity, deadline, signer, REGISTRARS, false, structHash, signature);
        _requireNotRevoked(entry.identity, known);
        _requireCounter(entry.identity, known, counter);
    }

    function _requireGoodKey(Registration calldata entry, uint16 operator) private view {
        Refusal refusal = _judgeKey(entry, operator, Purpose.Replace, _domainSeparator(), _certificateRegistry());
        if (refusal != Refusal.None) revert IdentityKeyRefused(entry.identity, refusal);
    }

    function _requireWaiting(bytes32 identity, IdentityRecord storage known) private view returns (WaitingKey memory) {
        if (!_has(known.flags, REPLACING)) revert IdentityNoReplacement(identity);
        return _waiting[identity];
    }

    /// @dev The old key goes into the history with its times; a hold stays.
    function _replace(
        bytes32 identity,
        IdentityRecord storage known,
        bytes32 x,
        bytes32 y,
        Attestation attestation,
        uint8 cardFlags,
        address signer,
        bool byOldKey
    ) private {
        uint16 index = known.keyCount; // never at its end: the counter is before
        KeyRecord storage old = _keys[identity][index - 1];
        old.since = known.keySince;
        old.until = uint40(block.timestamp);
        old.attestation = known.attestation;
        old.flags = known.flags & (CARD_ENFORCED | EMULATOR);
        KeyRecord storage made = _keys[identity][index];
        made.x = x;
        made.y = y;
        known.state = State.Registered;
        known.flags = (known.flags & HELD) | cardFlags;
        known.attestation = attestation;
        known.keyCount = index + 1;
        known.keySince = uint40(block.timestamp);
        known.activatedAt = 0;
        emit IdentityKeyReplaced(
            identity,
            known.operator,
            signer,
            index,
            x,
            y,
            attestation,
            _has(cardFlags, CARD_ENFORCED),
            _has(cardFlags, EMULATOR),
            byOldKey,
            _touch(known)
        );
    }
}
