// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {CertificateSlot} from "../CertificateSlot.sol";
import {LotRecord} from "../LotRules.sol";
import {Nonces} from "../Nonces.sol";
import {ICertificateRegistry} from "../interfaces/ICertificateRegistry.sol";
import {IConsortium} from "../interfaces/IConsortium.sol";
import {IDirectory} from "../interfaces/IDirectory.sol";
import {CertificateParser} from "../x509/CertificateParser.sol";
import {CertificateRules, CheckedCertificate} from "../x509/CertificateRules.sol";
import {Reasons} from "../x509/Reasons.sol";
import {Lots} from "./Lots.sol";
import {BatchRecord} from "./RegistryBase.sol";

/// @title Submission: a station's batch becomes slots and events
abstract contract Submissions is Lots {
    using CertificateSlot for uint256;
    using Nonces for Nonces.Used;

    /// @param owner Whose lot took an entry of some batch with this digest; 0 as long as nobody's did.
    struct Latest {
        uint40 id;
        uint16 owner;
    }

    bytes32 private constant SUBMISSION_TYPE = keccak256(
        "Submission(address station,bytes32 batchDigest,uint16 profile,uint40 lot,uint256 nonce,uint64 deadline)"
    );
    bytes32 private constant TRUST_LIST = keccak256("TrustList");
    uint256 private constant MAXIMUM_ENTRIES = 200;
    uint256 private constant LEAST_K = 2;

    uint40 public override batchCount;
    mapping(bytes32 digest => Latest) private _latestBatch;

    /// @inheritdoc ICertificateRegistry
    function submit(Submission calldata submission, bytes[] calldata certificates, bytes calldata signature)
        external
        returns (uint40 id)
    {
        // 1. Size.
        uint256 count = certificates.length;
        if (count == 0 || count > MAXIMUM_ENTRIES) revert RegistryBatchSize(count);

        // 2. The same bytes again: nothing to do, unless something can still come of it.
        bytes32 digest = _digest(certificates);
        Latest memory latest = _latestBatch[digest];
        id = latest.id;
        if (id != 0 && (_nonces.isUsed(submission.station, submission.nonce) || !_mayComeAgain(latest, submission.lot)))
        {
            return id;
        }

        // 3. Who may, in which lot, by which rules.
        _requireDeadline(submission.deadline);
        BatchRecord memory made;
        made.digest = digest;
        made.count = uint8(count);
        made.lot = submission.lot;
        made.stationMember = CONSORTIUM.actingMember(submission.station, IConsortium.Role.Station);
        if (made.stationMember == 0) revert RegistryUnknownStation(submission.station);
        CertificateRules memory rules = _rulesOf(submission);
        made.lotOwner = _lots[submission.lot].terms.owner;

        // 4. What the station signed.
        _useNonce(submission.station, submission.nonce);
        _requireSignature(submission.station, _submissionHash(submission, digest), signature);

        // 5. The certificates: each for itself, none can stop the others.
        _fixElectorate(made, rules.profile);
        id = ++batchCount;
        CheckedCertificate[] memory checked = CertificateParser.checkBatch(certificates, rules);
        made.present = _record(id, submission, checked, rules.profile.caIssued);
        if (made.present == 0) {
            made.windowEnd = made.submittedAt;
            made.decidedAt = made.submittedAt;
        } else {
            latest.owner = made.lotOwner;
        }
        _latestBatch[digest] = Latest(id, latest.owner);
        _batches[id] = made;
        _emitBatch(id, made, submission, certificates, checked);
    }

    /// @inheritdoc ICertificateRegistry
    function batchOf(bytes32 digest) external view returns (uint40) {
        return _latestBatch[digest].id;
    }

    /// @return digest The hash over the entry hashes, as EIP-712 has it for `bytes[]`.
    function _digest(bytes[] calldata certificates) private pure returns (bytes32 digest) {
        bytes32[] memory hashes = new bytes32[](certificates.length);
        for (uint256 i = 0; i < hashes.length; ++i) {
            hashes[i] = _hash(certificates[i]);
        }
        assembly ("memory-safe") {
            digest := keccak256(add(hashes, 0x20), shl(5, mload(hashes)))
        }
    }

    /// @dev Hashes in memory that is free again afterwards: `keccak256` of calldata would keep it.
    function _hash(bytes calldata content) private pure returns (bytes32 hashed) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            calldatacopy(free, content.offset, content.length)
            hashed := keccak256(free, content.length)
        }
    }

    function _submissionHash(Submission calldata s, bytes32 digest) private pure returns (bytes32) {
        return keccak256(abi.encode(SUBMISSION_TYPE, s.station, digest, s.profile, s.lot, s.nonce, s.deadline));
    }

    /// @dev Decision 0003: an entry that lapsed or was refused may come again; while any can still be decided, not.
    /// Once an entry was taken, the digest is its owner's: another's lot could only have all of it refused.
    function _mayComeAgain(Latest memory latest, uint40 lotId) private view returns (bool) {
        if (latest.owner != 0 && latest.owner != _lots[lotId].terms.owner) return false;
        BatchRecord storage known = _batches[latest.id];
        uint256 present = known.present;
        if (present == 0) return true;
        if (block.timestamp <= known.windowEnd) return false;
        return known.accepted | known.rejected != present || present != (1 << known.count) - 1;
    }

    function _rulesOf(Submission calldata submission) private view returns (CertificateRules memory rules) {
        uint40 id = submission.lot;
        LotRecord storage open = _lots[id];
        uint16 owner = open.terms.owner;
        if (owner == 0) revert RegistryUnknownLot(id);
        if (open.closed || block.timestamp >= open.terms.closesAt) revert RegistryLotClosed(id);
        IConsortium.Member memory ownerMember = CONSORTIUM.member(owner);
        if (_hasOwnerChanged(open, ownerMember)) revert RegistryLotClosed(id);
        if (!_contains(open.terms.stations, submission.station)) {
            revert RegistryStationNotInLot(submission.station, id);
        }
        if (open.terms.profile != submission.profile) revert RegistryLotProfile(id, submission.profile);
        rules.profile = CONSORTIUM.profile(submission.profile);
        if (!rules.profile.active) revert RegistryUnknownProfile(submission.profile);
        rules.organisation = bytes(ownerMember.name);
        rules.ranges = open.terms.ranges;
        rules.blockTime = uint64(block.timestamp);
        if (rules.profile.caIssued) {
            rules.trustList = IDirectory(CONSORTIUM.directory()).current(TRUST_LIST).location;
        }
    }

    function _fixElectorate(BatchRecord memory made, IConsortium.Profile memory profile) private view {
        made.electorate = CONSORTIUM.currentElectorate();
        IConsortium.Electorate memory electorate = CONSORTIUM.electorate(made.electorate);
        uint256 n = electorate.members.length;
        if (_contains(electorate.members, made.stationMember)) --n;
        if (made.lotOwner != made.stationMember && _contains(electorate.members, made.lotOwner)) --n;
        uint256 k = profile.k > electorate.quorum ? profile.k : electorate.quorum;
        if (k < LEAST_K) k = LEAST_K;
        made.n = uint8(n);
        made.k = uint8(k);
        if (n < k) revert RegistryElectorateTooSmall(made.n, made.k);
        made.submittedAt = uint40(block.timestamp);
        made.windowEnd = uint40(block.timestamp + profile.windowSeconds);
    }

    /// @dev Writes the slots. `checked` gets the reasons of those without one, and the id in place of the key's hash.
    function _record(uint40 id, Submission calldata submission, CheckedCertificate[] memory checked, bool caIssued)
        private
        returns (uint256 present)
    {
        uint256 common = CertificateSlot.template(submission.profile, id, submission.lot);
        if (caIssued) common = common.caIssued();
        LotRecord storage open = _lots[submission.lot];
        uint256 left = open.terms.maximum - open.used;
        uint256 leftBefore = left;
        uint256 filter = _keyBlockFilter;
        for (uint256 i = 0; i < checked.length; ++i) {
            CheckedCertificate memory entry = checked[i];
            if (entry.reason != Reasons.NONE) continue;
            if ((filter >> (uint256(entry.spkiHash) & 0xff)) & 1 == 1 && _keyBlocks[entry.spkiHash] != 0) {
                entry.reason = Reasons.KEY_BLOCKED;
                continue;
            }
            bytes32 certificate = Hashes.efficientKeccak256(entry.spkiHash, entry.tbsHash);
            uint256 before = _certificates[certificate];
            if (before != 0 && (before.batch() == id || !_isLapsed(before))) {
                entry.reason = Reasons.ALREADY_SEEN;
                continue;
            }
            // One that lapsed in this lot has its place in it already.
            if (before == 0 || before.lot() != submission.lot) {
                if (left == 0) {
                    entry.reason = Reasons.LOT_FULL;
                    continue;
                }
                --left;
            }
            _certificates[certificate] = common.record(before, i, entry.notAfter);
            entry.spkiHash = certificate;
            present |= 1 << i;
        }
        if (left != leftBefore) open.used += uint32(leftBefore - left);
    }

    function _isLapsed(uint256 slot) private view returns (bool) {
        if (slot.state() != CertificateSlot.RECORDED) return false;
        BatchRecord storage known = _batches[slot.batch()];
        if (block.timestamp <= known.windowEnd) return false;
        return ((known.accepted | known.rejected) >> slot.entry()) & 1 == 0;
    }

    function _emitBatch(
        uint40 id,
        BatchRecord memory made,
        Submission calldata submission,
        bytes[] calldata certificates,
        CheckedCertificate[] memory checked
    ) private {
        emit BatchSubmitted(
            id,
            made.digest,
            submission.station,
            submission,
            made.stationMember,
            made.lotOwner,
            made.electorate,
            made.k,
            made.n,
            made.count,
            made.windowEnd,
            made.present
        );
        for (uint256 i = 0; i < checked.length; ++i) {
            CheckedCertificate memory entry = checked[i];
            if (entry.reason == Reasons.NONE) {
                emit CertificateSubmitted(entry.spkiHash, id, uint8(i), certificates[i]);
            } else {
                emit EntryRefused(id, uint8(i), _hash(certificates[i]), entry.reason);
            }
        }
    }

    function _contains(address[] storage stations, address wanted) private view returns (bool) {
        for (uint256 i = 0; i < stations.length; ++i) {
            if (stations[i] == wanted) return true;
        }
        return false;
    }

    function _contains(uint16[] memory members, uint16 wanted) private pure returns (bool) {
        for (uint256 i = 0; i < members.length; ++i) {
            if (members[i] == wanted) return true;
        }
        return false;
    }
}
