// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ICertificateRegistry} from "../interfaces/ICertificateRegistry.sol";
import {IConsortium} from "../interfaces/IConsortium.sol";
import {LedgerTest} from "./LedgerTest.sol";

contract EndorsementTest is LedgerTest {
    uint40 private batch;

    function setUp() public override {
        super.setUp();
        batch = submit(openLot(), certificates(0, 4));
    }

    function refusedAs(address endorser, bytes memory call_, bytes memory error_) private {
        vm.prank(endorser);
        refused(address(registry), call_, error_);
    }

    function badVerdict(uint256 accepts, uint256 abstains, bytes memory reasons, string memory why) private {
        bytes32 digest = registry.batch(batch).digest;
        refusedAs(
            accountOf(OPERATOR, "endorser"),
            abi.encodeCall(ICertificateRegistry.endorse, (batch, digest, accepts, abstains, reasons)),
            abi.encodeWithSelector(ICertificateRegistry.RegistryBadVerdict.selector, batch, why)
        );
    }

    function test_validAtTheKthAcceptance() external {
        endorseAs(OPERATOR, batch, 15, 0);
        expectState(0, ICertificateRegistry.Status.Submitted);
        (uint256 accepts, uint256 abstains, uint40 endorsedAt) = registry.endorsement(batch, OPERATOR);
        check(accepts == 15 && abstains == 0 && endorsedAt == now_, "on record");
        pass(60);
        endorseAs(OEM, batch, 15, 0);
        ICertificateRegistry.CertificateStatus memory status = statusOf(3);
        check(status.state == ICertificateRegistry.Status.Valid && status.since == now_, "valid since");
        check(registry.batch(batch).settledAt == now_, "settled");
    }

    /// @notice One endorser that accepts everything gets nothing in alone, and one that rejects keeps nothing out.
    function test_oneAloneDecidesNothing() external {
        endorseAs(OPERATOR, batch, 15, 0);
        endorseAs(OEM, batch, 0, 0);
        expectState(0, ICertificateRegistry.Status.Submitted);
        endorseAs(AUTHORITY, batch, 1, 0);
        expectState(0, ICertificateRegistry.Status.Valid);
        expectState(1, ICertificateRegistry.Status.Rejected);
        check(registry.batch(batch).settledAt == now_, "settled");
    }

    /// @notice Of n = 3 with k = 2: rejected at more than n - k = 1 rejections.
    function test_rejectedAndFinal() external {
        endorseAs(OPERATOR, batch, 14, 0);
        endorseAs(OEM, batch, 14, 0);
        ICertificateRegistry.CertificateStatus memory status = statusOf(0);
        check(status.state == ICertificateRegistry.Status.Rejected && status.since == now_, "rejected");
        endorseAs(AUTHORITY, batch, 15, 0);
        expectState(0, ICertificateRegistry.Status.Rejected);
        pass(WINDOW + 1);
        expectState(0, ICertificateRegistry.Status.Rejected);
    }

    function test_abstentionsLetItLapse() external {
        endorseAs(OPERATOR, batch, 14, 1);
        endorseAs(OEM, batch, 14, 1);
        endorseAs(AUTHORITY, batch, 15, 0);
        check(registry.batch(batch).settledAt == 0, "not settled");
        expectState(0, ICertificateRegistry.Status.Submitted);
        expectState(1, ICertificateRegistry.Status.Valid);
        (, uint256 abstains,) = registry.endorsement(batch, OEM);
        check(abstains == 1, "on record");
        pass(WINDOW + 1);
        expectState(0, ICertificateRegistry.Status.Lapsed);
    }

    function test_whoMayNot() external {
        bytes memory call_ = endorseCall(batch, 15, 0);
        bytes4 not_ = ICertificateRegistry.RegistryNotEndorser.selector;
        address[4] memory strangers =
            [accountOf(VENDOR, "endorser"), admin(OPERATOR), station(OPERATOR), address(0x1234)];
        for (uint256 i = 0; i < strangers.length; ++i) {
            refusedAs(strangers[i], call_, abi.encodeWithSelector(not_, strangers[i]));
        }
        suspend(OEM);
        address suspended = accountOf(OEM, "endorser");
        refusedAs(suspended, call_, abi.encodeWithSelector(not_, suspended));
        ok(
            address(consortium),
            setAccountCall(OPERATOR, accountOf(OPERATOR, "endorser"), IConsortium.Role.Endorser, false, OPERATOR)
        );
        address retired = accountOf(OPERATOR, "endorser");
        refusedAs(retired, call_, abi.encodeWithSelector(not_, retired));
    }

    /// @notice The electorate is that of the submission: who joined it later has no say in the batch.
    function test_electorateIsFixedAtSubmission() external {
        decide(IConsortium.ProposalKind.Admit, abi.encode(seed(5, IConsortium.MemberKind.Operator, "Fifth")), three());
        uint16[] memory members = new uint16[](5);
        for (uint16 i = 0; i < 5; ++i) {
            members[i] = i + 1;
        }
        bytes memory content = abi.encode(members, uint8(3));
        uint64 id = propose(OPERATOR, IConsortium.ProposalKind.SetElectorate, content);
        vote(VENDOR, id, content);
        vote(OEM, id, content);
        vote(AUTHORITY, id, content);
        pass(DELAY);
        consortium.execute(id, content);
        goTo(START);
        bytes memory call_ = endorseCall(batch, 15, 0);
        refusedAs(
            accountOf(5, "endorser"),
            call_,
            abi.encodeWithSelector(ICertificateRegistry.RegistryNotEndorser.selector, accountOf(5, "endorser"))
        );
        endorseAs(OPERATOR, batch, 15, 0);
        endorseAs(OEM, batch, 15, 0);
        expectState(0, ICertificateRegistry.Status.Valid);
        uint40 later_ = submit(openLot(), certificates(10, 1));
        check(registry.batch(later_).k == 3 && registry.batch(later_).n == 4, "the next batch has the new one");
    }

    function test_twice() external {
        endorseAs(OPERATOR, batch, 15, 0);
        refusedAs(
            accountOf(OPERATOR, "endorser"),
            endorseCall(batch, 14, 0),
            abi.encodeWithSelector(ICertificateRegistry.RegistryAlreadyEndorsed.selector, batch, OPERATOR)
        );
        address second = vm.addr(0x5555);
        ok(address(consortium), joinCall(OPERATOR, 0x5555, IConsortium.Role.Endorser));
        refusedAs(
            second,
            endorseCall(batch, 15, 0),
            abi.encodeWithSelector(ICertificateRegistry.RegistryAlreadyEndorsed.selector, batch, OPERATOR)
        );
    }

    function test_anotherDigest() external {
        refusedAs(
            accountOf(OPERATOR, "endorser"),
            abi.encodeCall(ICertificateRegistry.endorse, (batch, keccak256("other bytes"), 15, 0, "")),
            abi.encodeWithSelector(
                ICertificateRegistry.RegistryBatchDigest.selector, batch, registry.batch(batch).digest
            )
        );
        refusedAs(
            accountOf(OPERATOR, "endorser"),
            abi.encodeCall(ICertificateRegistry.endorse, (9, bytes32(0), 15, 0, "")),
            abi.encodeWithSelector(ICertificateRegistry.RegistryUnknownBatch.selector, 9)
        );
    }

    function test_window() external {
        bytes memory call_ = endorseCall(batch, 15, 0);
        pass(WINDOW + 1);
        refusedAs(
            accountOf(OPERATOR, "endorser"),
            call_,
            abi.encodeWithSelector(ICertificateRegistry.RegistryWindowOver.selector, batch)
        );
        goTo(START + WINDOW);
        endorseAs(OPERATOR, batch, 15, 0);
    }

    function test_verdictForm() external {
        string memory present = "a map has an entry that is not present";
        string memory reasons = "reasons are for entries not accepted, once each, ascending";
        string memory kind = "a transient reason goes with an abstention, another with a rejection";
        badVerdict(16, 0, "", present);
        badVerdict(15, 16, "", present);
        badVerdict(15, 1, "", "an entry is accepted and abstained from");
        badVerdict(14, 0, hex"0000", "reasons are three octets each");
        badVerdict(14, 0, "", "an entry that is not accepted has no reason");
        badVerdict(12, 0, hex"000040", "an entry that is not accepted has no reason");
        badVerdict(12, 0, hex"010040000040", reasons);
        badVerdict(12, 0, hex"000040000040", reasons);
        badVerdict(14, 0, hex"010040", reasons);
        badVerdict(14, 0, hex"ff0040", reasons);
        badVerdict(14, 0, hex"000000", kind);
        badVerdict(14, 0, hex"000060", kind);
        badVerdict(14, 1, hex"000040", kind);
        endorseAs(OPERATOR, batch, 12, 1);
    }

    /// @notice A member suspended before the decision does not count; what was decided before stays.
    function test_suspensionBeforeSettling() external {
        endorseAs(OPERATOR, batch, 1, 14);
        endorseAs(OEM, batch, 3, 12);
        expectState(0, ICertificateRegistry.Status.Valid);
        suspend(OEM);
        expectState(0, ICertificateRegistry.Status.Valid);
        endorseAs(AUTHORITY, batch, 2, 13);
        expectState(0, ICertificateRegistry.Status.Valid);
        expectState(1, ICertificateRegistry.Status.Submitted);
        check(registry.batch(batch).accepted == 1, "the vote of the suspended one is gone for entry 1");
    }

    /// @notice What is undecided when the owner of the lot loses its rights stays so, also after its restoration.
    function test_suspendedOwner() external {
        endorseAs(OPERATOR, batch, 1, 14);
        endorseAs(OEM, batch, 1, 14);
        bytes memory call_ = endorseCall(batch, 15, 0);
        bytes memory void_ = abi.encodeWithSelector(ICertificateRegistry.RegistryBatchVoid.selector, batch);
        pass(60);
        suspend(VENDOR);
        refusedAs(accountOf(AUTHORITY, "endorser"), call_, void_);
        uint16[] memory voters = three();
        voters[1] = AUTHORITY;
        decide(IConsortium.ProposalKind.Restore, abi.encode(VENDOR), voters);
        refusedAs(accountOf(AUTHORITY, "endorser"), call_, void_);
        expectState(0, ICertificateRegistry.Status.Valid);
        pass(WINDOW);
        expectState(1, ICertificateRegistry.Status.Lapsed);
        uint40 again = submit(openLot(), certificates(0, 4));
        endorseAs(OPERATOR, again, 14, 0);
        endorseAs(OEM, again, 14, 0);
        expectState(1, ICertificateRegistry.Status.Valid);
    }

    function test_ownerThatLosesANameSpace() external {
        bytes memory content = abi.encode(VENDOR, space(IConsortium.NameKind.Dns, 0, "acme.example"));
        decide(IConsortium.ProposalKind.RemoveNameSpace, content, three());
        refusedAs(
            accountOf(OPERATOR, "endorser"),
            endorseCall(batch, 15, 0),
            abi.encodeWithSelector(ICertificateRegistry.RegistryBatchVoid.selector, batch)
        );
    }

    /// @notice While the member whose station submitted is suspended; the lot and its owner are as before.
    function test_suspendedMemberOfTheStation() external {
        ICertificateRegistry.LotTerms memory terms = cellTerms();
        terms.stations = one(station(OEM));
        uint40 lot = abi.decode(ok(address(registry), openLotCall(terms, VENDOR)), (uint40));
        ICertificateRegistry.Submission memory s = submission(lot);
        s.station = station(OEM);
        ok(address(registry), submitCall(s, certificates(10, 1), keyOf(OEM, "station")));
        endorseAs(OPERATOR, 2, 1, 0);
        suspend(OEM);
        refusedAs(
            accountOf(AUTHORITY, "endorser"),
            endorseCall(2, 1, 0),
            abi.encodeWithSelector(ICertificateRegistry.RegistryBatchVoid.selector, 2)
        );
        endorseAs(OPERATOR, batch, 15, 0);
        uint16[] memory voters = three();
        voters[2] = AUTHORITY;
        decide(IConsortium.ProposalKind.Restore, abi.encode(OEM), voters);
        endorseAs(AUTHORITY, 2, 1, 0);
        expectState(10, ICertificateRegistry.Status.Valid);
    }

    /// @notice A lot that its owner closed, full or not, takes nothing back.
    function test_lotClosedByItsOwner() external {
        bytes32 structHash = keccak256(abi.encode(keccak256("CloseLot(uint40 lot,uint64 deadline)"), 1, later()));
        bytes memory signature = sign(keyOf(VENDOR, "administrator"), address(registry), structHash);
        registry.closeLot(1, admin(VENDOR), later(), signature);
        endorseAs(OPERATOR, batch, 15, 0);
        endorseAs(OEM, batch, 15, 0);
        expectState(0, ICertificateRegistry.Status.Valid);
    }

    function test_suspensionNeverShrinksN() external {
        suspend(OEM);
        endorseAs(OPERATOR, batch, 0, 0);
        check(registry.batch(batch).rejected == 0, "one rejection of n = 3");
        endorseAs(AUTHORITY, batch, 15, 0);
        expectState(0, ICertificateRegistry.Status.Submitted);
    }

    /// @notice Whatever the three say, the maps are what counting one by one gives.
    function testFuzz_settlesLikeOneByOne(uint8[3] calldata accepts, uint8[3] calldata abstains) external {
        uint16[3] memory members = [OPERATOR, OEM, AUTHORITY];
        uint256 accepted = 0;
        uint256 rejected = 0;
        for (uint256 said = 1; said <= 3; ++said) {
            uint256 accept = accepts[said - 1] & 15;
            endorseAs(members[said - 1], batch, accept, abstains[said - 1] & 15 & ~accept);
            for (uint256 bit = 1; bit < 16; bit <<= 1) {
                uint256 inFavour = 0;
                uint256 against = 0;
                for (uint256 i = 0; i < said; ++i) {
                    if (accepts[i] & bit != 0) ++inFavour;
                    else if (abstains[i] & bit == 0) ++against;
                }
                if (inFavour >= 2) accepted |= bit;
                if (against > 1) rejected |= bit;
            }
            ICertificateRegistry.Batch memory judged = registry.batch(batch);
            check(judged.accepted == accepted && judged.rejected == rejected, "as counted one by one");
            check((judged.settledAt != 0) == ((accepted | rejected) == 15), "settled when all are decided");
        }
    }
}
