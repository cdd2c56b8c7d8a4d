// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {DerReader} from "./DerReader.sol";

/// @notice The extensions of one certificate.
/// @param count all of them
/// @param present known ones, as the EXT bits of ProfileBits; `critical` likewise
/// @param places where the content of a known one's extnValue lies, by the number of its EXT bit: start << 128 | end
/// @param others identities of the unknown ones, of which there are `otherCount`
struct Extensions {
    uint256 count;
    uint256 present;
    uint256 critical;
    bool isRepeated;
    bool isUnknownCritical;
    uint256[8] places;
    uint256 otherCount;
    bytes32[16] others;
}

/// @title The list of extensions, without their contents. Source: RFC 5280 §4.1, §4.2
library ExtensionList {
    uint256 internal constant MOST = 16;

    uint256 internal constant SUBJECT_KEY_IDENTIFIER = 0;
    uint256 internal constant KEY_USAGE = 1;
    uint256 internal constant SUBJECT_ALT_NAME = 2;
    uint256 internal constant BASIC_CONSTRAINTS = 3;
    uint256 internal constant CRL_DISTRIBUTION_POINTS = 4;
    uint256 internal constant AUTHORITY_KEY_IDENTIFIER = 5;
    uint256 internal constant EXTENDED_KEY_USAGE = 6;
    uint256 internal constant AUTHORITY_INFO_ACCESS = 7;
    uint256 private constant UNKNOWN = 8;

    /// @dev By the last arc of 2.5.29: octet i is the number of the known extension 14 + i.
    bytes32 private constant KNOWN = hex"0001080208030808080808080808080808040808080508060808080808080808";
    uint256 private constant AUTHORITY_INFO_ACCESS_OID = 0x2b06010505070101; // 1.3.6.1.5.5.7.1.1

    /// @notice Reads the extensions from `position` to `end`, of which there must be at least one.
    /// @return whether they are well formed DER (reason 2 where not)
    function read(Extensions memory list, uint256 position, uint256 end) internal pure returns (bool) {
        if (position == end) return false;
        list.isRepeated = false;
        list.isUnknownCritical = false;
        list.otherCount = 0;
        uint256 count;
        uint256 present;
        uint256 critical;
        while (position < end) {
            (uint256 number, uint256 isCritical, uint256 start, uint256 next) = _readUsual(position, end);
            if (number == UNKNOWN) (number, isCritical, start, next) = _readExtension(list, position, end);
            position = next;
            unchecked {
                ++count;
                if (number != UNKNOWN) {
                    if ((present >> number) & 1 != 0) list.isRepeated = true;
                    present |= 1 << number;
                    critical |= isCritical << number;
                    list.places[number] = (start << 128) | next;
                } else if (isCritical != 0) {
                    list.isUnknownCritical = true;
                }
            }
        }
        list.count = count;
        list.present = present;
        list.critical = critical;
        return position == end;
    }

    /// @notice The content of a known extension that is present.
    function place(Extensions memory list, uint256 number) internal pure returns (uint256 start, uint256 end) {
        uint256 both = list.places[number];
        return (both >> 128, both & 0xffffffff);
    }

    /// @dev A known extension of 2.5.29 with less than 118 octets of value: the 9 or 12 octets before the value are
    /// compared at once: 30 (n+7) 06 03 55 1d arc 04 n, or 30 (n+10) 06 03 55 1d arc 01 01 ff 04 n.
    /// @return number UNKNOWN for every other one
    function _readUsual(uint256 position, uint256 limit)
        private
        pure
        returns (uint256 number, uint256 isCritical, uint256 start, uint256 end)
    {
        unchecked {
            uint256 head = DerReader.word(position) >> 160;
            uint256 length = head & 0xff;
            uint256 frame = 0x300a0603551d000101ff0400 + length * 0x100000000000000000001;
            isCritical = 1;
            start = position + 12;
            if (head & 0xffffffffffff80ffffffffff != frame || length > 0x75) {
                length = (head >> 24) & 0xff;
                frame = 0x30070603551d000400 + length * 0x100000000000001;
                if ((head >> 24) & 0xffffffffffff80ffff != frame || length > 0x78) return (UNKNOWN, 0, 0, 0);
                isCritical = 0;
                start = position + 9;
            }
            end = start + length;
            number = end > limit ? UNKNOWN : _known(((head >> 40) & 0x7f) - 14);
        }
    }

    /// @dev Any extension, the long way.
    /// @return number which known extension it is, or UNKNOWN
    /// @return isCritical 1 where it is
    /// @return start where the content of extnValue begins
    /// @return end where it and the extension end, or NOWHERE
    function _readExtension(Extensions memory list, uint256 position, uint256 limit)
        private
        pure
        returns (uint256 number, uint256 isCritical, uint256 start, uint256 end)
    {
        (start, end) = DerReader.read(DerReader.SEQUENCE, position, limit);
        uint256 oid = start;
        (oid, start) = DerReader.read(DerReader.OBJECT_IDENTIFIER, oid, end);
        if (!DerReader.isObjectIdentifier(oid, start)) return (UNKNOWN, 0, 0, DerReader.NOWHERE);
        number = _identify(list, oid, start);
        unchecked {
            if (DerReader.octet(start) == DerReader.BOOLEAN) {
                // DEFAULT FALSE is never encoded, and TRUE is FF: X.690 §11.1, §11.5.
                if (DerReader.word(start) >> 232 != 0x0101ff) return (UNKNOWN, 0, 0, DerReader.NOWHERE);
                isCritical = 1;
                start += 3;
            }
        }
        uint256 last;
        (start, last) = DerReader.read(DerReader.OCTET_STRING, start, end);
        if (last != end) end = DerReader.NOWHERE;
    }

    function _identify(Extensions memory list, uint256 start, uint256 end) private pure returns (uint256 number) {
        unchecked {
            uint256 length = end - start;
            uint256 head = DerReader.word(start) >> 192;
            number = UNKNOWN;
            if (length == 3 && head >> 40 & 0xffff80 == 0x551d00) number = _known(((head >> 40) & 0x7f) - 14);
            if (length == 8 && head == AUTHORITY_INFO_ACCESS_OID) number = AUTHORITY_INFO_ACCESS;
            if (number == UNKNOWN) _note(list, DerReader.hash(start, end));
        }
    }

    /// @dev Above 16 extensions the certificate is refused for their number: the work here stays bounded.
    function _note(Extensions memory list, bytes32 identity) private pure {
        unchecked {
            uint256 count = list.otherCount;
            if (count == MOST) return;
            for (uint256 i = 0; i < count; ++i) {
                if (list.others[i] == identity) list.isRepeated = true;
            }
            list.others[count] = identity;
            list.otherCount = count + 1;
        }
    }

    function _known(uint256 index) private pure returns (uint256 result) {
        bytes32 table = KNOWN;
        if (index > 31) return UNKNOWN;
        assembly ("memory-safe") {
            result := byte(index, table)
        }
    }
}
