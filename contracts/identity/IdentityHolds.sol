// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IIdentityRegistry} from "../interfaces/IIdentityRegistry.sol";
import {IdentityBase, IdentityRecord, KeyRecord} from "./IdentityBase.sol";

/// @title Hold, release and revocation of identities
abstract contract IdentityHolds is IdentityBase {
    bytes32 private constant HOLD_TYPE = keccak256("HoldIdentity(bytes32 identity,uint16 counter,uint64 deadline)");
    bytes32 private constant RELEASE_TYPE =
        keccak256("ReleaseIdentity(bytes32 identity,uint16 counter,uint64 deadline)");
    bytes32 private constant REVOKE_TYPE = keccak256("RevokeIdentity(bytes32 identity,uint8 reason,uint64 deadline)");

    uint256 private constant REVOCATION_REASONS = 0x23b; // 0, 1, 3, 4, 5, 9

    /// @inheritdoc IIdentityRegistry
    function hold(bytes32 identity, uint16 counter, uint64 deadline, address signer, bytes calldata signature)
        external
    {
        bytes32 structHash = keccak256(abi.encode(HOLD_TYPE, identity, counter, deadline));
        IdentityRecord storage known = _requireOrder(identity, deadline, signer, HOLDERS, true, structHash, signature);
        _requireNotHeld(identity, known);
        // Not refused at the counter's end, where a stolen registrar's key could bring it: then it is for good.
        if (known.counter != counter) revert IdentityCounter(identity, known.counter, counter);
        bool replacing = _has(known.flags, REPLACING);
        if (replacing) _endReplacement(identity, known, false);
        known.flags |= HELD;
        uint16 raised = _touch(known);
        if (replacing) emit ReplacementCancelled(identity, known.operator, signer, false, raised);
        emit IdentityHeld(identity, known.operator, signer, raised);
    }

    /// @inheritdoc IIdentityRegistry
    function holdBlocked(bytes32 identity) external {
        IdentityRecord storage known = _records[identity];
        if (known.state == State.None) revert IdentityUnknown(identity);
        _requireNotHeld(identity, known);
        if (!_isCurrentKeyBlocked(identity)) revert IdentityKeyNotBlocked(identity);
        known.flags |= HELD;
        emit IdentityHeld(identity, 0, msg.sender, _touch(known));
    }

    /// @inheritdoc IIdentityRegistry
    function release(bytes32 identity, uint16 counter, uint64 deadline, address signer, bytes calldata signature)
        external
    {
        bytes32 structHash = keccak256(abi.encode(RELEASE_TYPE, identity, counter, deadline));
        IdentityRecord storage known =
            _requireOrder(identity, deadline, signer, ADMINISTRATORS, false, structHash, signature);
        _requireNotRevoked(identity, known);
        if (!_has(known.flags, HELD)) revert IdentityWrongState(identity, _stateOf(known));
        if (known.counter != counter) revert IdentityCounter(identity, known.counter, counter);
        if (counter == type(uint16).max) revert IdentityCounterExhausted(identity);
        if (_isCurrentKeyBlocked(identity)) revert IdentityKeyBlocked(identity);
        known.flags &= ~HELD;
        emit IdentityReleased(identity, known.operator, signer, _touch(known));
    }

    /// @inheritdoc IIdentityRegistry
    function revoke(bytes32 identity, uint8 reason, uint64 deadline, address signer, bytes calldata signature)
        external
    {
        bytes32 structHash = keccak256(abi.encode(REVOKE_TYPE, identity, reason, deadline));
        IdentityRecord storage known =
            _requireOrder(identity, deadline, signer, ADMINISTRATORS, true, structHash, signature);
        if ((REVOCATION_REASONS >> reason) & 1 == 0) revert IdentityBadReason(reason);
        if (known.state == State.Revoked) return;
        if (_has(known.flags, REPLACING)) {
            _endReplacement(identity, known, false);
            emit ReplacementCancelled(identity, known.operator, signer, false, _touch(known));
        }
        known.state = State.Revoked;
        known.reason = reason;
        known.changedAt = uint40(block.timestamp);
        emit IdentityRevoked(identity, known.operator, signer, reason);
    }

    function _stateOf(IdentityRecord storage known) internal view returns (State state) {
        (state,) = (known.state, known.flags);
        if (state == State.Revoked) return state;
        if (_has(known.flags, HELD)) return State.Held;
        return _has(known.flags, REPLACING) ? State.Replacing : state;
    }

    function _requireNotHeld(bytes32 identity, IdentityRecord storage known) private view {
        _requireNotRevoked(identity, known);
        if (_has(known.flags, HELD)) revert IdentityWrongState(identity, State.Held);
    }

    function _isCurrentKeyBlocked(bytes32 identity) private view returns (bool) {
        KeyRecord storage current = _currentKey(identity);
        return _isBlocked(_certificateRegistry(), current.x, current.y);
    }
}
