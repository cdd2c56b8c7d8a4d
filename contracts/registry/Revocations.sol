// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {CertificateSlot} from "../CertificateSlot.sol";
import {KeyProof} from "../KeyProof.sol";
import {ICertificateRegistry} from "../interfaces/ICertificateRegistry.sol";
import {IConsortium} from "../interfaces/IConsortium.sol";
import {RegistryBase} from "./RegistryBase.sol";

/// @title Hold, release, revocation, and blocks of keys
abstract contract Revocations is RegistryBase {
    using CertificateSlot for uint256;

    bytes32 private constant HOLD_TYPE =
        keccak256("Hold(bytes32 certificate,uint8 kind,uint8 reason,uint16 counter,uint64 deadline)");
    bytes32 private constant RELEASE_TYPE =
        keccak256("Release(bytes32 certificate,uint8 kind,uint8 reason,uint16 counter,uint64 deadline)");
    bytes32 private constant REVOKE_TYPE = keccak256("Revoke(bytes32 certificate,uint8 reason,uint64 deadline)");
    bytes32 private constant REVOKE_KEY_TYPE = keccak256("RevokeKey(bytes32 spkiHash,uint8 reason,uint64 deadline)");

    uint8 private constant KEY_COMPROMISE = 1;
    uint8 private constant REMOVE_FROM_CRL = 8;
    uint256 private constant REVOCATION_REASONS = 0x23b; // 0, 1, 3, 4, 5, 9
    uint256 private constant BLOCKED_AT = 8;
    uint256 private constant BLOCKED_BY_PROOF = 1 << 48;

    mapping(bytes32 certificate => mapping(uint16 member => uint40 placedAt)) private _emergencyHolds;
    mapping(bytes32 certificate => uint16 member) private _emergencyHolder;

    modifier onlyConsortium() {
        if (msg.sender != address(CONSORTIUM)) revert RegistryNotAuthorised(msg.sender);
        _;
    }

    // Orders of members

    /// @inheritdoc ICertificateRegistry
    function hold(
        bytes32 certificate,
        HoldKind kind,
        uint8 reason,
        uint16 counter,
        uint64 deadline,
        address signer,
        bytes calldata signature
    ) external {
        _requireDeadline(deadline);
        uint256 slot = _requireKnown(certificate);
        uint16 holder;
        if (kind == HoldKind.Owner) {
            holder = _memberOf(signer, true, true);
            if (holder == 0 || holder != _ownerOf(slot)) revert RegistryNotAuthorised(signer);
        } else if (kind == HoldKind.Emergency) {
            holder = _memberOf(signer, true, false);
            if (holder == 0) revert RegistryNotAuthorised(signer);
        } else {
            revert RegistryBadHoldKind(uint8(kind));
        }
        if (reason != 0 && reason != CertificateSlot.HOLD_REASON) revert RegistryBadReason(reason);
        _requireSignature(
            signer, keccak256(abi.encode(HOLD_TYPE, certificate, kind, reason, counter, deadline)), signature
        );
        uint256 until = 0;
        if (kind == HoldKind.Emergency) {
            // Without the counter: an owner could raise it before each order, and so stay out of reach.
            until = _useEmergencyHold(certificate, holder, deadline);
        } else {
            _requireCounter(certificate, slot, counter);
            // The last number is kept for the release.
            if (counter >= type(uint16).max - 1) revert RegistryHoldCounterExhausted(certificate);
        }
        _hold(certificate, slot, kind, holder, signer, until);
    }

    /// @inheritdoc ICertificateRegistry
    function release(
        bytes32 certificate,
        HoldKind kind,
        uint8 reason,
        uint16 counter,
        uint64 deadline,
        address signer,
        bytes calldata signature
    ) external {
        _requireDeadline(deadline);
        uint256 slot = _requireKnown(certificate);
        uint16 holder = _memberOf(signer, false, false);
        uint16 entitled;
        if (kind == HoldKind.Owner) entitled = _ownerOf(slot);
        else if (kind == HoldKind.Emergency) entitled = _emergencyHolder[certificate];
        else revert RegistryBadHoldKind(uint8(kind));
        if (reason != 0 && reason != REMOVE_FROM_CRL) revert RegistryBadReason(reason);
        uint8 bit = _bitOf(kind);
        if (slot.state() != CertificateSlot.REVOKED && slot.effectiveFlags() & bit == 0) {
            revert RegistryNoSuchHold(certificate, uint8(kind));
        }
        if (holder == 0 || holder != entitled) revert RegistryNotAuthorised(signer);
        _requireSignature(
            signer, keccak256(abi.encode(RELEASE_TYPE, certificate, kind, reason, counter, deadline)), signature
        );
        _requireCounter(certificate, slot, counter);
        if (counter == type(uint16).max) revert RegistryHoldCounterExhausted(certificate);
        _release(certificate, slot, kind, holder, signer);
    }

    /// @inheritdoc ICertificateRegistry
    function revoke(bytes32 certificate, uint8 reason, uint64 deadline, address signer, bytes calldata signature)
        external
    {
        _requireDeadline(deadline);
        uint256 slot = _requireKnown(certificate);
        uint16 owner = _memberOf(signer, false, true);
        if (owner == 0 || owner != _ownerOf(slot)) revert RegistryNotAuthorised(signer);
        _requireRevocationReason(reason);
        _requireSignature(signer, keccak256(abi.encode(REVOKE_TYPE, certificate, reason, deadline)), signature);
        _revoke(certificate, slot, reason, owner, signer);
    }

    /// @inheritdoc ICertificateRegistry
    function revokeByKey(
        bytes32 spkiHash,
        bytes32[] calldata tbsHashes,
        uint8 reason,
        uint64 deadline,
        address signer,
        bytes calldata signature
    ) external {
        _requireDeadline(deadline);
        uint16 owner = _memberOf(signer, false, true);
        if (owner == 0) revert RegistryNotAuthorised(signer);
        _requireRevocationReason(reason);
        _requireSignature(signer, keccak256(abi.encode(REVOKE_KEY_TYPE, spkiHash, reason, deadline)), signature);
        for (uint256 i = 0; i < tbsHashes.length; ++i) {
            bytes32 certificate = Hashes.efficientKeccak256(spkiHash, tbsHashes[i]);
            uint256 slot = _certificates[certificate];
            if (slot != 0 && _ownerOf(slot) == owner) _revoke(certificate, slot, reason, owner, signer);
        }
    }

    /// @inheritdoc ICertificateRegistry
    function blockKeyByProof(bytes calldata subjectPublicKeyInfo, bytes32 r, bytes32 s) external {
        bytes32 spkiHash = sha256(subjectPublicKeyInfo);
        if (!KeyProof.isCompromised(_domainSeparator(), spkiHash, subjectPublicKeyInfo, r, s)) revert RegistryBadKey();
        _blockKey(spkiHash, KEY_COMPROMISE, true);
    }

    // Carried out for the consortium after a vote

    /// @inheritdoc ICertificateRegistry
    function blockKey(bytes32 spkiHash, uint8 reason) external onlyConsortium {
        _requireRevocationReason(reason);
        _blockKey(spkiHash, reason, false);
    }

    /// @inheritdoc ICertificateRegistry
    function holdByVote(bytes32 certificate, uint8 reason) external onlyConsortium {
        if (reason != 0 && reason != CertificateSlot.HOLD_REASON) revert RegistryBadReason(reason);
        _hold(certificate, _requireKnown(certificate), HoldKind.Consortium, 0, msg.sender, 0);
    }

    /// @notice Lifts a hold by vote and a running emergency hold.
    /// @inheritdoc ICertificateRegistry
    function releaseByVote(bytes32 certificate, uint40 proposedAt) external onlyConsortium {
        uint256 slot = _requireKnown(certificate);
        uint8 held = slot.effectiveFlags();
        bool emergency = held & CertificateSlot.EMERGENCY_HOLD != 0
            && _emergencyHolds[certificate][_emergencyHolder[certificate]] <= proposedAt;
        if (held & CertificateSlot.CONSORTIUM_HOLD != 0 || !emergency) {
            _release(certificate, slot, HoldKind.Consortium, 0, msg.sender);
        }
        if (emergency) _release(certificate, _certificates[certificate], HoldKind.Emergency, 0, msg.sender);
    }

    /// @inheritdoc ICertificateRegistry
    function slotOf(bytes32 certificate) external view returns (uint256) {
        return _certificates[certificate];
    }

    /// @inheritdoc ICertificateRegistry
    function keyBlock(bytes32 spkiHash) external view returns (uint8 reason, uint40 since, bool byProof) {
        uint256 word = _keyBlocks[spkiHash];
        return (uint8(word), uint40(word >> BLOCKED_AT), word & BLOCKED_BY_PROOF != 0);
    }

    /// @param until The end of an emergency hold, 0 for the others.
    function _hold(bytes32 certificate, uint256 slot, HoldKind kind, uint16 holder, address by, uint256 until) private {
        if (slot.state() == CertificateSlot.REVOKED) revert RegistryRevoked(certificate);
        uint8 held = slot.effectiveFlags();
        uint8 bit = _bitOf(kind);
        if (held & bit != 0) revert RegistryAlreadyHeld(certificate, uint8(kind));
        uint256 changed = slot.withFlags(held | bit);
        if (kind == HoldKind.Emergency) changed = changed.withEmergencyUntil(until / 1 hours);
        _certificates[certificate] = changed;
        emit CertificateHeld(
            certificate, holder, by, kind, CertificateSlot.HOLD_REASON, changed.holdCounter(), uint40(until)
        );
    }

    /// @dev An order is used once: a member's next hold comes after the window, and no order outlasts that.
    /// @return until The end: a whole hour, never later than the parameter allows.
    function _useEmergencyHold(bytes32 certificate, uint16 holder, uint64 deadline) private returns (uint256 until) {
        IConsortium.Parameters memory parameters = CONSORTIUM.parameters();
        if (deadline > block.timestamp + parameters.governanceWindowSeconds) revert RegistryDeadlineTooFar(deadline);
        uint256 last = _emergencyHolds[certificate][holder];
        if (last != 0 && block.timestamp <= last + parameters.governanceWindowSeconds) {
            revert RegistryEmergencyHoldUsed(certificate, holder);
        }
        _emergencyHolds[certificate][holder] = uint40(block.timestamp);
        _emergencyHolder[certificate] = holder;
        return (block.timestamp / 1 hours + parameters.emergencyHoldHours) * 1 hours;
    }

    function _release(bytes32 certificate, uint256 slot, HoldKind kind, uint16 holder, address by) private {
        if (slot.state() == CertificateSlot.REVOKED) revert RegistryRevoked(certificate);
        uint8 held = slot.effectiveFlags();
        uint8 bit = _bitOf(kind);
        if (held & bit == 0) revert RegistryNoSuchHold(certificate, uint8(kind));
        uint256 changed = slot.withFlags(held & ~bit);
        if (kind == HoldKind.Emergency) changed = changed.withEmergencyUntil(0);
        _certificates[certificate] = changed;
        emit CertificateReleased(certificate, holder, by, kind, changed.holdCounter());
    }

    function _revoke(bytes32 certificate, uint256 slot, uint8 reason, uint16 owner, address by) private {
        if (slot.state() == CertificateSlot.REVOKED) return;
        _certificates[certificate] = slot.revoked(reason);
        emit CertificateRevoked(certificate, owner, by, reason);
    }

    /// @dev The first block stays: it tells since when.
    function _blockKey(bytes32 spkiHash, uint8 reason, bool byProof) private {
        if (_keyBlocks[spkiHash] != 0) return;
        _keyBlocks[spkiHash] = uint256(reason) | (block.timestamp << BLOCKED_AT) | (byProof ? BLOCKED_BY_PROOF : 0);
        _keyBlockFilter |= uint256(1) << (uint256(spkiHash) & 0xff);
        emit KeyBlocked(spkiHash, reason, byProof);
    }

    function _bitOf(HoldKind kind) private pure returns (uint8) {
        if (kind == HoldKind.Owner) return CertificateSlot.OWNER_HOLD;
        return kind == HoldKind.Consortium ? CertificateSlot.CONSORTIUM_HOLD : CertificateSlot.EMERGENCY_HOLD;
    }

    function _requireKnown(bytes32 certificate) private view returns (uint256 slot) {
        slot = _certificates[certificate];
        if (slot == 0) revert RegistryUnknownCertificate(certificate);
    }

    function _requireCounter(bytes32 certificate, uint256 slot, uint16 counter) private pure {
        uint16 expected = slot.holdCounter();
        if (expected != counter) revert RegistryHoldCounter(certificate, expected, counter);
    }

    function _requireRevocationReason(uint8 reason) private pure {
        if ((REVOCATION_REASONS >> reason) & 1 == 0) revert RegistryBadReason(reason);
    }
}
