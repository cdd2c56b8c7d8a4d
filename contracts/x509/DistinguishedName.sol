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
    uint256 private constant KNOWN = (1 << COMMON_NAME) | (1 << SERIAL_NUMBER) | (1 << ORGANISATION);
    uint256 private constant LONGEST_VALUE = 64;

    /// @notice Reads the RDNs from `position` to `end`.
    /// @return whether every RDN is well formed DER
    function read(Subject memory subject, uint256 position, uint256 end) internal pure returns (bool) {
        subject.isBad = false;
        subject.places[COMMON_NAME] = 0;
        subject.places[SERIAL_NUMBER] = 0;
        subject.places[ORGANISATION] = 0;
        while (position < end) {
            uint256 next = _readUsual(subject, position, end);
            if (next > end) next = _readRelativeName(subject, position, end);
            if (next > end) return false;
            position = next;
        }
        if (subject.places[ORGANISATION] == 0) subject.isBad = true;
        return true;
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

    /// @notice Whether a value is of this type and made of its characters, and has 1 to 64 octets.
    function isText(uint256 tag, uint256 start, uint256 end) internal pure returns (bool) {
        unchecked {
            if (end - start > LONGEST_VALUE || end == start) return false;
        }
        if (tag == DerReader.UTF8_STRING) return CharacterSet.isUtf8(start, end);
        return tag == DerReader.PRINTABLE_STRING && CharacterSet.isPrintable(start, end);
    }

    /// @dev An RDN as all of an accepted subject are: one attribute of 2.5.4 with a value of at most 64 octets. Its 11
    /// octets before the value are compared at once: 31 (n+9) 30 (n+7) 06 03 55 04 kind tag n.
    /// @return end NOWHERE for any other RDN
    function _readUsual(Subject memory subject, uint256 position, uint256 limit) private pure returns (uint256 end) {
        unchecked {
            uint256 head = DerReader.word(position) >> 168;
            uint256 length = head & 0xff;
            end = position + 11 + length;
            if (
                head & 0xffffffffffffffff0000ff != 0x3109300706035504000000 + length * 0x1000100000000000001
                    || length > LONGEST_VALUE || end > limit
            ) return DerReader.NOWHERE;
            uint256 tag = (head >> 8) & 0xff;
            head = (head >> 16) & 0xff;
            if (head > 0x7f || tag & 0x1f == 0x1f) return DerReader.NOWHERE;
            _note(subject, head, tag, position + 11, end);
        }
    }

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

    /// @dev The characters of O are looked at where it is compared: mostly it equals a text that was checked once.
    /// @param arc last one of 2.5.4.arc, or 0 for any other attribute
    function _note(Subject memory subject, uint256 arc, uint256 tag, uint256 start, uint256 end) private pure {
        unchecked {
            bool isText = tag == DerReader.UTF8_STRING || tag == DerReader.PRINTABLE_STRING;
            if (
                (KNOWN >> arc) & 1 == 0 || !isText || start == end || end - start > LONGEST_VALUE
                    || subject.places[arc] != 0
            ) subject.isBad = true;
            else if (arc != ORGANISATION && !CharacterSet.isPrintable(start, end)) subject.isBad = true;
            else subject.places[arc] = (tag << 248) | (start << 128) | end;
        }
    }
}
