// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IIdentityRegistry} from "../interfaces/IIdentityRegistry.sol";
import {IdentityTest} from "./IdentityTest.sol";

/// @notice Slots that proofs read: frozen, as docs/ledger.md has them.
contract IdentitySlotsTest is IdentityTest {
    function word(bytes32 place) private view returns (uint256) {
        return uint256(vm.load(address(identities), place));
    }

    function test_slots() external {
        IIdentityRegistry.Registration memory made = entry(1);
        made.attestation = IIdentityRegistry.Attestation.VendorCertificate;
        passes(registerCall(only(made), OPERATOR, REGISTRAR));
        uint256 registeredAt = now_;
        pass(7);
        passes(activateCall(only(activation(1)), OPERATOR, REGISTRAR));
        uint256 activatedAt = now_;
        pass(7);
        passes(holdCall(person(1), 0, OPERATOR, DUTY));
        uint256 expected = 2 | (uint256(1 | 4) << 8) | (uint256(2) << 16) | (uint256(OPERATOR) << 32)
            | (uint256(1) << 48) | (uint256(1) << 64) | (registeredAt << 80) | (registeredAt << 120)
            | (activatedAt << 160) | (now_ << 200);
        check(word(keccak256(abi.encode(person(1), uint256(0)))) == expected, "slot 0");
        bytes32 keys = keccak256(abi.encode(person(1), uint256(1)));
        uint256 first = uint256(keccak256(abi.encode(uint256(0), keys)));
        check(word(bytes32(first)) == uint256(made.x) && word(bytes32(first + 1)) == uint256(made.y), "slot 1");
        check(word(keccak256(abi.encode(made.x, uint256(2)))) == uint256(person(1)), "slot 2");
        passes(revokeIdentityCall(person(1), 9, OPERATOR, ADMINISTRATOR));
        expected = word(keccak256(abi.encode(person(1), uint256(0))));
        check(uint8(expected) == 5 && uint8(expected >> 24) == 9, "revoked for this reason");
    }
}
