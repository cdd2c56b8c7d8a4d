// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ICertificateRegistry} from "../interfaces/ICertificateRegistry.sol";
import {IConsortium} from "../interfaces/IConsortium.sol";
import {Reasons} from "../x509/Reasons.sol";
import {Log} from "./Cheats.sol";
import {LedgerTest} from "./LedgerTest.sol";
import {CertificateBuilder, Draft} from "./x509/CertificateBuilder.sol";

contract SubmissionTest is LedgerTest {
    uint40 private lot;

    function setUp() public override {
        super.setUp();
        lot = openLot();
    }

    function refusedFor(ICertificateRegistry.Submission memory s, bytes[] memory entries, bytes memory error_) private {
        refused(address(registry), submitCall(s, entries, keyOf(VENDOR, "station")), error_);
    }

    /// @return reasons of the entries that the batch refused, 0 where it took them
    function submitAndCollect(bytes[] memory entries) private returns (uint16[] memory reasons) {
        bytes memory call_ = submitCall(submission(lot), entries, keyOf(VENDOR, "station"));
        vm.recordLogs();
        ok(address(registry), call_);
        Log[] memory logs = vm.getRecordedLogs();
        reasons = new uint16[](entries.length);
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] != ICertificateRegistry.EntryRefused.selector) continue;
            (uint8 index, bytes32 entryHash, uint16 reason) = abi.decode(logs[i].data, (uint8, bytes32, uint16));
            check(entryHash == keccak256(entries[index]), "the entry's hash");
            reasons[index] = reason;
        }
    }

    function test_submit() external {
        bytes[] memory entries = certificates(0, 3);
        uint40 id = submit(lot, entries);
        ICertificateRegistry.Batch memory batch = registry.batch(id);
        check(batch.digest == digestOf(entries) && registry.batchOf(batch.digest) == id, "digest");
        check(batch.stationMember == VENDOR && batch.lotOwner == VENDOR && batch.lot == lot, "whose");
        check(batch.k == 2 && batch.n == 3 && batch.count == 3 && batch.electorate == 1, "who decides");
        check(batch.submittedAt == now_ && batch.windowEnd == now_ + WINDOW && batch.settledAt == 0, "times");
        check(batch.present == 7 && batch.accepted == 0 && batch.rejected == 0, "maps");
        check(registry.lot(lot).used == 3, "used");
        ICertificateRegistry.CertificateStatus memory status = statusOf(2);
        check(status.state == ICertificateRegistry.Status.Submitted && status.since == now_, "submitted");
        check(status.batch == id && status.entry == 2 && status.lot == lot && status.profile == SMALL_CELL, "where");
        expectState(3, ICertificateRegistry.Status.Unknown);
    }

    // The envelope

    function test_size() external {
        ICertificateRegistry.Submission memory s = submission(lot);
        refusedFor(
            s, new bytes[](0), abi.encodeWithSelector(ICertificateRegistry.RegistryBatchSize.selector, uint256(0))
        );
        refusedFor(
            s, new bytes[](201), abi.encodeWithSelector(ICertificateRegistry.RegistryBatchSize.selector, uint256(201))
        );
        ok(address(registry), submitCall(s, new bytes[](200), keyOf(VENDOR, "station")));
    }

    function test_deadline() external {
        ICertificateRegistry.Submission memory s = submission(lot);
        bytes[] memory entries = certificates(0, 1);
        goTo(s.deadline + 1);
        refusedFor(s, entries, abi.encodeWithSelector(ICertificateRegistry.RegistryDeadlinePassed.selector, s.deadline));
        goTo(s.deadline);
        ok(address(registry), submitCall(s, entries, keyOf(VENDOR, "station")));
    }

    function test_station() external {
        bytes[] memory entries = certificates(0, 1);
        ICertificateRegistry.Submission memory s = submission(lot);
        s.station = admin(VENDOR);
        bytes4 unknown = ICertificateRegistry.RegistryUnknownStation.selector;
        refusedFor(s, entries, abi.encodeWithSelector(unknown, admin(VENDOR)));
        s.station = station(VENDOR);
        ok(address(consortium), setAccountCall(VENDOR, station(VENDOR), IConsortium.Role.Station, false, VENDOR));
        refusedFor(s, entries, abi.encodeWithSelector(unknown, station(VENDOR)));
    }

    function test_stationOfASuspendedMember() external {
        bytes[] memory entries = certificates(0, 1);
        suspend(VENDOR);
        refusedFor(
            submission(lot),
            entries,
            abi.encodeWithSelector(ICertificateRegistry.RegistryUnknownStation.selector, station(VENDOR))
        );
    }

    function test_stationOfAnotherMember() external {
        bytes[] memory entries = certificates(0, 1);
        ICertificateRegistry.Submission memory s = submission(lot);
        s.station = station(OEM);
        refused(
            address(registry),
            submitCall(s, entries, keyOf(OEM, "station")),
            abi.encodeWithSelector(ICertificateRegistry.RegistryStationNotInLot.selector, station(OEM), lot)
        );
    }

    /// @notice A lot may name the station of a manufacturer: then neither of the two members decides.
    function test_lotWorkedByAnotherMember() external {
        ICertificateRegistry.LotTerms memory terms = cellTerms();
        terms.stations = one(station(OEM));
        lot = abi.decode(ok(address(registry), openLotCall(terms, VENDOR)), (uint40));
        ICertificateRegistry.Submission memory s = submission(lot);
        s.station = station(OEM);
        bytes[] memory entries = certificates(0, 1);
        ok(address(registry), submitCall(s, entries, keyOf(OEM, "station")));
        ICertificateRegistry.Batch memory batch = registry.batch(1);
        check(batch.stationMember == OEM && batch.lotOwner == VENDOR && batch.n == 2, "both are left out");
        endorseRefused(VENDOR);
        endorseRefused(OEM);
    }

    function endorseRefused(uint16 member) private {
        bytes memory call_ = endorseCall(1, 1, 0);
        vm.prank(accountOf(member, "endorser"));
        refused(
            address(registry),
            call_,
            abi.encodeWithSelector(ICertificateRegistry.RegistryNotEndorser.selector, accountOf(member, "endorser"))
        );
    }

    function test_lot() external {
        bytes[] memory entries = certificates(0, 1);
        refusedFor(submission(9), entries, abi.encodeWithSelector(ICertificateRegistry.RegistryUnknownLot.selector, 9));
        goTo(registry.lot(lot).closesAt);
        refusedFor(
            submission(lot), entries, abi.encodeWithSelector(ICertificateRegistry.RegistryLotClosed.selector, lot)
        );
    }

    function test_profile() external {
        bytes[] memory entries = certificates(0, 1);
        ICertificateRegistry.Submission memory s = submission(lot);
        s.profile = 9;
        refusedFor(s, entries, abi.encodeWithSelector(ICertificateRegistry.RegistryLotProfile.selector, lot, uint16(9)));
        IConsortium.Profile memory retired = smallCell();
        retired.active = false;
        bytes memory content = abi.encode(IConsortium.ProfileSeed(SMALL_CELL, retired));
        uint64 id = propose(OPERATOR, IConsortium.ProposalKind.SetProfile, content);
        vote(VENDOR, id, content);
        vote(OEM, id, content);
        pass(DELAY);
        consortium.execute(id, content);
        refusedFor(
            submission(lot),
            entries,
            abi.encodeWithSelector(ICertificateRegistry.RegistryUnknownProfile.selector, SMALL_CELL)
        );
    }

    function test_nonce() external {
        ICertificateRegistry.Submission memory s = submission(lot);
        ok(address(registry), submitCall(s, certificates(0, 1), keyOf(VENDOR, "station")));
        refusedFor(
            s,
            certificates(1, 1),
            abi.encodeWithSelector(ICertificateRegistry.RegistryNonceUsed.selector, s.station, s.nonce)
        );
        check(registry.isNonceUsed(s.station, s.nonce), "used");
    }

    function test_signature() external {
        bytes[] memory entries = certificates(0, 1);
        ICertificateRegistry.Submission memory s = submission(lot);
        bytes memory bad = abi.encodeWithSelector(ICertificateRegistry.RegistryBadSignature.selector, s.station);
        refused(address(registry), submitCall(s, entries, keyOf(OEM, "station")), bad);
        bytes32 structHash = submissionHash(s, entries);
        bytes32[3] memory separators = [
            domainSeparator(address(registry), block.chainid + 1, SALT),
            domainSeparator(address(registry), block.chainid, keccak256("another consortium")),
            domainSeparator(address(consortium), block.chainid, SALT)
        ];
        for (uint256 i = 0; i < 3; ++i) {
            bytes memory signature = signIn(keyOf(VENDOR, "station"), separators[i], structHash);
            refused(address(registry), abi.encodeCall(ICertificateRegistry.submit, (s, entries, signature)), bad);
        }
        refused(address(registry), abi.encodeCall(ICertificateRegistry.submit, (s, entries, "")), bad);
        check(!registry.isNonceUsed(s.station, s.nonce), "not used by what was refused");
    }

    /// @notice What a founder's chain took is of no use on another with equal addresses.
    function test_onAnotherChain() external {
        bytes memory call_ = submitCall(submission(lot), certificates(0, 1), keyOf(VENDOR, "station"));
        vm.chainId(4242);
        refused(
            address(registry),
            call_,
            abi.encodeWithSelector(ICertificateRegistry.RegistryBadSignature.selector, station(VENDOR))
        );
    }

    function test_electorateTooSmall() external {
        bytes memory content = abi.encode(three(), uint8(3));
        uint64 id = propose(OPERATOR, IConsortium.ProposalKind.SetElectorate, content);
        vote(VENDOR, id, content);
        vote(OEM, id, content);
        pass(DELAY);
        consortium.execute(id, content);
        refusedFor(
            submission(lot),
            certificates(0, 1),
            abi.encodeWithSelector(ICertificateRegistry.RegistryElectorateTooSmall.selector, uint8(2), uint8(3))
        );
    }

    // Entries

    function test_badEntriesDoNotSinkTheOthers() external {
        bytes[] memory entries = certificates(0, 6);
        entries[1] = new bytes(65_536);
        entries[2] = hex"30";
        entries[3] = "";
        Draft memory foreign = draft(9);
        foreign.signature = CertificateBuilder.signatureOf(bytes32(uint256(1)), bytes32(uint256(1)));
        entries[4] = CertificateBuilder.build(foreign);
        uint16[] memory reasons = submitAndCollect(entries);
        check(reasons[0] == 0 && reasons[5] == 0, "the good ones are in");
        check(reasons[1] == Reasons.ENTRY_TOO_LARGE, "too large");
        check(reasons[2] == Reasons.MALFORMED_DER && reasons[3] == Reasons.MALFORMED_DER, "malformed");
        check(reasons[4] == Reasons.BAD_SIGNATURE, "signature");
        check(registry.batch(1).present == 0x21 && registry.batch(1).count == 6, "present");
        expectState(5, ICertificateRegistry.Status.Submitted);
    }

    function test_twiceInOneBatch() external {
        bytes[] memory entries = certificates(0, 3);
        entries[2] = entries[0];
        uint16[] memory reasons = submitAndCollect(entries);
        check(reasons[0] == 0 && reasons[1] == 0 && reasons[2] == Reasons.ALREADY_SEEN, "the second is seen");
    }

    /// @notice The twin signature (r, n - s) makes other bytes of the same certificate.
    function test_twinSignature() external {
        submit(lot, certificates(0, 1));
        bytes[] memory twin = new bytes[](1);
        Draft memory same = draft(0);
        same.signature = CertificateBuilder.signTwin(CertificateBuilder.tbs(same));
        twin[0] = CertificateBuilder.build(same);
        check(submitAndCollect(twin)[0] == Reasons.ALREADY_SEEN, "seen");
    }

    function test_lotFull() external {
        ICertificateRegistry.LotTerms memory terms = cellTerms();
        terms.maximum = 2;
        lot = abi.decode(ok(address(registry), openLotCall(terms, VENDOR)), (uint40));
        bytes[] memory entries = certificates(0, 4);
        entries[1] = hex"30";
        uint16[] memory reasons = submitAndCollect(entries);
        check(reasons[0] == 0 && reasons[2] == 0 && reasons[3] == Reasons.LOT_FULL, "two fit");
        check(submitAndCollect(certificates(4, 1))[0] == Reasons.LOT_FULL, "and no more");
        check(registry.lot(lot).used == 2, "used");
    }

    function test_blockedKey() external {
        bytes memory content = abi.encode(spkiHash(), uint8(1));
        decide(IConsortium.ProposalKind.BlockKey, content, three());
        check(submitAndCollect(certificates(0, 1))[0] == Reasons.KEY_BLOCKED, "blocked");
    }

    // Again

    function test_againIsANoOp() external {
        ICertificateRegistry.Submission memory s = submission(lot);
        bytes[] memory entries = certificates(0, 2);
        bytes memory call_ = submitCall(s, entries, keyOf(VENDOR, "station"));
        ok(address(registry), call_);
        check(abi.decode(ok(address(registry), call_), (uint40)) == 1, "the same id");
        check(submit(lot, entries) == 1, "under a fresh nonce too");
        check(registry.batchCount() == 1 && registry.lot(lot).used == 2, "nothing happened");
        goTo(s.deadline + 1);
        check(abi.decode(ok(address(registry), call_), (uint40)) == 1, "late as well");
    }

    function test_acceptedWholeIsANoOpForEver() external {
        bytes[] memory entries = certificates(0, 2);
        submit(lot, entries);
        endorseAs(OPERATOR, 1, 3, 0);
        endorseAs(OEM, 1, 3, 0);
        pass(WINDOW + 1);
        check(submit(lot, entries) == 1, "the same id");
    }

    /// @notice Lapsed entries come again with the same bytes under a fresh nonce; decided ones stay as they are.
    function test_lapseAndComeAgain() external {
        ICertificateRegistry.Submission memory s = submission(lot);
        bytes[] memory entries = certificates(0, 2);
        bytes memory first = submitCall(s, entries, keyOf(VENDOR, "station"));
        ok(address(registry), first);
        endorseAs(OPERATOR, 1, 1, 2);
        endorseAs(OEM, 1, 1, 2);
        pass(WINDOW);
        check(submit(lot, entries) == 1, "not while the window is open");
        expectState(1, ICertificateRegistry.Status.Submitted);
        pass(1);
        expectState(0, ICertificateRegistry.Status.Valid);
        expectState(1, ICertificateRegistry.Status.Lapsed);
        check(statusOf(1).since == START + WINDOW, "lapsed since");
        check(abi.decode(ok(address(registry), first), (uint40)) == 1, "the old order is used");

        uint16[] memory reasons = submitAndCollect(entries);
        check(registry.batchCount() == 2 && registry.batchOf(digestOf(entries)) == 2, "a new batch");
        check(reasons[0] == Reasons.ALREADY_SEEN && reasons[1] == 0, "the lapsed one alone");
        check(statusOf(0).batch == 1 && statusOf(1).batch == 2, "where they are");
        expectState(1, ICertificateRegistry.Status.Submitted);
        check(registry.lot(lot).used == 2, "its place was its own already");
        endorseAs(OPERATOR, 2, 2, 0);
        endorseAs(AUTHORITY, 2, 2, 0);
        expectState(1, ICertificateRegistry.Status.Valid);
    }

    function test_holdsOutliveALapse() external {
        submit(lot, certificates(0, 1));
        bytes32 id = idOf(0);
        ok(address(registry), holdCall(id, ICertificateRegistry.HoldKind.Owner, 0, VENDOR, "duty"));
        ok(address(registry), holdCall(id, ICertificateRegistry.HoldKind.Emergency, 1, OEM, "duty"));
        pass(WINDOW + 1);
        expectState(0, ICertificateRegistry.Status.Lapsed);
        submit(lot, certificates(0, 1));
        endorseAs(OPERATOR, 2, 1, 0);
        endorseAs(OEM, 2, 1, 0);
        ICertificateRegistry.CertificateStatus memory status = statusOf(0);
        check(status.state == ICertificateRegistry.Status.Held, "held");
        check(status.flags == 5 && status.holdCounter == 2 && status.reason == 6, "as before");
    }

    function test_revokedDoesNotComeAgain() external {
        submit(lot, certificates(0, 1));
        ok(address(registry), revokeCall(idOf(0), 1, VENDOR, "administrator"));
        pass(WINDOW + 1);
        check(submitAndCollect(certificates(0, 1))[0] == Reasons.ALREADY_SEEN, "seen");
        expectState(0, ICertificateRegistry.Status.Revoked);
    }

    /// @notice Somebody who submits another's certificates first gets them refused, and does not keep them out.
    function test_anothersSubmissionOfTheSameBytes() external {
        bytes[] memory entries = certificates(0, 1);
        uint40 other = lotOfTheOem();
        ICertificateRegistry.Submission memory s = submission(other);
        s.station = station(OEM);
        ok(address(registry), submitCall(s, entries, keyOf(OEM, "station")));
        check(registry.batch(1).present == 0 && registry.batch(1).settledAt == now_, "refused whole, settled");
        check(submit(lot, entries) == 2, "the owner's own goes in at once");
        expectState(0, ICertificateRegistry.Status.Submitted);
        pass(WINDOW + 1);
        s.nonce = nonce();
        s.deadline = later();
        ok(address(registry), submitCall(s, entries, keyOf(OEM, "station")));
        check(registry.batchOf(digestOf(entries)) == 2, "after the lapse the digest stays the owner's");
        check(submit(lot, entries) == 3, "who may submit it again");
        endorseAs(OPERATOR, 3, 1, 0);
        endorseAs(AUTHORITY, 3, 1, 0);
        pass(WINDOW + 1);
        check(submit(lot, entries) == 3, "decided whole: a no-op");
    }

    /// @notice The owner's last batch with this digest may have had every entry refused: it stays the owner's.
    function test_anothersSubmissionAfterOneThatWasRefusedWhole() external {
        bytes[] memory entries = certificates(0, 2);
        submit(lot, entries);
        endorseAs(OPERATOR, 1, 1, 2);
        endorseAs(AUTHORITY, 1, 1, 2);
        pass(WINDOW + 1);
        ok(address(registry), revokeCall(idOf(1), 1, VENDOR, "administrator"));
        check(submit(lot, entries) == 2 && registry.batch(2).present == 0, "both are seen");
        uint40 other = lotOfTheOem();
        ICertificateRegistry.Submission memory s = submission(other);
        s.station = station(OEM);
        bytes memory taken = submitCall(s, entries, keyOf(OEM, "station"));
        check(abi.decode(ok(address(registry), taken), (uint40)) == 2, "a no-op");
        check(registry.batchOf(digestOf(entries)) == 2 && registry.batchCount() == 2, "not another's");
        check(submit(lot, entries) == 3, "the owner's own goes in");
    }

    function lotOfTheOem() private returns (uint40) {
        bytes memory content = abi.encode(OEM, space(IConsortium.NameKind.Dns, 0, "delta.example"));
        decide(IConsortium.ProposalKind.AddNameSpace, content, three());
        ICertificateRegistry.LotTerms memory terms = cellTerms();
        terms.owner = OEM;
        terms.stations = one(station(OEM));
        terms.ranges[0].value = "delta.example";
        return abi.decode(ok(address(registry), openLotCall(terms, OEM)), (uint40));
    }
}
