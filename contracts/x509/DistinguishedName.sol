// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

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
        subject.isBad = false;
        subject.places[COMMON_NAME] = 0;
        subject.places[SERIAL_NUMBER] = 0;
        subject.places[ORGANISATION] = 0;
        while (position < end) {
            position = _readUsual(subject, position, end);
            if (position < end) position = _readRelativeName(subject, position, end);
        }
        if (subject.places[ORGANISATION] == 0) subject.isBad = true;
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

    /// @dev Reads RDNs as accepted subjects have them, up to the first that is not: one attribute, one that we know, for
    /// the first time, with a text of 1 to 64 octets. The 11 octets before the text are compared at once:
    /// 31 (n+9) 30 (n+7) 06 03 55 04 arc tag n.
    /// @return the position of the first that is not usual, or `end`
    function _readUsual(Subject memory subject, uint256 position, uint256 end) private pure returns (uint256) {
        uint256[11] memory places = subject.places;
        assembly ("memory-safe") {
            for {} lt(position, end) {} {
                let head := calldataload(position)
                let length := byte(10, head)
                let frame := add(0x3109300706035504000000, mul(length, 0x1000100000000000001))
                if xor(and(shr(168, head), 0xffffffffffffffff0000ff), frame) { break }
                let start := add(position, 11)
                let next := add(start, length)
                let arc := byte(8, head)
                let tag := byte(9, head)
                if or(gt(sub(length, 1), 63), gt(next, end)) { break }
                if iszero(and(and(shr(arc, KNOWN), shr(tag, TEXT)), 1)) { break }
                let slot := add(places, shl(5, arc))
                if mload(slot) { break }
                mstore(slot, or(or(shl(248, tag), shl(128, start)), next))
                position := next
            }
        }
        return position;
    }

    /// @dev Any RDN.
    function _readRelativeName(Subject memory subject, uint256 position, uint256 limit)
        private
        pure
        returns (uint256 end)
    {
        (position, end) = DerReader.read(DerReader.SET, position, limit);
        if (position == end) subject.isBad = true;
        for (uint256 count = 0; position < end; ++count) {
            position = _readAttribute(subject, position, end);
            if (count != 0) subject.isBad = true;
        }
        if (position != end) return DerReader.NOWHERE;
    }

    /// @dev One AttributeTypeAndValue.
    function _readAttribute(Subject memory subject, uint256 position, uint256 limit)
        private
        pure
        returns (uint256 end)
    {
        (uint256 start, uint256 sequenceEnd) = DerReader.read(DerReader.SEQUENCE, position, limit);
        (uint256 kind, uint256 kindEnd) = DerReader.read(DerReader.OBJECT_IDENTIFIER, start, sequenceEnd);
        uint256 tag;
        (tag, start, end) = DerReader.readAny(kindEnd, sequenceEnd);
        if (end != sequenceEnd || !DerReader.isObjectIdentifier(kind, kindEnd)) return DerReader.NOWHERE;
        unchecked {
            kind = DerReader.word(kind) >> 232 | ((kindEnd - kind) << 24);
            _note(subject, kind >> 8 == 0x035504 ? kind & 0xff : 0, tag, start, end);
        }
    }

    /// @dev Their characters are looked at later.
    /// @param arc last one of 2.5.4.arc, or 0 for any other attribute
    function _note(Subject memory subject, uint256 arc, uint256 tag, uint256 start, uint256 end) private pure {
        unchecked {
            if ((KNOWN >> arc) & (TEXT >> tag) & 1 == 0 || end - start - 1 >= LONGEST_VALUE || subject.places[arc] != 0)
            {
                subject.isBad = true;
            } else {
                subject.places[arc] = (tag << 248) | (start << 128) | end;
            }
        }
    }
}
