// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {either} from "./Branchless.sol";
import {CharacterSet} from "./CharacterSet.sol";
import {DerReader} from "./DerReader.sol";

/// @notice The values of a subject.
/// @param isBad well formed DER, yet not a subject by our naming rules (reason 8)
/// @param places where the value of attribute 2.5.4.i lies: tag << 248 | start << 128 | end; 0 where it is absent
struct Subject {
    bool isBad;
    uint256[11] places;
}

/// @title Subject and issuer: O, serialNumber and CN, each at most once and in its own RDN
/// @dev Sources: RFC 5280 §4.1.2.4 and appendix A.1 (upper bounds of 64); docs/ledger.md on names.
library DistinguishedName {
    uint256 internal constant COMMON_NAME = 3;
    uint256 internal constant SERIAL_NUMBER = 5;
    uint256 internal constant ORGANISATION = 10;
    uint256 private constant KNOWN = 0x428; // these three, as bits
    uint256 private constant TEXT = 0x81000; // UTF8String and PrintableString, as bits
    uint256 private constant LONGEST_VALUE = 64;

    /// @notice Reads the RDNs from `position` to `end`.
    /// @return whether every RDN is well formed DER
    function read(Subject memory subject, uint256 position, uint256 end) internal pure returns (bool) {
        subject.places[COMMON_NAME] = 0;
        subject.places[SERIAL_NUMBER] = 0;
        subject.places[ORGANISATION] = 0;
        position = _readGood(subject, position, end);
        subject.isBad = either(position < end, subject.places[ORGANISATION] == 0);
        while (position < end) {
            position = _skipRelativeName(position, end);
        }
        return position == end;
    }

    /// @notice An attribute of 2.5.4 that is present.
    function place(Subject memory subject, uint256 arc)
        internal
        pure
        returns (uint256 tag, uint256 start, uint256 end)
    {
        uint256 all = subject.places[arc];
        return (all >> 248, (all >> 128) & 0xffffffff, all & 0xffffffff);
    }

    /// @notice Whether the value of an attribute, if it is there, is of characters of PrintableString.
    function isPrintable(Subject memory subject, uint256 arc) internal pure returns (bool) {
        (, uint256 start, uint256 end) = place(subject, arc);
        return CharacterSet.isPrintable(start, end);
    }

    /// @notice Whether a value is of this type and made of its characters, and has 1 to 64 octets.
    function isText(uint256 tag, uint256 start, uint256 end) internal pure returns (bool) {
        unchecked {
            if (end - start > LONGEST_VALUE || end == start) return false;
        }
        if (tag == DerReader.UTF8_STRING) return CharacterSet.isUtf8(start, end);
        return tag == DerReader.PRINTABLE_STRING && CharacterSet.isPrintable(start, end);
    }

    /// @dev Reads RDNs up to the first that no accepted subject has: each has one attribute, one that we know, for the
    /// first time, with a text of 1 to 64 octets. So it has one encoding, of which the 11 octets before the text are
    /// compared at once: 31 (n+9) 30 (n+7) 06 03 55 04 arc tag n.
    /// @return the position of the first that is not good, or `end`, or behind it where the last one ends there
    function _readGood(Subject memory subject, uint256 position, uint256 end) private pure returns (uint256) {
        uint256[11] memory places = subject.places;
        assembly ("memory-safe") {
            let awaited := KNOWN
            for {} lt(position, end) {} {
                let head := calldataload(position)
                let length := byte(10, head)
                let arc := byte(8, head)
                let tag := byte(9, head)
                let frame := add(0x3109300706035504000000, mul(length, 0x1000100000000000001))
                let isTaken := and(and(shr(arc, awaited), shr(tag, TEXT)), lt(sub(length, 1), LONGEST_VALUE))
                if or(xor(and(shr(168, head), 0xffffffffffffffff0000ff), frame), iszero(isTaken)) { break }
                awaited := xor(awaited, shl(arc, 1))
                position := add(position, 11)
                mstore(add(places, shl(5, arc)), or(or(shl(248, tag), shl(128, position)), add(position, length)))
                position := add(position, length)
            }
        }
        return position;
    }

    /// @dev Any RDN: well formed, but not good.
    function _skipRelativeName(uint256 position, uint256 limit) private pure returns (uint256 end) {
        (position, end) = DerReader.read(DerReader.SET, position, limit);
        while (position < end) {
            position = _skipAttribute(position, end);
        }
        if (position != end) return DerReader.NOWHERE;
    }

    /// @dev One AttributeTypeAndValue.
    function _skipAttribute(uint256 position, uint256 limit) private pure returns (uint256 end) {
        (uint256 start, uint256 sequenceEnd) = DerReader.read(DerReader.SEQUENCE, position, limit);
        (uint256 kind, uint256 kindEnd) = DerReader.read(DerReader.OBJECT_IDENTIFIER, start, sequenceEnd);
        (,, end) = DerReader.readAny(kindEnd, sequenceEnd);
        if (end != sequenceEnd || !DerReader.isObjectIdentifier(kind, kindEnd)) return DerReader.NOWHERE;
    }
}
