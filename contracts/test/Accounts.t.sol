// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IConsortium} from "../interfaces/IConsortium.sol";
import {LedgerTest} from "./LedgerTest.sol";

contract AccountsTest is LedgerTest {
    uint256 private constant NEW_KEY = 0x1234;
    address private constant NEW = 0xCf03Dd0a894Ef79CB5b601A43C4b25E3Ae4c67eD;

    function badAccount(address who) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IConsortium.ConsortiumBadAccount.selector, who);
    }

    function test_addSuspendRestore() external {
        ok(address(consortium), joinCall(VENDOR, NEW_KEY, IConsortium.Role.Station));
        check(consortium.actingMember(NEW, IConsortium.Role.Station) == VENDOR, "added");
        ok(address(consortium), setAccountCall(VENDOR, NEW, IConsortium.Role.Station, false, VENDOR));
        check(consortium.actingMember(NEW, IConsortium.Role.Station) == 0, "suspended");
        ok(address(consortium), setAccountCall(VENDOR, NEW, IConsortium.Role.Station, true, VENDOR));
        check(consortium.actingMember(NEW, IConsortium.Role.Station) == VENDOR, "restored");
    }

    function test_oneRoleAtOneMemberForGood() external {
        ok(address(consortium), joinCall(VENDOR, NEW_KEY, IConsortium.Role.Station));
        ok(address(consortium), setAccountCall(VENDOR, NEW, IConsortium.Role.Station, false, VENDOR));
        refused(address(consortium), joinCall(VENDOR, NEW_KEY, IConsortium.Role.Endorser), badAccount(NEW));
        refused(address(consortium), joinCall(OEM, NEW_KEY, IConsortium.Role.Station), badAccount(NEW));
    }

    /// @notice Who takes a newcomer's address first would keep the newcomer out: only its key can say that it joins.
    function test_anAddressOfSomebodyElse() external {
        address newcomer = admin(5);
        bytes memory badConsent = abi.encodeWithSelector(IConsortium.ConsortiumBadSignature.selector, newcomer);
        IConsortium.Role role = IConsortium.Role.Duty;
        refused(address(consortium), setAccountCall(OEM, newcomer, role, false, OEM), badConsent);
        bytes memory ownKey = sign(keyOf(OEM, "administrator"), address(consortium), joinHash(OEM, newcomer, role));
        refused(address(consortium), setAccountCall(OEM, newcomer, role, true, OEM, ownKey), badConsent);
        bytes memory content = abi.encode(seed(5, IConsortium.MemberKind.Service, "Fifth"));
        decide(IConsortium.ProposalKind.Admit, content, three());
        check(consortium.actingMember(newcomer, IConsortium.Role.Administrator) == 5, "admitted");
    }

    /// @notice A consent is for one member, one role and one contract.
    function test_aConsentToSomethingElse() external {
        IConsortium.Role role = IConsortium.Role.Station;
        bytes memory badConsent = abi.encodeWithSelector(IConsortium.ConsortiumBadSignature.selector, NEW);
        bytes memory toAnother = consent(OEM, NEW_KEY, role);
        refused(address(consortium), setAccountCall(VENDOR, NEW, role, true, VENDOR, toAnother), badConsent);
        bytes memory otherRole = consent(VENDOR, NEW_KEY, IConsortium.Role.Duty);
        refused(address(consortium), setAccountCall(VENDOR, NEW, role, true, VENDOR, otherRole), badConsent);
        bytes memory elsewhere = sign(NEW_KEY, address(registry), joinHash(VENDOR, NEW, role));
        refused(address(consortium), setAccountCall(VENDOR, NEW, role, true, VENDOR, elsewhere), badConsent);
        ok(address(consortium), joinCall(VENDOR, NEW_KEY, role));
    }

    function test_neitherAddressNorRoleZero() external {
        bytes memory noAddress = setAccountCall(VENDOR, address(0), IConsortium.Role.Station, true, VENDOR);
        refused(address(consortium), noAddress, badAccount(address(0)));
        refused(address(consortium), setAccountCall(VENDOR, NEW, IConsortium.Role.None, true, VENDOR), badAccount(NEW));
    }

    function test_theLastAdministratorStays() external {
        bytes memory last = setAccountCall(VENDOR, admin(VENDOR), IConsortium.Role.Administrator, false, VENDOR);
        refused(address(consortium), last, badAccount(admin(VENDOR)));
        ok(address(consortium), joinCall(VENDOR, NEW_KEY, IConsortium.Role.Administrator));
        last = setAccountCall(VENDOR, admin(VENDOR), IConsortium.Role.Administrator, false, VENDOR);
        ok(address(consortium), last);
        check(consortium.actingMember(admin(VENDOR), IConsortium.Role.Administrator) == 0, "retired");
        bytes memory byRetired = setAccountCall(VENDOR, address(0x99), IConsortium.Role.Duty, true, VENDOR);
        refused(
            address(consortium),
            byRetired,
            abi.encodeWithSelector(IConsortium.ConsortiumNotAuthorised.selector, admin(VENDOR))
        );
    }

    function test_ofItsOwnMemberOnly() external {
        refused(
            address(consortium),
            setAccountCall(OEM, NEW, IConsortium.Role.Station, true, VENDOR),
            abi.encodeWithSelector(IConsortium.ConsortiumNotAuthorised.selector, admin(VENDOR))
        );
    }

    function test_replayed() external {
        bytes memory call_ = joinCall(VENDOR, NEW_KEY, IConsortium.Role.Station);
        ok(address(consortium), call_);
        refused(
            address(consortium),
            call_,
            abi.encodeWithSelector(IConsortium.ConsortiumNonceUsed.selector, admin(VENDOR), lastNonce)
        );
        check(consortium.isNonceUsed(admin(VENDOR), lastNonce), "used");
        check(!consortium.isNonceUsed(admin(VENDOR), lastNonce + 256), "not that of another word");
    }

    function test_late() external {
        bytes memory call_ = joinCall(VENDOR, NEW_KEY, IConsortium.Role.Station);
        uint64 deadline = later();
        goTo(deadline + 1);
        refused(
            address(consortium), call_, abi.encodeWithSelector(IConsortium.ConsortiumDeadlinePassed.selector, deadline)
        );
        goTo(deadline);
        ok(address(consortium), call_);
    }

    function test_onAnotherChain() external {
        bytes memory call_ = setAccountCall(VENDOR, NEW, IConsortium.Role.Station, true, VENDOR);
        vm.chainId(4242);
        refused(
            address(consortium),
            call_,
            abi.encodeWithSelector(IConsortium.ConsortiumBadSignature.selector, admin(VENDOR))
        );
    }

    function test_byASuspendedMember() external {
        suspend(VENDOR);
        refused(
            address(consortium),
            setAccountCall(VENDOR, NEW, IConsortium.Role.Station, true, VENDOR),
            abi.encodeWithSelector(IConsortium.ConsortiumNotAuthorised.selector, admin(VENDOR))
        );
    }

    /// @notice m of n: the administrator is a contract that answers ERC-1271.
    function test_administratorThatIsAContract() external {
        Board board = new Board(admin(VENDOR));
        bytes32 join = joinHash(VENDOR, address(board), IConsortium.Role.Administrator);
        bytes memory not = sign(keyOf(OEM, "administrator"), address(consortium), join);
        bytes memory yes = sign(keyOf(VENDOR, "administrator"), address(consortium), join);
        IConsortium.Role role = IConsortium.Role.Administrator;
        refused(
            address(consortium),
            setAccountCall(VENDOR, address(board), role, true, VENDOR, not),
            abi.encodeWithSelector(IConsortium.ConsortiumBadSignature.selector, address(board))
        );
        ok(address(consortium), setAccountCall(VENDOR, address(board), role, true, VENDOR, yes));
        uint256 number = nonce();
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(
                    "SetAccount(uint16 member,address account,uint8 role,bool active,uint256 nonce,uint64 deadline)"
                ),
                VENDOR,
                NEW,
                IConsortium.Role.Duty,
                true,
                number,
                later()
            )
        );
        bytes memory good = sign(keyOf(VENDOR, "administrator"), address(consortium), structHash);
        bytes memory bad = sign(keyOf(OEM, "administrator"), address(consortium), structHash);
        bytes memory join_ = consent(VENDOR, NEW_KEY, IConsortium.Role.Duty);
        refused(
            address(consortium),
            abi.encodeCall(
                IConsortium.setAccount,
                (VENDOR, NEW, IConsortium.Role.Duty, true, address(board), number, later(), bad, join_)
            ),
            abi.encodeWithSelector(IConsortium.ConsortiumBadSignature.selector, address(board))
        );
        consortium.setAccount(VENDOR, NEW, IConsortium.Role.Duty, true, address(board), number, later(), good, join_);
        check(consortium.actingMember(NEW, IConsortium.Role.Duty) == VENDOR, "by the board");
    }
}

/// @notice Signs for what its one owner signed.
contract Board {
    address private immutable OWNER;

    constructor(address owner) {
        OWNER = owner;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        address signer = ecrecover(hash, uint8(signature[64]), bytes32(signature[:32]), bytes32(signature[32:64]));
        return signer == OWNER ? bytes4(0x1626ba7e) : bytes4(0);
    }
}
