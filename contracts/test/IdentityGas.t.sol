// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IIdentityRegistry} from "../interfaces/IIdentityRegistry.sol";
import {IdentityTest} from "./IdentityTest.sol";

/// @notice What registration and activation cost, as the sender of the transactions pays it; run with -vv to see it.
contract IdentityGasTest is IdentityTest {
    uint256 private constant TRANSACTION_CAP = 1 << 24;
    uint256 private constant BOUND = 130_000;

    function test_batchesOfEverySize() external {
        uint256[4] memory sizes = [uint256(1), 10, 50, 100];
        uint256 first = 0;
        for (uint256 i = 0; i < sizes.length; ++i) {
            emit log_named_uint("entries", sizes[i]);
            uint256 registering = registration(first, sizes[i]);
            check(registering <= TRANSACTION_CAP, "a batch fits one transaction");
            if (sizes[i] == 100) check(registering / 100 <= BOUND, "gas of a registration in a full batch");
            check(activationOf(first, sizes[i]) <= TRANSACTION_CAP, "a batch fits one transaction");
            first += sizes[i];
            expectIdentity(first - 1, IIdentityRegistry.State.Active);
        }
    }

    function registration(uint256 first, uint256 size) private returns (uint256 used) {
        IIdentityRegistry.Registration[] memory entries = new IIdentityRegistry.Registration[](size);
        for (uint256 i = 0; i < size; ++i) {
            entries[i] = entry(first + i);
        }
        used = transaction(registerCall(entries, OPERATOR, REGISTRAR));
        emit log_named_uint("gas of the registration", used);
        emit log_named_uint("gas of a registration", used / size);
    }

    function activationOf(uint256 first, uint256 size) private returns (uint256 used) {
        IIdentityRegistry.Activation[] memory words = new IIdentityRegistry.Activation[](size);
        for (uint256 i = 0; i < size; ++i) {
            words[i] = activation(first + i);
        }
        used = transaction(activateCall(words, OPERATOR, REGISTRAR));
        emit log_named_uint("gas of the activation", used);
        emit log_named_uint("gas of an activation", used / size);
    }

    /// @dev In one test the accounts are warm from the second transaction on: some 10,000 gas less for each.
    function transaction(bytes memory call_) private returns (uint256 used) {
        used = 21_000;
        for (uint256 i = 0; i < call_.length; ++i) {
            used += call_[i] == 0 ? 4 : 16;
        }
        uint256 before = gasleft();
        (bool done,) = address(identities).call(call_);
        used += before - gasleft();
        check(done, "the transaction succeeds");
    }
}
