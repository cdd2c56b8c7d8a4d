// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ICertificateRegistry} from "../interfaces/ICertificateRegistry.sol";
import {LedgerTest} from "./LedgerTest.sol";

/// @notice Does what people may do, in any order; what is refused is passed over.
contract RegistryHandler is LedgerTest {
    uint256 public constant CERTIFICATES = 6;

    uint40 private lot;
    mapping(uint256 number => bool) public wasRevoked;
    mapping(uint40 batch => uint256) public everAccepted;
    mapping(uint40 batch => uint256) public everRejected;

    constructor() {
        LedgerTest.setUp();
        lot = openLot();
    }

    function setUp() public override {}

    function theRegistry() external view returns (ICertificateRegistry) {
        return registry;
    }

    function theId(uint256 number) external pure returns (bytes32) {
        return idOf(number);
    }

    function theStatus(uint256 number) external view returns (ICertificateRegistry.Status) {
        return statusOf(number).state;
    }

    modifier remembered() {
        _;
        for (uint256 i = 0; i < CERTIFICATES; ++i) {
            if (statusOf(i).state == ICertificateRegistry.Status.Revoked) wasRevoked[i] = true;
        }
        for (uint40 id = 1; id <= registry.batchCount(); ++id) {
            ICertificateRegistry.Batch memory batch = registry.batch(id);
            everAccepted[id] |= batch.accepted;
            everRejected[id] |= batch.rejected;
        }
    }

    function attempt(bytes memory call_) private {
        (bool done, bytes memory answer) = address(registry).call(call_);
        // A refusal is an answer; a panic is a defect.
        check(done || bytes4(answer) != bytes4(0x4e487b71), "panic");
    }

    function submitSome(uint256 first, uint256 count) external remembered {
        first %= CERTIFICATES;
        count = 1 + count % (CERTIFICATES - first);
        attempt(submitCall(submission(lot), certificates(first, count), keyOf(VENDOR, "station")));
    }

    function endorseOne(uint256 who, uint256 batch, uint256 accepts, uint256 abstains) external remembered {
        uint40 count = registry.batchCount();
        if (count == 0) return;
        uint40 id = uint40(1 + batch % count);
        uint256 present = registry.batch(id).present;
        accepts &= present;
        bytes memory call_ = endorseCall(id, accepts, abstains & present & ~accepts);
        vm.prank(accountOf(uint16(1 + who % 4), "endorser"));
        attempt(call_);
    }

    function holdOne(uint256 number, uint256 kind, uint256 who) external remembered {
        number %= CERTIFICATES;
        attempt(
            holdCall(
                idOf(number),
                kind % 2 == 0 ? ICertificateRegistry.HoldKind.Owner : ICertificateRegistry.HoldKind.Emergency,
                statusOf(number).holdCounter,
                uint16(1 + who % 4),
                "duty"
            )
        );
    }

    function releaseOne(uint256 number, uint256 kind, uint256 who) external remembered {
        number %= CERTIFICATES;
        attempt(
            releaseCall(
                idOf(number),
                kind % 2 == 0 ? ICertificateRegistry.HoldKind.Owner : ICertificateRegistry.HoldKind.Emergency,
                statusOf(number).holdCounter,
                uint16(1 + who % 4),
                "administrator"
            )
        );
    }

    function revokeOne(uint256 number, uint256 reason) external remembered {
        if (reason % 4 != 0) return; // otherwise everything is soon revoked
        attempt(revokeCall(idOf(number % CERTIFICATES), uint8(reason % 10), VENDOR, "administrator"));
    }

    function wait(uint256 seconds_) external remembered {
        pass(seconds_ % 3 days);
    }
}

/// @notice What forge asks for: which functions it may call.
struct FuzzSelector {
    address addr;
    bytes4[] selectors;
}

contract RegistryInvariantsTest {
    RegistryHandler private handler;

    error Broken(string what);

    function setUp() external {
        handler = new RegistryHandler();
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0].addr = address(handler);
        targets[0].selectors = new bytes4[](6);
        targets[0].selectors[0] = RegistryHandler.submitSome.selector;
        targets[0].selectors[1] = RegistryHandler.endorseOne.selector;
        targets[0].selectors[2] = RegistryHandler.holdOne.selector;
        targets[0].selectors[3] = RegistryHandler.releaseOne.selector;
        targets[0].selectors[4] = RegistryHandler.revokeOne.selector;
        targets[0].selectors[5] = RegistryHandler.wait.selector;
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    /// forge-config: default.invariant.runs = 8
    /// forge-config: default.invariant.depth = 60
    function invariant_revokedStaysRevoked() external view {
        for (uint256 i = 0; i < handler.CERTIFICATES(); ++i) {
            if (handler.wasRevoked(i) && handler.theStatus(i) != ICertificateRegistry.Status.Revoked) {
                revert Broken("a revoked certificate is something else");
            }
        }
    }

    /// forge-config: default.invariant.runs = 8
    /// forge-config: default.invariant.depth = 60
    function invariant_decisionsAreDisjointAndFinal() external view {
        ICertificateRegistry registry = handler.theRegistry();
        for (uint40 id = 1; id <= registry.batchCount(); ++id) {
            ICertificateRegistry.Batch memory batch = registry.batch(id);
            if (batch.accepted & batch.rejected != 0) revert Broken("accepted and rejected");
            if ((batch.accepted | batch.rejected) & ~batch.present != 0) revert Broken("decided and not present");
            if (batch.accepted != handler.everAccepted(id)) revert Broken("an acceptance was taken back");
            if (batch.rejected != handler.everRejected(id)) revert Broken("a rejection was taken back");
        }
    }
}
