// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IConsortium} from "../interfaces/IConsortium.sol";
import {IDirectory} from "../interfaces/IDirectory.sol";
import {LedgerTest} from "./LedgerTest.sol";

contract VotesTest is LedgerTest {
    function executeCall(uint64 id, bytes memory content) private pure returns (bytes memory) {
        return abi.encodeCall(IConsortium.execute, (id, content));
    }

    function admission(uint16 id, string memory name) private pure returns (bytes memory) {
        return abi.encode(seed(id, IConsortium.MemberKind.Service, name));
    }

    function admit(uint16 id, string memory name, uint16[] memory voters) private {
        decide(IConsortium.ProposalKind.Admit, admission(id, name), voters);
    }

    function notAdopted(uint64 id, uint256 support, uint256 members) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IConsortium.ConsortiumNotAdopted.selector, id, support, members);
    }

    function test_moreThanTwoThirds() external {
        bytes memory content = admission(5, "Fifth");
        uint64 id = propose(OPERATOR, IConsortium.ProposalKind.Admit, content);
        vote(VENDOR, id, content);
        refused(address(consortium), executeCall(id, content), notAdopted(id, 2, 4));
        ok(address(consortium), voteCall(OEM, id, content, false));
        refused(address(consortium), executeCall(id, content), notAdopted(id, 2, 4));
        vote(AUTHORITY, id, content);
        check(consortium.proposal(id).adoptedAt == now_, "adopted");
        consortium.execute(id, content);
        check(consortium.memberCount() == 5 && consortium.isActive(5), "admitted");
        refused(
            address(consortium),
            executeCall(id, content),
            abi.encodeWithSelector(IConsortium.ConsortiumProposalClosed.selector, id)
        );
    }

    /// @notice Four of six are no more than 2/3 of them.
    function test_exactlyTwoThirdsIsNotEnough() external {
        admit(5, "Fifth", three());
        admit(6, "Sixth", four());
        bytes memory content = admission(7, "Seventh");
        uint64 id = propose(OPERATOR, IConsortium.ProposalKind.Admit, content);
        vote(VENDOR, id, content);
        vote(OEM, id, content);
        vote(AUTHORITY, id, content);
        refused(address(consortium), executeCall(id, content), notAdopted(id, 4, 6));
        vote(5, id, content);
        consortium.execute(id, content);
    }

    /// @notice Suspension after suspension does not make the majority smaller.
    function test_serialSuspension() external {
        suspend(AUTHORITY);
        bytes memory content = abi.encode(OEM);
        uint64 id = propose(OPERATOR, IConsortium.ProposalKind.Suspend, content);
        vote(VENDOR, id, content);
        refused(address(consortium), executeCall(id, content), notAdopted(id, 2, 4));
        refused(
            address(consortium),
            voteCall(AUTHORITY, id, content, true),
            abi.encodeWithSelector(IConsortium.ConsortiumNotAuthorised.selector, admin(AUTHORITY))
        );
        vote(OEM, id, content);
        refused(
            address(consortium),
            executeCall(id, content),
            abi.encodeWithSelector(IConsortium.ConsortiumBadMember.selector, "too few members would be left to vote")
        );
    }

    function test_supportOfAMemberSuspendedSince() external {
        bytes memory content = admission(5, "Fifth");
        uint64 id = propose(OPERATOR, IConsortium.ProposalKind.Admit, content);
        vote(VENDOR, id, content);
        vote(OEM, id, content);
        suspend(OEM);
        refused(address(consortium), executeCall(id, content), notAdopted(id, 2, 4));
        decide(IConsortium.ProposalKind.Restore, abi.encode(OEM), withoutOem());
        consortium.execute(id, content);
    }

    function withoutOem() private pure returns (uint16[] memory voters) {
        voters = three();
        voters[2] = AUTHORITY;
    }

    function test_suspendRestoreRemove() external {
        suspend(OEM);
        check(consortium.memberState(OEM) == IConsortium.MemberState.Suspended, "suspended");
        check(consortium.actingMember(station(OEM), IConsortium.Role.Station) == 0, "its rights end at once");
        decide(IConsortium.ProposalKind.Restore, abi.encode(OEM), withoutOem());
        check(consortium.actingMember(station(OEM), IConsortium.Role.Station) == OEM, "restored");
        decide(IConsortium.ProposalKind.Remove, abi.encode(OEM), withoutOem());
        check(consortium.memberState(OEM) == IConsortium.MemberState.Removed, "removed");
        bytes memory content = abi.encode(OEM);
        uint64 id = propose(OPERATOR, IConsortium.ProposalKind.Restore, content);
        vote(VENDOR, id, content);
        vote(AUTHORITY, id, content);
        refused(
            address(consortium),
            executeCall(id, content),
            abi.encodeWithSelector(IConsortium.ConsortiumUnknownMember.selector, OEM)
        );
    }

    /// @notice With one member fewer the support may suffice without another vote.
    function test_removalMakesAnotherAdopted() external {
        admit(5, "Fifth", three());
        bytes memory content = abi.encode(four(), uint8(3));
        uint64 id = propose(OPERATOR, IConsortium.ProposalKind.SetElectorate, content);
        vote(VENDOR, id, content);
        vote(OEM, id, content);
        check(consortium.proposal(id).adoptedAt == 0, "3 of 5 do not suffice");
        decide(IConsortium.ProposalKind.Remove, abi.encode(uint16(5)), four());
        uint24 before = consortium.currentElectorate();
        consortium.execute(id, content);
        check(consortium.currentElectorate() == before, "the delay has only begun");
        pass(DELAY);
        consortium.execute(id, content);
        check(consortium.currentElectorate() == before + 1, "carried out");
    }

    function test_voteTwice() external {
        bytes memory content = admission(5, "Fifth");
        uint64 id = propose(OPERATOR, IConsortium.ProposalKind.Admit, content);
        bytes memory against = voteCall(VENDOR, id, content, false);
        ok(address(consortium), against);
        bytes memory already = abi.encodeWithSelector(IConsortium.ConsortiumAlreadyVoted.selector, id, VENDOR);
        refused(address(consortium), against, already);
        refused(address(consortium), voteCall(VENDOR, id, content, true), already);
    }

    function test_voteOnOtherContent() external {
        bytes memory content = admission(5, "Fifth");
        uint64 id = propose(OPERATOR, IConsortium.ProposalKind.Admit, content);
        bytes memory mismatch = abi.encodeWithSelector(IConsortium.ConsortiumContentMismatch.selector, id);
        refused(address(consortium), voteCall(VENDOR, id, admission(5, "Other"), true), mismatch);
        vote(VENDOR, id, content);
        vote(OEM, id, content);
        refused(address(consortium), executeCall(id, admission(5, "Other")), mismatch);
    }

    function test_unknownProposal() external {
        refused(
            address(consortium),
            voteCall(VENDOR, 9, "", true),
            abi.encodeWithSelector(IConsortium.ConsortiumUnknownProposal.selector, 9)
        );
    }

    function test_byOthersThanAdministrators() external {
        bytes memory content = admission(5, "Fifth");
        uint256 number = nonce();
        refused(
            address(consortium),
            abi.encodeCall(
                IConsortium.propose,
                (IConsortium.ProposalKind.Admit, content, accountOf(OPERATOR, "duty"), number, later(), "")
            ),
            abi.encodeWithSelector(IConsortium.ConsortiumNotAuthorised.selector, accountOf(OPERATOR, "duty"))
        );
    }

    function test_expiry() external {
        bytes memory content = admission(5, "Fifth");
        uint64 id = propose(OPERATOR, IConsortium.ProposalKind.Admit, content);
        vote(VENDOR, id, content);
        pass(GOVERNANCE_WINDOW + 1);
        bytes memory closed = abi.encodeWithSelector(IConsortium.ConsortiumProposalClosed.selector, id);
        refused(address(consortium), voteCall(OEM, id, content, true), closed);
        goTo(START + GOVERNANCE_WINDOW);
        vote(OEM, id, content);
        check(consortium.proposal(id).expiresAt == now_, "as at the proposal: it is sooner");
        pass(1);
        refused(address(consortium), executeCall(id, content), closed);
        goTo(START + GOVERNANCE_WINDOW);
        consortium.execute(id, content);
    }

    /// @notice What was adopted is carried out within a week, or not at all.
    function test_adoptedAndNotCarriedOut() external {
        bytes memory content = admission(5, "Fifth");
        uint64 id = propose(OPERATOR, IConsortium.ProposalKind.Admit, content);
        vote(VENDOR, id, content);
        pass(1 days);
        vote(OEM, id, content);
        check(consortium.proposal(id).expiresAt == now_ + 7 days, "seven days");
        pass(7 days + 1);
        bytes memory closed = abi.encodeWithSelector(IConsortium.ConsortiumProposalClosed.selector, id);
        refused(address(consortium), executeCall(id, content), closed);
        goTo(now_ - 1);
        consortium.execute(id, content);
    }

    function test_adoptedWithADelay() external {
        bytes memory content = abi.encode(four(), uint8(3));
        uint64 id = propose(OPERATOR, IConsortium.ProposalKind.SetElectorate, content);
        vote(VENDOR, id, content);
        vote(OEM, id, content);
        check(consortium.proposal(id).expiresAt == now_ + DELAY + 7 days, "from when it can be carried out");
        pass(DELAY + 7 days);
        consortium.execute(id, content);
    }

    // Votes that were saved up

    function adopt(IConsortium.ProposalKind kind, bytes memory content) private returns (uint64 id) {
        id = propose(OPERATOR, kind, content);
        vote(VENDOR, id, content);
        vote(AUTHORITY, id, content);
    }

    function overtaken(uint64 id) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IConsortium.ConsortiumOvertaken.selector, id);
    }

    /// @notice Restore what is not suspended: refused then, and no use after a suspension that came later.
    function test_aRestorationSavedUp() external {
        bytes memory content = abi.encode(OEM);
        uint64 saved = adopt(IConsortium.ProposalKind.Restore, content);
        refused(
            address(consortium),
            executeCall(saved, content),
            abi.encodeWithSelector(IConsortium.ConsortiumBadMember.selector, "is in that state already")
        );
        pass(1 days);
        suspend(OEM);
        refused(address(consortium), executeCall(saved, content), overtaken(saved));
        uint64 fresh = adopt(IConsortium.ProposalKind.Restore, content);
        consortium.execute(fresh, content);
        check(consortium.isActive(OEM), "one made afterwards is carried out");
    }

    /// @notice Two suspensions of one member: the second cannot be kept for after its restoration.
    function test_twoOfTheSame() external {
        bytes memory content = abi.encode(OEM);
        uint64 first = adopt(IConsortium.ProposalKind.Suspend, content);
        uint64 second = adopt(IConsortium.ProposalKind.Suspend, content);
        pass(60);
        consortium.execute(first, content);
        uint64 back = adopt(IConsortium.ProposalKind.Restore, content);
        consortium.execute(back, content);
        refused(address(consortium), executeCall(second, content), overtaken(second));
        content = abi.encode(AUTHORITY);
        uint64 other = propose(OPERATOR, IConsortium.ProposalKind.Suspend, content);
        vote(VENDOR, other, content);
        vote(OEM, other, content);
        consortium.execute(other, content);
        check(!consortium.isActive(AUTHORITY), "another member is another matter");
    }

    function test_parametersWrittenAgainstOlderOnes() external {
        IConsortium.Parameters memory wanted = consortium.parameters();
        wanted.ageBoundSeconds = 20;
        bytes memory one_ = abi.encode(wanted);
        wanted.ageBoundSeconds = 40;
        bytes memory other = abi.encode(wanted);
        uint64 first = adopt(IConsortium.ProposalKind.SetParameters, one_);
        uint64 second = adopt(IConsortium.ProposalKind.SetParameters, other);
        pass(DELAY);
        consortium.execute(first, one_);
        refused(address(consortium), executeCall(second, other), overtaken(second));
        check(consortium.parameters().ageBoundSeconds == 20, "as carried out");
    }

    /// @notice The same space in another encoding is the same space.
    function test_aNameSpaceSavedUp() external {
        bytes memory content = abi.encode(OEM, space(IConsortium.NameKind.Dns, 0, "delta.example"));
        bytes memory longer = bytes.concat(content, hex"00");
        uint64 first = adopt(IConsortium.ProposalKind.AddNameSpace, content);
        uint64 second = adopt(IConsortium.ProposalKind.AddNameSpace, longer);
        pass(60);
        consortium.execute(first, content);
        uint64 gone = adopt(IConsortium.ProposalKind.RemoveNameSpace, content);
        consortium.execute(gone, content);
        refused(address(consortium), executeCall(second, longer), overtaken(second));
        content = abi.encode(OEM, space(IConsortium.NameKind.Dns, 0, "other.example"));
        uint64 other = adopt(IConsortium.ProposalKind.AddNameSpace, content);
        consortium.execute(other, content);
        check(consortium.nameSpaces(OEM).length == 1, "another space is another matter");
    }

    // What a vote is bound to

    /// @notice The content of `Suspend(3)` is that of `Remove(3)`: a vote for one is none for the other.
    function test_aVoteIsForOneKind() external {
        bytes memory content = abi.encode(OEM);
        uint64 id = propose(OPERATOR, IConsortium.ProposalKind.Remove, content);
        bytes32 other = contentHash(IConsortium.ProposalKind.Suspend, content);
        bytes memory mismatch = abi.encodeWithSelector(IConsortium.ConsortiumContentMismatch.selector, id);
        refused(address(consortium), voteOnHash(VENDOR, id, other, true), mismatch);
        refused(address(consortium), voteOnHash(VENDOR, id, keccak256(content), true), mismatch);
        ok(address(consortium), voteOnHash(VENDOR, id, contentHash(IConsortium.ProposalKind.Remove, content), true));
        check(
            consortium.proposal(id).contentHash == contentHash(IConsortium.ProposalKind.Remove, content), "as it says"
        );
    }

    function test_delay() external {
        bytes memory content = abi.encode(four(), uint8(3));
        uint64 id = propose(OPERATOR, IConsortium.ProposalKind.SetElectorate, content);
        vote(VENDOR, id, content);
        vote(OEM, id, content);
        pass(DELAY - 1);
        refused(
            address(consortium),
            executeCall(id, content),
            abi.encodeWithSelector(IConsortium.ConsortiumTooEarly.selector, id, START + DELAY)
        );
        pass(1);
        consortium.execute(id, content);
        check(consortium.electorate(consortium.currentElectorate()).quorum == 3, "a new electorate");
        check(consortium.electorate(1).quorum == 2, "the old one stays as it was");
    }

    function test_aNewProfileAtOnceAChangeAfterTheDelay() external {
        IConsortium.Profile memory profile = smallCell();
        bytes memory first = abi.encode(IConsortium.ProfileSeed(7, profile));
        profile.k = 3;
        bytes memory second = abi.encode(IConsortium.ProfileSeed(7, profile));
        uint64 one_ = propose(OPERATOR, IConsortium.ProposalKind.SetProfile, first);
        uint64 two = propose(OPERATOR, IConsortium.ProposalKind.SetProfile, second);
        vote(VENDOR, one_, first);
        vote(OEM, one_, first);
        vote(VENDOR, two, second);
        vote(OEM, two, second);
        consortium.execute(one_, first);
        check(consortium.profile(7).k == 2, "new at once");
        refused(
            address(consortium),
            executeCall(two, second),
            abi.encodeWithSelector(IConsortium.ConsortiumTooEarly.selector, two, START + DELAY)
        );
        pass(DELAY);
        consortium.execute(two, second);
        check(consortium.profile(7).k == 3, "changed");
    }

    function test_directoryAfterTheDelay() external {
        bytes32 name = keccak256("Attestations");
        bytes memory content =
            abi.encode(IConsortium.DirectorySeed(name, address(registry), address(registry).codehash));
        uint64 id = propose(OPERATOR, IConsortium.ProposalKind.SetDirectory, content);
        vote(VENDOR, id, content);
        vote(OEM, id, content);
        pass(DELAY);
        consortium.execute(id, content);
        IDirectory.Entry memory entry = directory.current(name);
        check(entry.location == address(registry) && entry.version == 1, "named");
    }

    function test_parameters() external {
        IConsortium.Parameters memory wanted = consortium.parameters();
        wanted.emergencyHoldHours = 24;
        bytes memory content = abi.encode(wanted);
        uint64 id = propose(OPERATOR, IConsortium.ProposalKind.SetParameters, content);
        vote(VENDOR, id, content);
        vote(OEM, id, content);
        pass(DELAY);
        consortium.execute(id, content);
        check(consortium.parameters().emergencyHoldHours == 24, "changed");

        wanted.governanceWindowSeconds = wanted.delaySeconds;
        content = abi.encode(wanted);
        id = propose(OPERATOR, IConsortium.ProposalKind.SetParameters, content);
        vote(VENDOR, id, content);
        vote(OEM, id, content);
        pass(DELAY);
        refused(
            address(consortium),
            executeCall(id, content),
            abi.encodeWithSelector(IConsortium.ConsortiumBadParameters.selector, "governanceWindowSeconds")
        );
    }

    /// @notice Otherwise one member alone could hold a certificate of another again and again without a gap.
    function test_emergencyHoldIsShorterThanTheWindow() external {
        IConsortium.Parameters memory wanted = consortium.parameters();
        wanted.governanceWindowSeconds = 80 hours;
        wanted.emergencyHoldHours = 80;
        bytes memory content = abi.encode(wanted);
        uint64 id = adopt(IConsortium.ProposalKind.SetParameters, content);
        wanted.emergencyHoldHours = 79;
        bytes memory shorter = abi.encode(wanted);
        uint64 good = adopt(IConsortium.ProposalKind.SetParameters, shorter);
        pass(DELAY);
        refused(
            address(consortium),
            executeCall(id, content),
            abi.encodeWithSelector(IConsortium.ConsortiumBadParameters.selector, "emergencyHoldHours")
        );
        consortium.execute(good, shorter);
        check(consortium.parameters().emergencyHoldHours == 79, "an hour less");
    }

    function test_nameSpaces() external {
        IConsortium.NameSpace memory given = space(IConsortium.NameKind.Dns, 0, "delta.example");
        bytes memory content = abi.encode(OEM, given);
        decide(IConsortium.ProposalKind.AddNameSpace, content, three());
        check(consortium.isInSpace(OEM, IConsortium.NameKind.Dns, "cell.delta.example", 0), "given");
        decide(IConsortium.ProposalKind.RemoveNameSpace, content, three());
        check(!consortium.isInSpace(OEM, IConsortium.NameKind.Dns, "cell.delta.example", 0), "taken back");
        content = abi.encode(uint16(9), given);
        uint64 id = propose(OPERATOR, IConsortium.ProposalKind.AddNameSpace, content);
        vote(VENDOR, id, content);
        vote(OEM, id, content);
        refused(
            address(consortium),
            executeCall(id, content),
            abi.encodeWithSelector(IConsortium.ConsortiumUnknownMember.selector, 9)
        );
    }

    function test_contentThatDoesNotDecode() external {
        uint64 id = propose(OPERATOR, IConsortium.ProposalKind.Suspend, hex"01");
        vote(VENDOR, id, hex"01");
        vote(OEM, id, hex"01");
        refused(address(consortium), executeCall(id, hex"01"), "");
        check(!consortium.proposal(id).executed, "not carried out");
    }

    function test_proposalOfNoKind() external {
        refused(
            address(consortium),
            proposeCall(OPERATOR, IConsortium.ProposalKind.None, ""),
            abi.encodeWithSelector(IConsortium.ConsortiumBadProposal.selector, "no kind")
        );
    }
}
