// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IConsortium} from "../interfaces/IConsortium.sol";
import {IIdentityRegistry} from "../interfaces/IIdentityRegistry.sol";
import {IdentityTest} from "./IdentityTest.sol";
import {FuzzSelector} from "./RegistryInvariants.t.sol";

/// @notice Does what operator and cards may do, in any order, and remembers every key that it saw.
contract IdentityHandler is IdentityTest {
    uint256 public constant PEOPLE = 3;

    uint256 private cards = PEOPLE;
    mapping(uint256 number => uint256) private holder; // of the card that is the identity's now
    mapping(uint256 number => uint256) private waiting;
    mapping(uint256 number => bytes32[]) private history;
    mapping(uint256 number => bool) public wasRevoked;

    constructor() {
        IdentityTest.setUp();
        addAccount(OPERATOR, "second", IConsortium.Role.Administrator);
        for (uint256 i = 0; i < PEOPLE; ++i) {
            registerOne(i);
            holder[i] = i;
        }
        remember();
    }

    function setUp() public override {}

    modifier remembered() {
        _;
        remember();
    }

    function remember() private {
        for (uint256 i = 0; i < PEOPLE; ++i) {
            IIdentityRegistry.Identity memory stands = identities.identityOf(person(i));
            if (stands.keyCount > history[i].length) {
                history[i].push(stands.x);
                if (history[i].length > 1) holder[i] = waiting[i];
            }
            if (stands.state == IIdentityRegistry.State.Revoked) wasRevoked[i] = true;
        }
    }

    function theRegistry() external view returns (IIdentityRegistry) {
        return identities;
    }

    function theId(uint256 number) external pure returns (bytes32) {
        return person(number);
    }

    function theHistory(uint256 number) external view returns (bytes32[] memory) {
        return history[number];
    }

    function attempt(bytes memory call_) private returns (bool done) {
        bytes memory answer;
        (done, answer) = address(identities).call(call_);
        // A refusal is an answer; a panic is a defect.
        check(done || bytes4(answer) != bytes4(0x4e487b71), "panic");
    }

    function counterOf(uint256 number) private view returns (uint16) {
        return identities.identityOf(person(number)).counter;
    }

    function registerAgain(uint256 number, uint256 other) external remembered {
        bytes32 id = person(number % PEOPLE);
        attempt(registerCall(only(entryOf(OPERATOR, id, card(other % cards), REGISTER)), OPERATOR, REGISTRAR));
    }

    function activateOne(uint256 number) external remembered {
        number %= PEOPLE;
        attempt(
            activateCall(only(wordOf(holder[number], person(number), holder[number], ACTIVATE)), OPERATOR, REGISTRAR)
        );
    }

    function holdOne(uint256 number) external remembered {
        number %= PEOPLE;
        attempt(holdCall(person(number), counterOf(number), OPERATOR, DUTY));
    }

    function releaseOne(uint256 number) external remembered {
        number %= PEOPLE;
        attempt(releaseCall(person(number), counterOf(number), OPERATOR, ADMINISTRATOR));
    }

    function revokeOne(uint256 number, uint256 reason) external remembered {
        if (reason % 8 != 0) return; // otherwise everybody is soon revoked
        attempt(revokeIdentityCall(person(number % PEOPLE), uint8(reason % 10), OPERATOR, ADMINISTRATOR));
    }

    function replaceOne(uint256 number) external remembered {
        number %= PEOPLE;
        uint256 fresh = cards++;
        bytes memory call_ = replaceCall(
            replacementOf(number, fresh),
            wordOf(holder[number], person(number), fresh, REPLACE),
            counterOf(number),
            OPERATOR,
            REGISTRAR
        );
        if (attempt(call_)) waiting[number] = fresh;
    }

    function startOne(uint256 number) external remembered {
        number %= PEOPLE;
        uint256 fresh = cards++;
        if (attempt(startCall(replacementOf(number, fresh), counterOf(number), OPERATOR, REGISTRAR))) {
            waiting[number] = fresh;
        }
    }

    function confirmOne(uint256 number) external remembered {
        number %= PEOPLE;
        attempt(confirmCall(person(number), waiting[number], counterOf(number), OPERATOR, "second"));
    }

    function vetoOne(uint256 number) external remembered {
        number %= PEOPLE;
        attempt(
            abi.encodeCall(
                IIdentityRegistry.cancelByCard, (wordOf(holder[number], person(number), waiting[number], CANCEL))
            )
        );
    }

    function wait(uint256 seconds_) external remembered {
        pass(seconds_ % 2 days);
    }
}

