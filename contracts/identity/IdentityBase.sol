// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {P256} from "@openzeppelin/contracts/utils/cryptography/P256.sol";
import {KeyProof} from "../KeyProof.sol";
import {TypedDomain} from "../TypedDomain.sol";
import {ICertificateRegistry} from "../interfaces/ICertificateRegistry.sol";
import {IConsortium} from "../interfaces/IConsortium.sol";
import {IDirectory} from "../interfaces/IDirectory.sol";
import {IIdentityRegistry} from "../interfaces/IIdentityRegistry.sol";
import {Possession} from "./Possession.sol";

/// @notice An identity in one slot; `state` is Registered, Active or Revoked, the rest is in `flags`.
struct IdentityRecord {
    IIdentityRegistry.State state;
    uint8 flags;
    IIdentityRegistry.Attestation attestation;
    uint8 reason;
    uint16 operator;
    uint16 counter;
    uint16 keyCount;
    uint40 registeredAt;
    uint40 keySince;
    uint40 activatedAt;
    uint40 changedAt;
}

/// @notice A key; the third slot is written when another takes its place, before it is the identity's own.
struct KeyRecord {
    bytes32 x;
    bytes32 y;
    uint40 since;
    uint40 until;
    IIdentityRegistry.Attestation attestation;
    uint8 flags;
}

/// @notice A key that waits to take the place of the current one, in three slots.
struct WaitingKey {
    bytes32 x;
    bytes32 y;
    address startedBy;
    uint40 executableAt;
    IIdentityRegistry.Attestation attestation;
    uint8 flags;
}

