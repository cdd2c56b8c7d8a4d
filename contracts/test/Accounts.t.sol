// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IConsortium} from "../interfaces/IConsortium.sol";
import {LedgerTest} from "./LedgerTest.sol";

contract AccountsTest is LedgerTest {
    address private constant NEW = address(0x1234);

    function badAccount(address who) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IConsortium.ConsortiumBadAccount.selector, who);
    }

    function test_addSuspendRestore() external {
        ok(address(consortium), setAccountCall(VENDOR, NEW, IConsortium.Role.Station, true, VENDOR));
        check(consortium.actingMember(NEW, IConsortium.Role.Station) == VENDOR, "added");
        ok(address(consortium), setAccountCall(VENDOR, NEW, IConsortium.Role.Station, false, VENDOR));
        check(consortium.actingMember(NEW, IConsortium.Role.Station) == 0, "suspended");
        ok(address(consortium), setAccountCall(VENDOR, NEW, IConsortium.Role.Station, true, VENDOR));
        check(consortium.actingMember(NEW, IConsortium.Role.Station) == VENDOR, "restored");
    }

    function test_oneRoleAtOneMemberForGood() external {
        ok(address(consortium), setAccountCall(VENDOR, NEW, IConsortium.Role.Station, false, VENDOR));
        bytes memory otherRole = setAccountCall(VENDOR, NEW, IConsortium.Role.Endorser, true, VENDOR);
        refused(address(consortium), otherRole, badAccount(NEW));
        bytes memory otherMember = setAccountCall(OEM, NEW, IConsortium.Role.Station, true, OEM);
        refused(address(consortium), otherMember, badAccount(NEW));
    }

    function test_neitherAddressNorRoleZero() external {
        bytes memory noAddress = setAccountCall(VENDOR, address(0), IConsortium.Role.Station, true, VENDOR);
        refused(address(consortium), noAddress, badAccount(address(0)));
        refused(address(consortium), setAccountCall(VENDOR, NEW, IConsortium.Role.None, true, VENDOR), badAccount(NEW));
    }

    function test_theLastAdministratorStays() external {
        bytes memory last = setAccountCall(VENDOR, admin(VENDOR), IConsortium.Role.Administrator, false, VENDOR);
        refused(address(consortium), last, badAccount(admin(VENDOR)));
        ok(address(consortium), setAccountCall(VENDOR, NEW, IConsortium.Role.Administrator, true, VENDOR));
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
        bytes memory call_ = setAccountCall(VENDOR, NEW, IConsortium.Role.Station, true, VENDOR);
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
        bytes memory call_ = setAccountCall(VENDOR, NEW, IConsortium.Role.Station, true, VENDOR);
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
        ok(address(consortium), setAccountCall(VENDOR, address(board), IConsortium.Role.Administrator, true, VENDOR));
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
        refused(
            address(consortium),
            abi.encodeCall(
                IConsortium.setAccount, (VENDOR, NEW, IConsortium.Role.Duty, true, address(board), number, later(), bad)
            ),
            abi.encodeWithSelector(IConsortium.ConsortiumBadSignature.selector, address(board))
        );
        consortium.setAccount(VENDOR, NEW, IConsortium.Role.Duty, true, address(board), number, later(), good);
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