contract IdentityInvariantsTest {
    IdentityHandler private handler;

    error Broken(string what);

    function setUp() external {
        handler = new IdentityHandler();
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0].addr = address(handler);
        targets[0].selectors = new bytes4[](10);
        targets[0].selectors[0] = IdentityHandler.registerAgain.selector;
        targets[0].selectors[1] = IdentityHandler.activateOne.selector;
        targets[0].selectors[2] = IdentityHandler.holdOne.selector;
        targets[0].selectors[3] = IdentityHandler.releaseOne.selector;
        targets[0].selectors[4] = IdentityHandler.revokeOne.selector;
        targets[0].selectors[5] = IdentityHandler.replaceOne.selector;
        targets[0].selectors[6] = IdentityHandler.startOne.selector;
        targets[0].selectors[7] = IdentityHandler.confirmOne.selector;
        targets[0].selectors[8] = IdentityHandler.vetoOne.selector;
        targets[0].selectors[9] = IdentityHandler.wait.selector;
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    /// @notice What was once in the history stays there, at its place and with its identity.
    /// forge-config: default.invariant.runs = 12
    /// forge-config: default.invariant.depth = 80
    function invariant_historyIsAppendOnly() external view {
        IIdentityRegistry registry = handler.theRegistry();
        for (uint256 i = 0; i < handler.PEOPLE(); ++i) {
            bytes32 id = handler.theId(i);
            bytes32[] memory seen = handler.theHistory(i);
            uint16 count = registry.keyCount(id);
            if (count != seen.length) revert Broken("keys came or went unseen");
            uint40 last = 0;
            for (uint16 index = 0; index < count; ++index) {
                IIdentityRegistry.Key memory key = registry.keyAt(id, index);
                if (key.x != seen[index]) revert Broken("a key of the history changed");
                if (registry.identityOfKey(key.x) != id) revert Broken("a key has another identity");
                if (key.since < last) revert Broken("times run back");
                if ((key.until == 0) != (index == count - 1)) revert Broken("only the last key is the current one");
                last = key.until;
            }
            if (registry.identityOf(id).x != seen[count - 1]) revert Broken("the current key is not the last");
        }
    }

    /// forge-config: default.invariant.runs = 12
    /// forge-config: default.invariant.depth = 80
    function invariant_statesFitTogether() external view {
        IIdentityRegistry registry = handler.theRegistry();
        for (uint256 i = 0; i < handler.PEOPLE(); ++i) {
            IIdentityRegistry.Identity memory stands = registry.identityOf(handler.theId(i));
            bool isRevoked = stands.state == IIdentityRegistry.State.Revoked;
            if (handler.wasRevoked(i) != isRevoked) revert Broken("a revoked identity is something else");
            IIdentityRegistry.Replacement memory waits = registry.replacementOf(handler.theId(i));
            if (stands.replacing != (waits.executableAt != 0)) revert Broken("a key waits unseen");
            if (isRevoked && stands.replacing) revert Broken("a revoked identity waits for a key");
            if (stands.state == IIdentityRegistry.State.Active && stands.activatedAt < stands.keySince) {
                revert Broken("active without the current key's word");
            }
        }
    }
}