/// @title What all parts of the identity registry keep and ask
/// @dev Slots 0 and 1 are read by proofs: frozen. So this contract comes first in the order of inheritance.
abstract contract IdentityBase is IIdentityRegistry, TypedDomain {
    uint8 internal constant HELD = 1;
    uint8 internal constant REPLACING = 2;
    uint8 internal constant CARD_ENFORCED = 4;
    uint8 internal constant EMULATOR = 8;

    uint256 internal constant ADMINISTRATORS = 1 << uint8(IConsortium.Role.Administrator);
    uint256 internal constant REGISTRARS = ADMINISTRATORS | (1 << uint8(IConsortium.Role.Registrar));
    uint256 internal constant HOLDERS = REGISTRARS | (1 << uint8(IConsortium.Role.Duty));

    /// @dev What stands for the identity of a key that a card refused.
    bytes32 internal constant NOBODY = bytes32(type(uint256).max);

    uint256 private constant OWN_WORD = 24 hours; // for which a current key may promise something
    bytes32 private constant CERTIFICATE_REGISTRY = keccak256("CertificateRegistry");

    // SubjectPublicKeyInfo of id-ecPublicKey on prime256v1 up to the point's 04. Source: RFC 5480 §2
    bytes private constant SPKI_HEAD = hex"3059301306072a8648ce3d020106082a8648ce3d03010703420004";

    mapping(bytes32 identity => IdentityRecord) internal _records;
    mapping(bytes32 identity => mapping(uint16 index => KeyRecord)) internal _keys;
    mapping(bytes32 x => bytes32 identity) internal _identityOfKey;
    mapping(bytes32 identity => WaitingKey) internal _waiting;

    IConsortium internal immutable CONSORTIUM;

    constructor(address consortium_) TypedDomain(IConsortium(consortium_).salt()) {
        CONSORTIUM = IConsortium(consortium_);
        KeyProof.requirePrecompile();
    }

    // Orders

    /// @return member The member for whom `who` may order in one of these roles, 0 when it may not.
    function _memberOf(address who, uint256 roles, bool suspendedToo) internal view returns (uint16 member) {
        IConsortium.Account memory known = CONSORTIUM.account(who);
        if (!known.active || (roles >> uint8(known.role)) & 1 == 0) return 0;
        IConsortium.MemberState state = CONSORTIUM.memberState(known.member);
        bool mayAct =
            state == IConsortium.MemberState.Active || (suspendedToo && state == IConsortium.MemberState.Suspended);
        return mayAct ? known.member : 0;
    }

    /// @dev Checks of every order over one identity: deadline, identity, right, signature.
    function _requireOrder(
        bytes32 identity,
        uint64 deadline,
        address signer,
        uint256 roles,
        bool suspendedToo,
        bytes32 structHash,
        bytes calldata signature
    ) internal view returns (IdentityRecord storage known) {
        _requireDeadline(deadline);
        known = _records[identity];
        if (known.state == State.None) revert IdentityUnknown(identity);
        uint16 member = _memberOf(signer, roles, suspendedToo);
        if (member == 0 || member != known.operator) revert IdentityNotAuthorised(signer);
        _requireSignature(signer, structHash, signature);
    }

    function _requireDeadline(uint64 deadline) internal view {
        if (block.timestamp > deadline) revert IdentityDeadlinePassed(deadline);
    }

    function _requireSignature(address signer, bytes32 structHash, bytes calldata signature) internal view {
        if (!_isSigned(signer, structHash, signature)) revert IdentityBadSignature(signer);
    }

    function _requireCounter(bytes32 identity, IdentityRecord storage known, uint16 counter) internal view {
        if (known.counter != counter) revert IdentityCounter(identity, known.counter, counter);
        // The last number is kept for a release.
        if (counter >= type(uint16).max - 1) revert IdentityCounterExhausted(identity);
    }

    function _requireNotRevoked(bytes32 identity, IdentityRecord storage known) internal view {
        if (known.state == State.Revoked) revert IdentityWrongState(identity, State.Revoked);
    }

    /// @dev Notes a change. At its end the counter stays, so that what must always be possible still is.
    function _touch(IdentityRecord storage known) internal returns (uint16 counter) {
        counter = known.counter;
        if (counter != type(uint16).max) known.counter = ++counter;
        known.changedAt = uint40(block.timestamp);
    }

    // Keys

    /// @return Why this key, with its proof for this purpose, cannot be an identity's; None when it can.
    function _judgeKey(
        Registration calldata entry,
        uint16 operator,
        Purpose purpose,
        bytes32 separator,
        ICertificateRegistry registry
    ) internal view returns (Refusal) {
        if (entry.emulator && entry.attestation != Attestation.None) return Refusal.BadAttestation;
        if (block.timestamp > entry.deadline) return Refusal.DeadlinePassed;
        if (!P256.isValidPublicKey(entry.x, entry.y)) return Refusal.BadKey;
        if (_identityOfKey[entry.x] != 0) return Refusal.KeyTaken;
        if (_isBlocked(registry, entry.x, entry.y)) return Refusal.KeyBlocked;
        bytes32 payload =
            Possession.digest(separator, operator, entry.identity, entry.x, entry.y, purpose, entry.deadline);
        bool proven = Possession.isSigned(payload, entry.r, entry.s, entry.x, entry.y);
        return proven ? Refusal.None : Refusal.BadProof;
    }

    /// @dev The word of the current key over a new one: fresh, and not of a key that others have too.
    function _requireWord(Activation calldata word, IdentityRecord storage known, bytes32 x, bytes32 y, Purpose purpose)
        internal
        view
    {
        _requireDeadline(word.deadline);
        if (word.deadline > block.timestamp + OWN_WORD) revert IdentityDeadlineTooFar(word.deadline);
        KeyRecord storage current = _currentKey(word.identity);
        if (_isBlocked(_certificateRegistry(), current.x, current.y)) revert IdentityKeyBlocked(word.identity);
        bytes32 payload = Possession.word(
            _domainSeparator(), known.operator, word.identity, x, y, purpose, known.activatedAt, word.deadline
        );
        if (!Possession.isSigned(payload, word.r, word.s, current.x, current.y)) {
            revert IdentityBadProof(word.identity);
        }
    }

    function _currentKey(bytes32 identity) internal view returns (KeyRecord storage) {
        return _keys[identity][_records[identity].keyCount - 1];
    }

    function _certificateRegistry() internal view returns (ICertificateRegistry) {
        return ICertificateRegistry(IDirectory(CONSORTIUM.directory()).current(CERTIFICATE_REGISTRY).location);
    }

    function _isBlocked(ICertificateRegistry registry, bytes32 x, bytes32 y) internal view returns (bool) {
        (, uint40 since,) = registry.keyBlock(sha256(abi.encodePacked(SPKI_HEAD, x, y)));
        return since != 0;
    }

    function _flagsOf(Registration calldata entry) internal pure returns (uint8) {
        return (entry.cardEnforced ? CARD_ENFORCED : 0) | (entry.emulator ? EMULATOR : 0);
    }

    function _has(uint8 flags, uint8 flag) internal pure returns (bool) {
        return flags & flag != 0;
    }

    // A waiting replacement

    /// @param refused The key is then never taken; otherwise it may be put forward again.
    function _endReplacement(bytes32 identity, IdentityRecord storage known, bool refused) internal {
        _identityOfKey[_waiting[identity].x] = refused ? NOBODY : bytes32(0);
        delete _waiting[identity];
        known.flags &= ~REPLACING;
    }
}
