// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {CertificateSlot} from "./CertificateSlot.sol";
import {ICertificateRegistry} from "./interfaces/ICertificateRegistry.sol";
import {Endorsements} from "./registry/Endorsements.sol";
import {BatchRecord, RegistryBase} from "./registry/RegistryBase.sol";
import {Revocations} from "./registry/Revocations.sol";
import {Submissions} from "./registry/Submissions.sol";

/// @title Certificates of the consortium's devices
/// @notice Stations and administrators only sign; anyone may relay what they signed. Endorsers send transactions of
/// their own. A certificate costs one slot; its DER is in the event. Source: docs/ledger.md.
contract CertificateRegistry is Submissions, Endorsements, Revocations {
    using CertificateSlot for uint256;

    constructor(address consortium_) RegistryBase(consortium_) {}

    /// @inheritdoc ICertificateRegistry
    function statusOf(bytes32 spkiHash, bytes32 tbsHash) external view returns (CertificateStatus memory answer) {
        uint256 slot = _certificates[Hashes.efficientKeccak256(spkiHash, tbsHash)];
        if (slot == 0) return answer;
        answer.notAfter = slot.notAfter();
        answer.profile = slot.profile();
        answer.batch = slot.batch();
        answer.entry = slot.entry();
        answer.lot = slot.lot();
        answer.holdCounter = slot.holdCounter();
        answer.flags = slot.effectiveFlags();
        (answer.state, answer.reason, answer.since) = _judge(slot, _keyBlocks[spkiHash]);
    }

    /// @dev Precedence: revoked or blocked key, rejected, lapsed, submitted, expired, superseded, held, valid.
    function _judge(uint256 slot, uint256 block_) private view returns (Status, uint8 reason, uint40 since) {
        if (slot.state() == CertificateSlot.REVOKED) return (Status.Revoked, slot.reason(), slot.changedAt());
        if (block_ != 0) return (Status.Revoked, uint8(block_), uint40(block_ >> 8));
        BatchRecord storage known = _batches[slot.batch()];
        uint40 decidedAt = known.decidedAt;
        if ((known.rejected >> slot.entry()) & 1 == 1) return (Status.Rejected, 0, decidedAt);
        if ((known.accepted >> slot.entry()) & 1 == 0) {
            uint40 windowEnd = known.windowEnd;
            return
                block.timestamp > windowEnd ? (Status.Lapsed, 0, windowEnd) : (Status.Submitted, 0, known.submittedAt);
        }
        if (block.timestamp > slot.notAfter()) return (Status.Expired, 0, slot.notAfter());
        if (slot.state() == CertificateSlot.SUPERSEDED) return (Status.Superseded, slot.reason(), slot.changedAt());
        since = slot.changedAt() > decidedAt ? slot.changedAt() : decidedAt;
        if (slot.effectiveFlags() & CertificateSlot.HOLDS != 0) {
            return (Status.Held, CertificateSlot.HOLD_REASON, since);
        }
        if (slot.flags() & CertificateSlot.EMERGENCY_HOLD != 0 && slot.emergencyEnd() > since) {
            since = uint40(slot.emergencyEnd());
        }
        return (Status.Valid, 0, since);
    }
}
