// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {DerReader} from "./DerReader.sol";

/// @notice The extensions of one certificate.
/// @param count all of them
/// @param present known ones, as the EXT bits of ProfileBits; `critical` likewise
/// @param starts where the content of a known one's extnValue begins, by the number of its EXT bit; `ends` likewise
/// @param others identities of the unknown ones, of which there are `otherCount`
struct Extensions {
    uint256 count;
    uint256 present;
    uint256 critical;
    bool isRepeated;
    bool isUnknownCritical;
    uint256[8] starts;
    uint256[8] ends;
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
        list.count = 0;
        list.present = 0;
        list.critical = 0;
        list.isRepeated = false;
        list.isUnknownCritical = false;
        list.otherCount = 0;
        while (position < end) {
            position = _readExtension(list, position, end);
        }
        return position == end;
    }

    function _readExtension(Extensions memory list, uint256 position, uint256 limit)
        private
        pure
        returns (uint256 end)
    {
        uint256 cursor;
        (cursor, end) = DerReader.read(DerReader.SEQUENCE, position, limit);
        uint256 number;
        (number, cursor) = _readIdentity(list, cursor, end);
        bool isCritical;
        unchecked {
            if (DerReader.octet(cursor) == DerReader.BOOLEAN) {
                // DEFAULT FALSE is never encoded, and TRUE is FF: X.690 §11.1, §11.5.
                if (DerReader.word(cursor) >> 232 != 0x0101ff) return DerReader.NOWHERE;
                isCritical = true;
                cursor += 3;
            }
            (position, cursor) = DerReader.read(DerReader.OCTET_STRING, cursor, end);
            if (cursor != end) return DerReader.NOWHERE;
            ++list.count;
            if (number == UNKNOWN) {
                if (isCritical) list.isUnknownCritical = true;
                return end;
            }
            uint256 bit = 1 << number;
            if (list.present & bit != 0) list.isRepeated = true;
            list.present |= bit;
            if (isCritical) list.critical |= bit;
            list.starts[number] = position;
            list.ends[number] = end;
        }
    }

    /// @dev The extension's OBJECT IDENTIFIER: its number here, and where it ends.
    function _readIdentity(Extensions memory list, uint256 position, uint256 limit)
        private
        pure
        returns (uint256 number, uint256 end)
    {
        unchecked {
            uint256 head = DerReader.word(position) >> 216;
            if (head & 0xffffffff80 == 0x0603551d00) {
                // 2.5.29.x with x below 128: well formed as it stands. What runs past the limit fails at the next read.
                number = _known((head & 0x7f) - 14);
                end = position + 5;
                if (number != UNKNOWN) return (number, end);
                position += 2;
            } else {
                (position, end) = DerReader.read(DerReader.OBJECT_IDENTIFIER, position, limit);
                if (!DerReader.isObjectIdentifier(position, end)) return (UNKNOWN, DerReader.NOWHERE);
                if (end - position == 8 && DerReader.word(position) >> 192 == AUTHORITY_INFO_ACCESS_OID) {
                    return (AUTHORITY_INFO_ACCESS, end);
                }
            }
            _note(list, DerReader.hash(position, end));
            return (UNKNOWN, end);
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
