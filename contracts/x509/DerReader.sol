// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {both, either} from "./Branchless.sol";

/// @title Strict DER, read where it lies in calldata
/// @notice Positions are offsets into calldata. Nothing here reverts: what cannot be read ends at `NOWHERE`.
/// @dev `NOWHERE` lies beyond every limit, so that a read after a failed read fails as well: a caller may read a whole
/// SEQUENCE in a row and compare the last end with the end of the SEQUENCE once. Words are loaded straight from
/// calldata: copying a certificate to memory costs more than reading it, and bytes past a limit may be loaded but are
/// never believed, because an element that ends past its limit is refused. Source: X.690 §8.1, §10.1.
library DerReader {
    uint256 internal constant NOWHERE = 1 << 64;

    uint256 internal constant BOOLEAN = 0x01;
    uint256 internal constant INTEGER = 0x02;
    uint256 internal constant BIT_STRING = 0x03;
    uint256 internal constant OCTET_STRING = 0x04;
    uint256 internal constant NULL = 0x05;
    uint256 internal constant OBJECT_IDENTIFIER = 0x06;
    uint256 internal constant UTF8_STRING = 0x0c;
    uint256 internal constant PRINTABLE_STRING = 0x13;
    uint256 internal constant UTC_TIME = 0x17;
    uint256 internal constant GENERALIZED_TIME = 0x18;
    uint256 internal constant SEQUENCE = 0x30;
    uint256 internal constant SET = 0x31;

    /// @dev AlgorithmIdentifier of ecdsa-with-SHA256 without parameters. Source: RFC 5758 §3.2
    uint256 internal constant ECDSA_SHA256 = 0x300a06082a8648ce3d040302;

    /// @notice The element at `position`, which must have this tag and end at or before `limit`.
    /// @return start where its content begins, or NOWHERE
    /// @return end where its content ends, or NOWHERE
    function read(uint256 tag, uint256 position, uint256 limit) internal pure returns (uint256 start, uint256 end) {
        assembly ("memory-safe") {
            let head := calldataload(position)
            let length := byte(1, head)
            let fault := xor(byte(0, head), tag)
            start := add(position, 2)
            if gt(length, 0x7f) {
                // Long form: shortest, definite, and at most two octets of length (an entry has 2,048 octets).
                switch length
                case 0x81 {
                    length := byte(2, head)
                    start := add(position, 3)
                    fault := or(fault, lt(length, 0x80))
                }
                case 0x82 {
                    length := shr(240, shl(16, head))
                    start := add(position, 4)
                    fault := or(fault, lt(length, 0x100))
                }
                default { fault := 1 }
            }
            end := add(start, length)
            if or(fault, gt(end, limit)) {
                start := NOWHERE
                end := NOWHERE
            }
        }
    }

    /// @notice The element at `position`, whatever its tag, if that is one octet long.
    function readAny(uint256 position, uint256 limit) internal pure returns (uint256 tag, uint256 start, uint256 end) {
        tag = octet(position);
        (start, end) = read(tag, position, limit);
        if (tag & 0x1f == 0x1f) (start, end) = (NOWHERE, NOWHERE);
    }

    /// @notice A BIT STRING of whole octets.
    /// @return start where the bits begin: past the octet that counts the unused bits, which must be 0
    function readWholeOctets(uint256 position, uint256 limit) internal pure returns (uint256 start, uint256 end) {
        (start, end) = read(BIT_STRING, position, limit);
        unchecked {
            if (start == end || octet(start) != 0) return (NOWHERE, NOWHERE);
            ++start;
        }
    }

    /// @notice An AlgorithmIdentifier: an OBJECT IDENTIFIER and at most one element more, which is not looked into.
    /// @return end where it ends, or NOWHERE. Source: RFC 5280 §4.1.1.2
    function readAlgorithm(uint256 position, uint256 limit) internal pure returns (uint256 end) {
        uint256 cursor;
        uint256 start;
        (cursor, end) = read(SEQUENCE, position, limit);
        (start, cursor) = read(OBJECT_IDENTIFIER, cursor, end);
        if (cursor > end || !isObjectIdentifier(start, cursor)) return NOWHERE;
        if (cursor != end) {
            (,, cursor) = readAny(cursor, end);
            if (cursor != end) return NOWHERE;
        }
    }

    /// @notice Whether the content of an INTEGER is not empty and the shortest. Source: X.690 §8.3.2
    function isInteger(uint256 start, uint256 end) internal pure returns (bool) {
        unchecked {
            uint256 leading = word(start) >> 247; // of two octets and more the first nine bits must not all be equal
            bool isShortest = either(leading - 1 < 0x1fe, end - start == 1);
            return both(isShortest, end != start);
        }
    }

    /// @notice Whether the content of an OBJECT IDENTIFIER is well formed: not empty, every subidentifier complete and
    /// without a leading 0x80. Source: X.690 §8.19.2
    function isObjectIdentifier(uint256 start, uint256 end) internal pure returns (bool) {
        unchecked {
            if (start >= end || octet(end - 1) > 0x7f) return false;
            uint256 continued; // top bit: the octet before this word belongs to the same subidentifier
            // 32 octets at a time, one flag in the top bit of each octet: a loop over octets costs twenty times as much.
            for (; start < end; start += 32) {
                uint256 content = word(start) & kept(end - start);
                uint256 high = content & HIGH_BITS;
                uint256 lowIsZero = ~((content & LOW_BITS) + LOW_BITS);
                if (high & lowIsZero & ~((high >> 8) | continued) != 0) return false;
                continued = high << 248;
            }
            return true;
        }
    }

    /// @notice Whether `length` octets at both places are equal.
    function areEqual(uint256 left, uint256 right, uint256 length) internal pure returns (bool) {
        uint256 difference;
        assembly ("memory-safe") {
            let last := add(left, length)
            for {} gt(sub(last, left), 32) {} {
                difference := or(difference, xor(calldataload(left), calldataload(right)))
                left := add(left, 32)
                right := add(right, 32)
            }
            let rest := xor(calldataload(left), calldataload(right))
            difference := or(difference, shr(sub(256, shl(3, sub(last, left))), rest))
        }
        return difference == 0;
    }

    /// @notice keccak256 of a piece of calldata.
    function hash(uint256 start, uint256 end) internal pure returns (bytes32 result) {
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            let length := sub(end, start)
            calldatacopy(buffer, start, length)
            result := keccak256(buffer, length)
        }
    }

    function word(uint256 position) internal pure returns (uint256 result) {
        assembly ("memory-safe") {
            result := calldataload(position)
        }
    }

    function octet(uint256 position) internal pure returns (uint256 result) {
        assembly ("memory-safe") {
            result := byte(0, calldataload(position))
        }
    }

    /// @notice Mask of the first `length` octets of a word; all of them from 32 on, as a shift by 256 or more leaves 0.
    function kept(uint256 length) internal pure returns (uint256) {
        unchecked {
            return ~(type(uint256).max >> (8 * length));
        }
    }

    uint256 private constant HIGH_BITS = 0x8080808080808080808080808080808080808080808080808080808080808080;
    uint256 private constant LOW_BITS = 0x7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f;
}
