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
            uint256 attribute;
            (attribute, position) = DerReader.read(DerReader.SET, position, end);
            if (position > end) return false;
            if (attribute == position) subject.isBad = true;
            for (uint256 count = 0; attribute < position; ++count) {
                attribute = _readAttribute(subject, attribute, position);
                if (count != 0) subject.isBad = true;
            }
            if (attribute != position) return false;
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

    /// @dev One AttributeTypeAndValue. O is checked where it is compared: it mostly equals a text that was checked once.
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
            kind = kindEnd - kind == 3 ? DerReader.word(kind) >> 232 : 0;
            if (kind == ORGANISATION && subject.organisation == 0) {
                subject.organisationTag = tag;
                subject.organisation = start;
                subject.organisationEnd = end;
                return end;
            }
            bool isFirst;
            if (kind == SERIAL_NUMBER) {
                isFirst = subject.serialNumber == 0;
                subject.serialNumber = start;
            } else if (kind == COMMON_NAME) {
                isFirst = subject.commonName == 0;
                subject.commonName = start;
                subject.commonNameEnd = end;
            }
            if (
                !isFirst || (tag != DerReader.UTF8_STRING && tag != DerReader.PRINTABLE_STRING) || end == start
                    || end - start > LONGEST_VALUE || !CharacterSet.isPrintable(start, end)
            ) subject.isBad = true;
        }
    }
}
