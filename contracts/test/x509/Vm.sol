// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @notice What these tests use of forge's cheat codes.
interface Vm {
    function signP256(uint256 privateKey, bytes32 digest) external pure returns (bytes32 r, bytes32 s);
    function publicKeyP256(uint256 privateKey) external pure returns (uint256 x, uint256 y);
}
