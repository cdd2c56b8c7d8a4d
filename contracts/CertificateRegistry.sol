// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {CertificateSlot} from "./CertificateSlot.sol";
import {KeyProof} from "./KeyProof.sol";
import {LotRules} from "./LotRules.sol";
import {Nonces} from "./Nonces.sol";
import {Settlement} from "./Settlement.sol";
import {TypedDomain} from "./TypedDomain.sol";
import {ICertificateRegistry} from "./interfaces/ICertificateRegistry.sol";
import {IConsortium} from "./interfaces/IConsortium.sol";
import {CertificateParser} from "./x509/CertificateParser.sol";
import {CertificateRules, CheckedCertificate} from "./x509/CertificateRules.sol";
import {Reasons} from "./x509/Reasons.sol";

/// @title Certificates of the consortium's devices
/// @notice Stations and administrators only sign; anyone may relay what they signed. Endorsers send transactions of
/// their own. A certificate costs one slot; its DER is in the event. Source: docs/ledger.md.
contract CertificateRegistry is ICertificateRegistry, TypedDomain {
    using CertificateSlot for uint256;
    using Nonces for Nonces.Used;

    bytes32 private constant SUBMISSION_TYPE = keccak256(
        "Submission(address station,bytes32 batchDigest,uint16 profile,uint40 lot,uint256 nonce,uint64 deadline)"
    );
    bytes32 private constant HOLD_TYPE =
        keccak256("Hold(bytes32 certificate,uint8 kind,uint8 reason,uint16 counter,uint64 deadline)");
    bytes32 private constant RELEASE_TYPE =
        keccak256("Release(bytes32 certificate,uint8 kind,uint8 reason,uint16 counter,uint64 deadline)");
    bytes32 private constant REVOKE_TYPE = keccak256("Revoke(bytes32 certificate,uint8 reason,uint64 deadline)");
    bytes32 private constant REVOKE_KEY_TYPE = keccak256("RevokeKey(bytes32 spkiHash,uint8 reason,uint64 deadline)");
    bytes32 private constant OPEN_LOT_TYPE = keccak256("OpenLot(bytes32 termsHash,uint256 nonce,uint64 deadline)");
    bytes32 private constant CLOSE_LOT_TYPE = keccak256("CloseLot(uint40 lot,uint64 deadline)");

    uint256 private constant MAXIMUM_ENTRIES = 200;
    uint256 private constant MAP = (1 << MAXIMUM_ENTRIES) - 1;
    uint256 private constant ENDORSED_AT = 208;
    uint256 private constant HAS_ABSTENTIONS = 1 << 200;
    uint256 private constant LEAST_K = 2;

    uint8 private constant KEY_COMPROMISE = 1;
    uint8 private constant REMOVE_FROM_CRL = 8;
    uint256 private constant REVOCATION_REASONS = 0x23b; // 0, 1, 3, 4, 5, 9
    uint256 private constant BLOCKED_AT = 8;
    uint256 private constant BLOCKED_BY_PROOF = 1 << 48;

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

    struct LotRecord {
        LotTerms terms;
        uint32 used;
        uint40 openedAt;
        bool closed;
    }

    // Slots 0, 1 and 2 are read by proofs: frozen.
    mapping(bytes32 certificate => uint256 slot) private _certificates;
    mapping(uint40 id => BatchRecord) private _batches;
    mapping(bytes32 spkiHash => uint256 block_) private _keyBlocks;

    mapping(uint40 id => mapping(uint16 member => uint256 map)) private _endorsements;
    mapping(uint40 id => mapping(uint16 member => uint256 map)) private _abstentions;
    mapping(bytes32 digest => uint40 id) private _latestBatch;
    mapping(uint40 id => LotRecord) private _lots;
    mapping(bytes32 certificate => mapping(uint16 member => uint40 at)) private _emergencyHolds;
    mapping(bytes32 certificate => uint16 member) private _emergencyHolder;
    Nonces.Used private _nonces;
    // Bit b is set when a blocked key's hash ends in the octet b: most submissions need not look at `_keyBlocks`.
    uint256 private _keyBlockFilter;
    uint40 public override batchCount;
    uint40 public override lotCount;

    IConsortium private immutable CONSORTIUM;

    constructor(address consortium_) TypedDomain(IConsortium(consortium_).salt()) {
        CONSORTIUM = IConsortium(consortium_);
        KeyProof.requirePrecompile();
    }

    modifier onlyConsortium() {
        if (msg.sender != address(CONSORTIUM)) revert RegistryNotAuthorised(msg.sender);
        _;
    }

    // Lots

    /// @inheritdoc ICertificateRegistry
    function openLot(
        LotTerms calldata terms,
        address administrator,
        uint256 nonce,
        uint64 deadline,
        bytes calldata signature
    ) external returns (uint40 id) {
        _requireDeadline(deadline);
        if (!_nonces.use(administrator, nonce)) revert RegistryNonceUsed(administrator, nonce);
        if (terms.owner == 0 || CONSORTIUM.actingMember(administrator, IConsortium.Role.Administrator) != terms.owner) {
            revert RegistryNotAuthorised(administrator);
        }
        bytes32 termsHash = keccak256(abi.encode(terms));
        _requireSignature(administrator, keccak256(abi.encode(OPEN_LOT_TYPE, termsHash, nonce, deadline)), signature);
        LotRules.requireTerms(CONSORTIUM, terms);

        id = ++lotCount;
        LotRecord storage opened = _lots[id];
        opened.terms = terms;
        opened.openedAt = uint40(block.timestamp);
        emit LotOpened(id, terms.owner, administrator, terms);
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

    // Submission

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
        id = _latestBatch[digest];
        if (id != 0 && (_nonces.isUsed(submission.station, submission.nonce) || !_mayComeAgain(id))) return id;

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
        if (!_nonces.use(submission.station, submission.nonce)) {
            revert RegistryNonceUsed(submission.station, submission.nonce);
        }
        _requireSignature(submission.station, _submissionHash(submission, digest), signature);

        // 5. The certificates: each for itself, none can stop the others.
        _fixElectorate(made, rules.profile);
        id = ++batchCount;
        _latestBatch[digest] = id;
        CheckedCertificate[] memory checked = CertificateParser.checkBatch(certificates, rules);
        made.present = _record(id, submission, checked);
        if (made.present == 0) {
            made.windowEnd = made.submittedAt;
            made.decidedAt = made.submittedAt;
        }
        _batches[id] = made;
        _emitBatch(id, made, submission, certificates, checked);
    }

    // Endorsement

    /// @inheritdoc ICertificateRegistry
    function endorse(uint40 id, bytes32 digest, uint256 accepts, uint256 abstains, bytes calldata reasons) external {
        BatchRecord memory judged = _batches[id];
        if (judged.digest == 0) revert RegistryUnknownBatch(id);
        if (judged.digest != digest) revert RegistryBatchDigest(id, judged.digest);
        uint16[] memory members = CONSORTIUM.electorate(judged.electorate).members;
        uint16 endorser = CONSORTIUM.actingMember(msg.sender, IConsortium.Role.Endorser);
        if (
            endorser == 0 || endorser == judged.stationMember || endorser == judged.lotOwner
                || !_contains(members, endorser)
        ) revert RegistryNotEndorser(msg.sender);
        if (block.timestamp > judged.windowEnd) revert RegistryWindowOver(id);
        if (_endorsements[id][endorser] != 0) revert RegistryAlreadyEndorsed(id, endorser);
        _requireVerdict(id, judged.present, accepts, abstains, reasons);

        uint256 word = accepts | (block.timestamp << ENDORSED_AT);
        if (abstains != 0) {
            word |= HAS_ABSTENTIONS;
            _abstentions[id][endorser] = abstains;
        }
        _endorsements[id][endorser] = word;

        uint256 before = judged.accepted | judged.rejected;
        _settle(id, judged, members);
        uint256 decided = judged.accepted | judged.rejected;
        if (decided != before) {
            BatchRecord storage kept = _batches[id];
            kept.accepted = judged.accepted;
            kept.rejected = judged.rejected;
            kept.decidedAt = uint40(block.timestamp);
        }
        emit BatchEndorsed(
            id,
            endorser,
            msg.sender,
            accepts,
            abstains,
            reasons,
            judged.accepted,
            judged.rejected,
            decided == judged.present
        );
    }

    // Hold, release, revoke

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
        _requireCounter(certificate, slot, counter);
        // The last number is kept for the release.
        if (counter >= type(uint16).max - 1) revert RegistryHoldCounterExhausted(certificate);
        _hold(certificate, slot, kind, holder, signer);
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
        _hold(certificate, _requireKnown(certificate), HoldKind.Consortium, 0, msg.sender);
    }

    /// @notice Lifts a hold by vote and a running emergency hold.
    /// @inheritdoc ICertificateRegistry
    function releaseByVote(bytes32 certificate) external onlyConsortium {
        uint256 slot = _requireKnown(certificate);
        uint8 held = slot.effectiveFlags();
        bool emergency = held & CertificateSlot.EMERGENCY_HOLD != 0;
        if (held & CertificateSlot.CONSORTIUM_HOLD != 0 || !emergency) {
            _release(certificate, slot, HoldKind.Consortium, 0, msg.sender);
        }
        if (emergency) _release(certificate, _certificates[certificate], HoldKind.Emergency, 0, msg.sender);
    }

    // Views

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

    /// @inheritdoc ICertificateRegistry
    function slotOf(bytes32 certificate) external view returns (uint256) {
        return _certificates[certificate];
    }

    /// @inheritdoc ICertificateRegistry
    function keyBlock(bytes32 spkiHash) external view returns (uint8 reason, uint40 since, bool byProof) {
        uint256 word = _keyBlocks[spkiHash];
        return (uint8(word), uint40(word >> BLOCKED_AT), word & BLOCKED_BY_PROOF != 0);
    }

    /// @inheritdoc ICertificateRegistry
    function endorsement(uint40 batchId, uint16 member)
        external
        view
        returns (uint256 accepts, uint256 abstains, uint40 endorsedAt)
    {
        uint256 word = _endorsements[batchId][member];
        return (word & MAP, _abstentions[batchId][member], uint40(word >> ENDORSED_AT));
    }

    /// @inheritdoc ICertificateRegistry
    function batch(uint40 id) external view returns (Batch memory) {
        BatchRecord memory b = _batches[id];
        return Batch({
            digest: b.digest,
            stationMember: b.stationMember,
            lotOwner: b.lotOwner,
            electorate: b.electorate,
            k: b.k,
            n: b.n,
            count: b.count,
            submittedAt: b.submittedAt,
            windowEnd: b.windowEnd,
            settledAt: (b.accepted | b.rejected) == b.present ? b.decidedAt : 0,
            lot: b.lot,
            present: b.present,
            accepted: b.accepted,
            rejected: b.rejected
        });
    }

    /// @inheritdoc ICertificateRegistry
    function batchOf(bytes32 digest) external view returns (uint40) {
        return _latestBatch[digest];
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

    /// @inheritdoc ICertificateRegistry
    function isNonceUsed(address signer, uint256 nonce) external view returns (bool) {
        return _nonces.isUsed(signer, nonce);
    }

    /// @inheritdoc ICertificateRegistry
    function consortium() external view returns (address) {
        return address(CONSORTIUM);
    }

    // Submission, inside

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
    function _mayComeAgain(uint40 id) private view returns (bool) {
        BatchRecord storage known = _batches[id];
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
    }

    /// @dev A lot ends with its owner's rights, and does not come back with them.
    function _hasOwnerChanged(LotRecord storage known, IConsortium.Member memory owner) private view returns (bool) {
        return owner.state != IConsortium.MemberState.Active || owner.changedAt > known.openedAt;
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
    function _record(uint40 id, Submission calldata submission, CheckedCertificate[] memory checked)
        private
        returns (uint256 present)
    {
        uint256 common = CertificateSlot.template(submission.profile, id, submission.lot);
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

    // Endorsement, inside

    function _requireVerdict(uint40 id, uint256 present, uint256 accepts, uint256 abstains, bytes calldata reasons)
        private
        pure
    {
        if ((accepts | abstains) & ~present != 0) {
            revert RegistryBadVerdict(id, "a map has an entry that is not present");
        }
        if (accepts & abstains != 0) revert RegistryBadVerdict(id, "an entry is accepted and abstained from");
        if (reasons.length % 3 != 0) revert RegistryBadVerdict(id, "reasons are three octets each");
        uint256 open = present & ~accepts;
        uint256 above = type(uint256).max;
        for (uint256 i = 0; i < reasons.length; i += 3) {
            uint256 entry = uint8(reasons[i]);
            uint256 reason = (uint256(uint8(reasons[i + 1])) << 8) | uint8(reasons[i + 2]);
            uint256 bit = uint256(1) << entry;
            if (open & above & bit == 0) {
                revert RegistryBadVerdict(id, "reasons are for entries not accepted, once each, ascending");
            }
            if (reason == 0 || (reason >= Reasons.FIRST_TRANSIENT) != (abstains & bit != 0)) {
                revert RegistryBadVerdict(id, "a transient reason goes with an abstention, another with a rejection");
            }
            open &= ~bit;
            above = ~((bit << 1) - 1);
        }
        if (open != 0) revert RegistryBadVerdict(id, "an entry that is not accepted has no reason");
    }

    /// @dev Recomputed from what every member that is active now endorsed: a member suspended since does not count,
    /// but what was decided before stays so.
    function _settle(uint40 id, BatchRecord memory judged, uint16[] memory members) private view {
        Settlement.Count memory accepting;
        Settlement.Count memory rejecting;
        for (uint256 i = 0; i < members.length; ++i) {
            uint256 word = _endorsements[id][members[i]];
            if (word == 0 || !CONSORTIUM.isActive(members[i])) continue;
            uint256 accepts = word & MAP;
            uint256 abstains = word & HAS_ABSTENTIONS == 0 ? 0 : _abstentions[id][members[i]];
            Settlement.add(accepting, accepts);
            Settlement.add(rejecting, judged.present & ~accepts & ~abstains);
        }
        judged.accepted |= Settlement.atLeast(accepting, judged.k) & ~judged.rejected;
        judged.rejected |= Settlement.atLeast(rejecting, uint256(judged.n) - judged.k + 1) & ~judged.accepted;
    }

    // Holds and revocation, inside

    function _hold(bytes32 certificate, uint256 slot, HoldKind kind, uint16 holder, address by) private {
        if (slot.state() == CertificateSlot.REVOKED) revert RegistryRevoked(certificate);
        uint8 held = slot.effectiveFlags();
        uint8 bit = _bitOf(kind);
        if (held & bit != 0) revert RegistryAlreadyHeld(certificate, uint8(kind));
        uint256 changed = slot.withFlags(held | bit);
        uint40 until = 0;
        if (kind == HoldKind.Emergency) {
            uint256 hour = _useEmergencyHold(certificate, holder);
            changed = changed.withEmergencyUntil(hour);
            until = uint40(hour * 1 hours);
        }
        _certificates[certificate] = changed;
        emit CertificateHeld(certificate, holder, by, kind, CertificateSlot.HOLD_REASON, changed.holdCounter(), until);
    }

    /// @return hour The end, in whole hours since 1970: never later than the parameter allows.
    function _useEmergencyHold(bytes32 certificate, uint16 holder) private returns (uint256 hour) {
        IConsortium.Parameters memory parameters = CONSORTIUM.parameters();
        uint256 last = _emergencyHolds[certificate][holder];
        if (last != 0 && block.timestamp <= last + parameters.governanceWindowSeconds) {
            revert RegistryEmergencyHoldUsed(certificate, holder);
        }
        _emergencyHolds[certificate][holder] = uint40(block.timestamp);
        _emergencyHolder[certificate] = holder;
        return block.timestamp / 1 hours + parameters.emergencyHoldHours;
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

    /// @dev Precedence: revoked or blocked key, rejected, lapsed, submitted, expired, superseded, held, valid.
    function _judge(uint256 slot, uint256 block_) private view returns (Status, uint8 reason, uint40 since) {
        if (slot.state() == CertificateSlot.REVOKED) return (Status.Revoked, slot.reason(), slot.changedAt());
        if (block_ != 0) return (Status.Revoked, uint8(block_), uint40(block_ >> BLOCKED_AT));
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

    // Who and what, inside

    /// @return member The active member for whom `who` may order, 0 when it may not.
    function _memberOf(address who, bool dutyToo, bool suspendedToo) private view returns (uint16 member) {
        IConsortium.Account memory known = CONSORTIUM.account(who);
        bool hasRole = known.role == IConsortium.Role.Administrator || (dutyToo && known.role == IConsortium.Role.Duty);
        if (!known.active || !hasRole) return 0;
        IConsortium.MemberState state = CONSORTIUM.memberState(known.member);
        bool mayAct =
            state == IConsortium.MemberState.Active || (suspendedToo && state == IConsortium.MemberState.Suspended);
        return mayAct ? known.member : 0;
    }

    function _ownerOf(uint256 slot) private view returns (uint16) {
        return _lots[slot.lot()].terms.owner;
    }

    function _bitOf(HoldKind kind) private pure returns (uint8) {
        if (kind == HoldKind.Owner) return CertificateSlot.OWNER_HOLD;
        return kind == HoldKind.Consortium ? CertificateSlot.CONSORTIUM_HOLD : CertificateSlot.EMERGENCY_HOLD;
    }

    function _requireDeadline(uint64 deadline) private view {
        if (block.timestamp > deadline) revert RegistryDeadlinePassed(deadline);
    }

    function _requireSignature(address signer, bytes32 structHash, bytes calldata signature) private view {
        if (!_isSigned(signer, structHash, signature)) revert RegistryBadSignature(signer);
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

    function _contains(uint16[] memory members, uint16 wanted) private pure returns (bool) {
        for (uint256 i = 0; i < members.length; ++i) {
            if (members[i] == wanted) return true;
        }
        return false;
    }

    function _contains(address[] storage stations, address wanted) private view returns (bool) {
        for (uint256 i = 0; i < stations.length; ++i) {
            if (stations[i] == wanted) return true;
        }
        return false;
    }
}
