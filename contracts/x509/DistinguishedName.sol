// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {CharacterSet} from "./CharacterSet.sol";
import {DerReader} from "./DerReader.sol";

/// @notice The values of a subject, as offsets into calldata; an absent attribute begins at 0.
/// @param isBad well formed DER, yet not a subject by our naming rules (reason 8)
struct Subject {
    bool isBad;
    uint256 organisationTag;
    uint256 organisation;
    uint256 organisationEnd;
    uint256 serialNumber;
    uint256 commonName;
    uint256 commonNameEnd;
}

/// @title Subject and issuer: O, serialNumber and CN, each at most once and in its own RDN
/// @dev Sources: RFC 5280 §4.1.2.4 and appendix A.1 (upper bounds of 64); docs/ledger.md on names.
library DistinguishedName {
    uint256 private constant COMMON_NAME = 0x550403;
    uint256 private constant SERIAL_NUMBER = 0x550405;
    uint256 private constant ORGANISATION = 0x55040a;
    uint256 private constant LONGEST_VALUE = 64;

    /// @notice Reads the RDNs from `position` to `end`.
    /// @return whether every RDN is well formed DER
    function read(Subject memory subject, uint256 position, uint256 end) internal pure returns (bool) {
        subject.isBad = false;
        subject.organisation = 0;
        subject.serialNumber = 0;
        subject.commonName = 0;
        while (position < end) {
            uint256 next = _readUsual(subject, position, end);
            if (next > end) next = _readRelativeName(subject, position, end);
            if (next > end) return false;
            position = next;
        }
        if (subject.organisation == 0) subject.isBad = true;
        return true;
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
            bool isUsual = head & 0xffffffffffffffff0000ff == 0x3109300706035504000000 + length * 0x1000100000000000001
                && length <= LONGEST_VALUE && end <= limit && (head >> 16) & 0x80 == 0 && (head >> 8) & 0x1f != 0x1f;
            if (!isUsual) return DerReader.NOWHERE;
            _note(subject, 0x550400 | ((head >> 16) & 0xff), (head >> 8) & 0xff, position + 11, end);
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
            _note(subject, kindEnd - kind == 3 ? DerReader.word(kind) >> 232 : 0, tag, start, end);
        }
    }

    /// @dev O is checked where it is compared: mostly it equals a text that was checked once.
    function _note(Subject memory subject, uint256 kind, uint256 tag, uint256 start, uint256 end) private pure {
        uint256 earlier = 1;
        if (kind == ORGANISATION) {
            earlier = subject.organisation;
            subject.organisationTag = tag;
            subject.organisation = start;
            subject.organisationEnd = end;
            if (earlier == 0) return;
        } else if (kind == SERIAL_NUMBER) {
            earlier = subject.serialNumber;
            subject.serialNumber = start;
        } else if (kind == COMMON_NAME) {
            earlier = subject.commonName;
            subject.commonName = start;
            subject.commonNameEnd = end;
        }
        unchecked {
            if (
                earlier != 0 || (tag != DerReader.UTF8_STRING && tag != DerReader.PRINTABLE_STRING) || end == start
                    || end - start > LONGEST_VALUE || !CharacterSet.isPrintable(start, end)
            ) subject.isBad = true;
        }
    }
}
