// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ICertificateRegistry} from "../interfaces/ICertificateRegistry.sol";
import {IConsortium} from "../interfaces/IConsortium.sol";
import {LedgerTest} from "./LedgerTest.sol";

contract HoldsTest is LedgerTest {
    ICertificateRegistry.HoldKind private constant OWNER = ICertificateRegistry.HoldKind.Owner;
    ICertificateRegistry.HoldKind private constant CONSORTIUM = ICertificateRegistry.HoldKind.Consortium;
    ICertificateRegistry.HoldKind private constant EMERGENCY = ICertificateRegistry.HoldKind.Emergency;
    string private constant ADMINISTRATOR = "administrator";
    string private constant DUTY = "duty";

    bytes32 private id;

    function setUp() public override {
        super.setUp();
        validBatch(2);
        id = idOf(0);
        pass(3600);
    }

    function passes(bytes memory call_) private {
        ok(address(registry), call_);
    }

    function notAuthorised(bytes memory call_, address who) private {
        refused(
            address(registry), call_, abi.encodeWithSelector(ICertificateRegistry.RegistryNotAuthorised.selector, who)
        );
    }

    function is_(ICertificateRegistry.Status state) private view returns (bool) {
        return statusOf(0).state == state;
    }

    function held() private view returns (bool) {
        return is_(ICertificateRegistry.Status.Held);
    }

    function valid() private view returns (bool) {
        return is_(ICertificateRegistry.Status.Valid);
    }

    function holdByVote() private {
        decide(IConsortium.ProposalKind.HoldCertificate, abi.encode(id, uint8(6)), three());
    }

    function releaseByVote() private {
        decide(IConsortium.ProposalKind.ReleaseCertificate, abi.encode(id), three());
    }

    // By the owner

    function test_holdAndRelease() external {
        passes(holdCall(id, OWNER, 0, VENDOR, DUTY));
        ICertificateRegistry.CertificateStatus memory status = statusOf(0);
        check(held() && status.reason == 6 && status.since == now_, "held");
        check(status.holdCounter == 1 && status.flags == 1, "counted");
        expectState(1, ICertificateRegistry.Status.Valid);
        pass(60);
        passes(releaseCall(id, OWNER, 1, VENDOR, ADMINISTRATOR));
        status = statusOf(0);
        check(valid() && status.reason == 0 && status.since == now_ && status.holdCounter == 2, "released");
        passes(holdCall(id, OWNER, 2, VENDOR, ADMINISTRATOR));
        check(held(), "by the administrator too");
    }

    function test_whoMayHoldAsOwner() external {
        notAuthorised(holdCall(id, OWNER, 0, OEM, DUTY), accountOf(OEM, DUTY));
        notAuthorised(holdCall(id, OWNER, 0, VENDOR, "station"), station(VENDOR));
        notAuthorised(holdCall(id, OWNER, 0, VENDOR, "endorser"), accountOf(VENDOR, "endorser"));
        notAuthorised(holdCall(id, OWNER, 0, 5, DUTY), accountOf(5, DUTY));
    }

    function test_aDutyAccountMayOnlyHold() external {
        passes(holdCall(id, OWNER, 0, VENDOR, DUTY));
        notAuthorised(releaseCall(id, OWNER, 1, VENDOR, DUTY), accountOf(VENDOR, DUTY));
        notAuthorised(revokeCall(id, 1, VENDOR, DUTY), accountOf(VENDOR, DUTY));
        notAuthorised(releaseCall(id, OWNER, 1, OEM, ADMINISTRATOR), admin(OEM));
        notAuthorised(revokeCall(id, 1, OEM, ADMINISTRATOR), admin(OEM));
        check(held(), "still held");
    }

    function test_counter() external {
        bytes memory first = holdCall(id, OWNER, 0, VENDOR, DUTY);
        refused(
            address(registry),
            holdCall(id, OWNER, 1, VENDOR, DUTY),
            abi.encodeWithSelector(ICertificateRegistry.RegistryHoldCounter.selector, id, uint16(0), uint16(1))
        );
        passes(first);
        bytes memory lift = releaseCall(id, OWNER, 1, VENDOR, ADMINISTRATOR);
        passes(lift);
        bytes4 counter = ICertificateRegistry.RegistryHoldCounter.selector;
        refused(address(registry), first, abi.encodeWithSelector(counter, id, uint16(2), uint16(0)));
        passes(holdCall(id, OWNER, 2, VENDOR, DUTY));
        refused(address(registry), lift, abi.encodeWithSelector(counter, id, uint16(3), uint16(1)));
    }

    function test_twiceAndNot() external {
        refused(
            address(registry),
            releaseCall(id, OWNER, 0, VENDOR, ADMINISTRATOR),
            abi.encodeWithSelector(ICertificateRegistry.RegistryNoSuchHold.selector, id, uint8(1))
        );
        passes(holdCall(id, OWNER, 0, VENDOR, DUTY));
        refused(
            address(registry),
            holdCall(id, OWNER, 1, VENDOR, DUTY),
            abi.encodeWithSelector(ICertificateRegistry.RegistryAlreadyHeld.selector, id, uint8(1))
        );
    }

    function test_orders() external {
        bytes memory late = holdCall(id, OWNER, 0, VENDOR, DUTY);
        bytes memory lateRevocation = revokeCall(id, 1, VENDOR, ADMINISTRATOR);
        uint64 deadline = later();
        goTo(deadline + 1);
        bytes memory passed = abi.encodeWithSelector(ICertificateRegistry.RegistryDeadlinePassed.selector, deadline);
        refused(address(registry), late, passed);
        refused(address(registry), lateRevocation, passed);
        goTo(START + 3600);
        bytes memory unknown =
            abi.encodeWithSelector(ICertificateRegistry.RegistryUnknownCertificate.selector, bytes32(uint256(1)));
        refused(address(registry), holdCall(bytes32(uint256(1)), OWNER, 0, VENDOR, DUTY), unknown);
        refused(address(registry), revokeCall(bytes32(uint256(1)), 1, VENDOR, ADMINISTRATOR), unknown);
        refused(
            address(registry),
            abi.encodeCall(
                ICertificateRegistry.hold, (id, OWNER, 1, 0, later(), accountOf(VENDOR, DUTY), new bytes(65))
            ),
            abi.encodeWithSelector(ICertificateRegistry.RegistryBadReason.selector, uint8(1))
        );
        refused(
            address(registry),
            abi.encodeCall(
                ICertificateRegistry.hold, (id, OWNER, 0, 0, later(), accountOf(VENDOR, DUTY), new bytes(65))
            ),
            abi.encodeWithSelector(ICertificateRegistry.RegistryBadSignature.selector, accountOf(VENDOR, DUTY))
        );
        refused(
            address(registry),
            holdCall(id, CONSORTIUM, 0, VENDOR, ADMINISTRATOR),
            abi.encodeWithSelector(ICertificateRegistry.RegistryBadHoldKind.selector, uint8(2))
        );
        refused(
            address(registry),
            releaseCall(id, CONSORTIUM, 0, VENDOR, ADMINISTRATOR),
            abi.encodeWithSelector(ICertificateRegistry.RegistryBadHoldKind.selector, uint8(2))
        );
    }

    /// @notice Held while submitted: then it is held from the moment that it would be valid.
    function test_holdWhileSubmitted() external {
        submit(openLot(), certificates(7, 1));
        passes(holdCall(idOf(7), OWNER, 0, VENDOR, DUTY));
        expectState(7, ICertificateRegistry.Status.Submitted);
        pass(60);
        endorseAs(OPERATOR, 2, 1, 0);
        endorseAs(OEM, 2, 1, 0);
        expectState(7, ICertificateRegistry.Status.Held);
        check(statusOf(7).since == now_, "since it was decided");
    }

    // Emergency

    function test_emergencyEndsByItself() external {
        goTo(START + 1800 + 3600 - START % 3600);
        passes(holdCall(id, EMERGENCY, 0, OEM, DUTY));
        uint256 placed = now_;
        check(held() && statusOf(0).flags == 4, "held");
        goTo(placed + 71 hours);
        check(held(), "for 71 hours at least");
        goTo(placed + 72 hours);
        ICertificateRegistry.CertificateStatus memory status = statusOf(0);
        check(valid() && status.flags == 0, "for 72 hours at most");
        check(status.since == placed - 1800 + 72 hours, "since its end");
    }

    function test_oneEmergencyHoldAMember() external {
        passes(holdCall(id, EMERGENCY, 0, OEM, DUTY));
        uint256 placed = now_;
        refused(
            address(registry),
            holdCall(id, EMERGENCY, 1, AUTHORITY, DUTY),
            abi.encodeWithSelector(ICertificateRegistry.RegistryAlreadyHeld.selector, id, uint8(3))
        );
        pass(72 hours);
        bytes memory used = abi.encodeWithSelector(ICertificateRegistry.RegistryEmergencyHoldUsed.selector, id, OEM);
        refused(address(registry), holdCall(id, EMERGENCY, 1, OEM, DUTY), used);
        refused(address(registry), holdCall(id, EMERGENCY, 1, OEM, ADMINISTRATOR), used);
        passes(holdCall(id, EMERGENCY, 1, AUTHORITY, DUTY));
        goTo(placed + GOVERNANCE_WINDOW);
        refused(address(registry), holdCall(id, EMERGENCY, 2, OEM, DUTY), used);
        pass(1);
        passes(holdCall(id, EMERGENCY, 2, OEM, DUTY));
        check(held(), "again after the window");
    }

    function test_releasedByTheMemberThatPlacedIt() external {
        passes(holdCall(id, EMERGENCY, 0, OEM, DUTY));
        notAuthorised(releaseCall(id, EMERGENCY, 1, VENDOR, ADMINISTRATOR), admin(VENDOR));
        notAuthorised(releaseCall(id, EMERGENCY, 1, OEM, DUTY), accountOf(OEM, DUTY));
        passes(releaseCall(id, EMERGENCY, 1, OEM, ADMINISTRATOR));
        check(valid(), "released");
    }

    function test_anEmergencyHoldThatEndedIsNotReleased() external {
        passes(holdCall(id, EMERGENCY, 0, OEM, DUTY));
        pass(72 hours);
        refused(
            address(registry),
            releaseCall(id, EMERGENCY, 1, OEM, ADMINISTRATOR),
            abi.encodeWithSelector(ICertificateRegistry.RegistryNoSuchHold.selector, id, uint8(3))
        );
    }

    // By vote

    function test_byVote() external {
        holdByVote();
        check(held() && statusOf(0).flags == 2, "held");
        refused(
            address(registry),
            releaseCall(id, OWNER, 1, VENDOR, ADMINISTRATOR),
            abi.encodeWithSelector(ICertificateRegistry.RegistryNoSuchHold.selector, id, uint8(1))
        );
        releaseByVote();
        check(valid(), "released");
    }

    function test_byVoteLiftsAnEmergencyHold() external {
        passes(holdCall(id, EMERGENCY, 0, OEM, DUTY));
        releaseByVote();
        check(valid(), "the emergency hold alone");
        passes(holdCall(id, EMERGENCY, 2, AUTHORITY, DUTY));
        holdByVote();
        releaseByVote();
        check(valid() && statusOf(0).holdCounter == 6, "both");
    }

    function test_eachKindIsLiftedByItsOwn() external {
        passes(holdCall(id, OWNER, 0, VENDOR, DUTY));
        passes(holdCall(id, EMERGENCY, 1, OEM, DUTY));
        holdByVote();
        check(statusOf(0).flags == 7, "all three");
        passes(releaseCall(id, OWNER, 3, VENDOR, ADMINISTRATOR));
        check(held() && statusOf(0).flags == 6 && statusOf(0).reason == 6, "two are left");
        passes(releaseCall(id, EMERGENCY, 4, OEM, ADMINISTRATOR));
        check(held() && statusOf(0).flags == 2, "one is left");
        releaseByVote();
        check(valid(), "none is left");
    }

    /// @notice A release speaks of the holds that were there when it was proposed.
    function test_byVoteLeavesALaterEmergencyHold() external {
        holdByVote();
        bytes memory content = abi.encode(id);
        uint64 release = propose(OPERATOR, IConsortium.ProposalKind.ReleaseCertificate, content);
        pass(60);
        passes(holdCall(id, EMERGENCY, 1, OEM, DUTY));
        vote(VENDOR, release, content);
        vote(AUTHORITY, release, content);
        consortium.execute(release, content);
        check(held() && statusOf(0).flags == 4, "the emergency hold stays");
        bytes memory none = abi.encodeWithSelector(ICertificateRegistry.RegistryNoSuchHold.selector, id, uint8(2));
        bytes memory old = abi.encodeCall(ICertificateRegistry.releaseByVote, (id, uint40(now_ - 1)));
        vm.prank(address(consortium));
        refused(address(registry), old, none);
        releaseByVote();
        check(valid(), "one proposed afterwards lifts it");
    }

    /// @notice Adopted, refused since nothing was held, and kept for a hold to come: of no use then.
    function test_aReleaseSavedUp() external {
        bytes memory content = abi.encode(id);
        uint64 saved = propose(OPERATOR, IConsortium.ProposalKind.ReleaseCertificate, content);
        vote(VENDOR, saved, content);
        vote(AUTHORITY, saved, content);
        bytes memory call_ = abi.encodeCall(IConsortium.execute, (saved, content));
        refused(
            address(consortium),
            call_,
            abi.encodeWithSelector(ICertificateRegistry.RegistryNoSuchHold.selector, id, uint8(2))
        );
        pass(60);
        holdByVote();
        refused(address(consortium), call_, abi.encodeWithSelector(IConsortium.ConsortiumOvertaken.selector, saved));
        check(held(), "held");
    }

    /// @notice An owner that raises the counter before each order cannot stay out of reach of an emergency hold.
    function test_anEmergencyHoldLooksAtNoCounter() external {
        bytes memory order = holdCall(id, EMERGENCY, 0, OEM, DUTY);
        passes(holdCall(id, OWNER, 0, VENDOR, DUTY));
        passes(releaseCall(id, OWNER, 1, VENDOR, ADMINISTRATOR));
        passes(order);
        check(held() && statusOf(0).holdCounter == 3, "held and counted");
        passes(releaseCall(id, EMERGENCY, 3, OEM, ADMINISTRATOR));
        bytes memory used = abi.encodeWithSelector(ICertificateRegistry.RegistryEmergencyHoldUsed.selector, id, OEM);
        refused(address(registry), order, used);
        setCounter(type(uint16).max);
        passes(holdCall(id, EMERGENCY, 0, AUTHORITY, DUTY));
        check(held() && statusOf(0).holdCounter == type(uint16).max, "nor is it ever exhausted");
    }

    /// @notice An order that outlasts the window could be used a second time.
    function test_anEmergencyOrderEndsWithTheWindow() external {
        uint64 latest = uint64(now_ + GOVERNANCE_WINDOW);
        refused(
            address(registry),
            emergencyUntil(latest + 1),
            abi.encodeWithSelector(ICertificateRegistry.RegistryDeadlineTooFar.selector, latest + 1)
        );
        bytes memory order = emergencyUntil(latest);
        passes(order);
        pass(GOVERNANCE_WINDOW);
        bytes memory used = abi.encodeWithSelector(ICertificateRegistry.RegistryEmergencyHoldUsed.selector, id, OEM);
        refused(address(registry), order, used);
        pass(1);
        refused(
            address(registry),
            order,
            abi.encodeWithSelector(ICertificateRegistry.RegistryDeadlinePassed.selector, latest)
        );
    }

    function emergencyUntil(uint64 deadline) private view returns (bytes memory) {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("Hold(bytes32 certificate,uint8 kind,uint8 reason,uint16 counter,uint64 deadline)"),
                id,
                EMERGENCY,
                6,
                0,
                deadline
            )
        );
        bytes memory signature = sign(keyOf(OEM, DUTY), address(registry), structHash);
        return
            abi.encodeCall(ICertificateRegistry.hold, (id, EMERGENCY, 6, 0, deadline, accountOf(OEM, DUTY), signature));
    }

    function test_votesOfTheConsortiumAlone() external {
        notAuthorised(abi.encodeCall(ICertificateRegistry.holdByVote, (id, 6)), address(this));
        notAuthorised(abi.encodeCall(ICertificateRegistry.releaseByVote, (id, uint40(now_))), address(this));
        notAuthorised(abi.encodeCall(ICertificateRegistry.blockKey, (spkiHash(), 1)), address(this));
    }

    // Revocation

    function test_revoke() external {
        passes(holdCall(id, OWNER, 0, VENDOR, DUTY));
        pass(60);
        passes(revokeCall(id, 4, VENDOR, ADMINISTRATOR));
        ICertificateRegistry.CertificateStatus memory status = statusOf(0);
        check(is_(ICertificateRegistry.Status.Revoked) && status.reason == 4 && status.since == now_, "revoked");
        uint256 slot = registry.slotOf(id);
        pass(60);
        passes(revokeCall(id, 1, VENDOR, ADMINISTRATOR));
        check(registry.slotOf(id) == slot, "again is a no-op");
        bytes memory revoked = abi.encodeWithSelector(ICertificateRegistry.RegistryRevoked.selector, id);
        refused(address(registry), releaseCall(id, OWNER, 1, VENDOR, ADMINISTRATOR), revoked);
        refused(address(registry), holdCall(id, EMERGENCY, 1, OEM, DUTY), revoked);
    }

    function test_reasons() external {
        for (uint256 reason = 0; reason < 256; ++reason) {
            bool good = reason == 0 || reason == 1 || (reason >= 3 && reason <= 5) || reason == 9;
            bytes memory call_ = revokeCall(idOf(1), uint8(reason), VENDOR, ADMINISTRATOR);
            if (good) {
                passes(call_);
            } else {
                refused(
                    address(registry),
                    call_,
                    abi.encodeWithSelector(ICertificateRegistry.RegistryBadReason.selector, uint8(reason))
                );
            }
        }
    }

    function test_revokeWhateverTheState() external {
        submit(openLot(), certificates(7, 2));
        passes(revokeCall(idOf(7), 1, VENDOR, ADMINISTRATOR));
        expectState(7, ICertificateRegistry.Status.Revoked);
        pass(WINDOW + 1);
        passes(revokeCall(idOf(8), 1, VENDOR, ADMINISTRATOR));
        expectState(8, ICertificateRegistry.Status.Revoked);
        goTo(statusOf(0).notAfter + 1);
        check(is_(ICertificateRegistry.Status.Expired), "expired");
        passes(revokeCall(id, 1, VENDOR, ADMINISTRATOR));
        check(is_(ICertificateRegistry.Status.Revoked), "revoked goes before expired");
    }

    function test_aSuspendedMember() external {
        passes(holdCall(idOf(1), OWNER, 0, VENDOR, DUTY));
        suspend(VENDOR);
        passes(holdCall(id, OWNER, 0, VENDOR, DUTY));
        notAuthorised(releaseCall(id, OWNER, 1, VENDOR, ADMINISTRATOR), admin(VENDOR));
        notAuthorised(holdCall(id, EMERGENCY, 1, VENDOR, DUTY), accountOf(VENDOR, DUTY));
        passes(revokeCall(id, 1, VENDOR, ADMINISTRATOR));
        check(is_(ICertificateRegistry.Status.Revoked), "may hold and revoke its own");
    }

    function test_aRemovedMember() external {
        uint16[] memory voters = three();
        voters[1] = AUTHORITY;
        decide(IConsortium.ProposalKind.Remove, abi.encode(VENDOR), voters);
        notAuthorised(holdCall(id, OWNER, 0, VENDOR, DUTY), accountOf(VENDOR, DUTY));
        notAuthorised(revokeCall(id, 1, VENDOR, ADMINISTRATOR), admin(VENDOR));
    }

    /// @notice The end of the counter stops holds, the last releases excepted, and never a revocation.
    function test_counterAtItsEnd() external {
        setCounter(type(uint16).max - 2);
        passes(holdCall(id, OWNER, type(uint16).max - 2, VENDOR, DUTY));
        passes(releaseCall(id, OWNER, type(uint16).max - 1, VENDOR, ADMINISTRATOR));
        bytes memory exhausted = abi.encodeWithSelector(ICertificateRegistry.RegistryHoldCounterExhausted.selector, id);
        refused(address(registry), holdCall(id, OWNER, type(uint16).max, VENDOR, DUTY), exhausted);
        setCounter(type(uint16).max - 1);
        refused(address(registry), holdCall(id, OWNER, type(uint16).max - 1, VENDOR, DUTY), exhausted);
        setCounter(type(uint16).max);
        holdByVote();
        check(held() && statusOf(0).holdCounter == type(uint16).max, "a vote holds all the same");
        releaseByVote();
        check(valid(), "and releases");
        holdByVote();
        passes(revokeCall(id, 1, VENDOR, ADMINISTRATOR));
        check(is_(ICertificateRegistry.Status.Revoked), "revoked");
    }

    function setCounter(uint16 value) private {
        bytes32 place = keccak256(abi.encode(id, uint256(0)));
        uint256 slot = uint256(vm.load(address(registry), place));
        slot = (slot & ~(uint256(0xffff) << 16)) | (uint256(value) << 16);
        vm.store(address(registry), place, bytes32(slot));
    }
}
