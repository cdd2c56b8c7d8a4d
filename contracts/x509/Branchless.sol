// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @dev `&&` and `||` jump, which costs more than most of the parser's conditions do. These evaluate both sides: right
/// where neither side can fail or write.
function both(bool left, bool right) pure returns (bool result) {
    assembly ("memory-safe") {
        result := and(left, right)
    }
}

function either(bool left, bool right) pure returns (bool result) {
    assembly ("memory-safe") {
        result := or(left, right)
    }
}
