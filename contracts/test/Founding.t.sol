// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IConsortium} from "../interfaces/IConsortium.sol";
import {IDirectory} from "../interfaces/IDirectory.sol";
import {IERC5267} from "@openzeppelin/contracts/interfaces/IERC5267.sol";
import {LedgerTest} from "./LedgerTest.sol";

contract FoundingTest is LedgerTest {
    function setUp() public override {
        goTo(START);
        deploy(founders());
    }

    function call_(IConsortium.Founding memory plan) private view returns (bytes memory) {
        return abi.encodeCall(IConsortium.found, (plan, foundingSignatures(plan)));
    }

    function test_found() external {
        ok(address(consortium), call_(founding()));
        check(consortium.memberCount() == 4, "members");
        check(consortium.actingMember(admin(VENDOR), IConsortium.Role.Administrator) == VENDOR, "administrator");
        check(consortium.actingMember(station(VENDOR), IConsortium.Role.Station) == VENDOR, "station");
        check(consortium.actingMember(station(VENDOR), IConsortium.Role.Endorser) == 0, "no other role");
        check(consortium.electorate(consortium.currentElectorate()).members.length == 4, "electorate");
        check(consortium.profile(SMALL_CELL).windowSeconds == WINDOW, "profile");
        IDirectory.Entry memory entry = directory.current(keccak256("CertificateRegistry"));
        check(entry.location == address(registry) && entry.version == 1, "directory");
        check(consortium.nameSpaces(VENDOR).length == 4, "name spaces");
    }

    function test_foundTwice() external {
        bytes memory again = call_(founding());
        ok(address(consortium), again);
        refused(address(consortium), again, abi.encodeWithSelector(IConsortium.ConsortiumAlreadyFounded.selector));
    }

    function test_foundWithoutASignature() external {
        IConsortium.Founding memory plan = founding();
        bytes[] memory signatures = foundingSignatures(plan);
        signatures[2] = "";
        refused(
            address(consortium),
            abi.encodeCall(IConsortium.found, (plan, signatures)),
            abi.encodeWithSelector(IConsortium.ConsortiumBadSignature.selector, admin(OEM))
        );
    }

    function test_foundWithASignatureOfAnother() external {
        IConsortium.Founding memory plan = founding();
        bytes[] memory signatures = foundingSignatures(plan);
        signatures[3] = signatures[0];
        refused(
            address(consortium),
            abi.encodeCall(IConsortium.found, (plan, signatures)),
            abi.encodeWithSelector(IConsortium.ConsortiumBadSignature.selector, admin(AUTHORITY))
        );
    }

    function test_foundAnotherPlanThanSigned() external {
        IConsortium.Founding memory plan = founding();
        bytes[] memory signatures = foundingSignatures(plan);
        plan.quorum = 3;
        refused(
            address(consortium),
            abi.encodeCall(IConsortium.found, (plan, signatures)),
            abi.encodeWithSelector(IConsortium.ConsortiumBadSignature.selector, admin(OPERATOR))
        );
    }

    function test_foundByOthersThanDeployedFor() external {
        IConsortium.Founding memory plan = founding();
        plan.founders[0] = vm.addr(keyOf(5, "administrator"));
        refused(
            address(consortium), call_(plan), abi.encodeWithSelector(IConsortium.ConsortiumFoundersMismatch.selector)
        );
    }

    function test_founderMustBeAdministratorOfItsMember() external {
        IConsortium.Founding memory plan = founding();
        plan.members[0].administrators = one(accountOf(5, "administrator"));
        refused(
            address(consortium), call_(plan), abi.encodeWithSelector(IConsortium.ConsortiumFoundersMismatch.selector)
        );
    }

    function test_foundWithTheDirectoryOfAnother() external {
        IConsortium.Founding memory plan = founding();
        plan.directory = address(new OtherDirectory());
        refused(
            address(consortium), call_(plan), abi.encodeWithSelector(IConsortium.ConsortiumFoundersMismatch.selector)
        );
    }

    function test_foundWithOtherCodeThanAgreed() external {
        IConsortium.Founding memory plan = founding();
        plan.entries[0].codeHash = keccak256("other code");
        refused(
            address(consortium),
            call_(plan),
            abi.encodeWithSelector(
                IDirectory.DirectoryCodeMismatch.selector,
                plan.entries[0].name,
                address(registry),
                address(registry).codehash
            )
        );
    }

    function test_foundWithOneAccountTwice() external {
        IConsortium.Founding memory plan = founding();
        plan.members[3].stations = one(station(VENDOR));
        refused(
            address(consortium),
            call_(plan),
            abi.encodeWithSelector(IConsortium.ConsortiumBadAccount.selector, station(VENDOR))
        );
    }

    function test_foundWithOneNameTwice() external {
        IConsortium.Founding memory plan = founding();
        plan.members[3].name = plan.members[0].name;
        refused(
            address(consortium),
            call_(plan),
            abi.encodeWithSelector(IConsortium.ConsortiumBadMember.selector, "the name is taken")
        );
    }

    function test_foundWithTooSmallAQuorum() external {
        IConsortium.Founding memory plan = founding();
        plan.quorum = 1;
        refused(
            address(consortium),
            call_(plan),
            abi.encodeWithSelector(IConsortium.ConsortiumBadElectorate.selector, "quorum")
        );
    }

    function test_domain() external view {
        (bytes1 fields, string memory name, string memory version, uint256 chain, address verifier, bytes32 salt,) =
            IERC5267(address(consortium)).eip712Domain();
        check(fields == 0x1f, "fields");
        check(keccak256(bytes(name)) == keccak256("Tiger Tally") && keccak256(bytes(version)) == keccak256("1"), "name");
        check(chain == block.chainid && verifier == address(consortium) && salt == SALT, "domain");
    }

    function test_directoryTakesFromTheConsortiumAlone() external {
        refused(
            address(directory),
            abi.encodeCall(IDirectory.set, (bytes32(0), address(this), address(this).codehash)),
            abi.encodeWithSelector(IDirectory.DirectoryNotConsortium.selector, address(this))
        );
    }
}

contract OtherDirectory {
    function consortium() external pure returns (address) {
        return address(1);
    }
}
