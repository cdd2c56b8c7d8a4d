// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {DerReader} from "./DerReader.sol";

/// @notice The extensions of one certificate.
/// @param count all of them
/// @param present known ones, as the EXT bits of ProfileBits; `critical` likewise
/// @param seen while they are read: octet i + 1, from the least, counts those of EXT bit i. An extension that is known
/// has nine octets at least, so that a certificate has less than 255 of them
/// @param places where the content of a known one's extnValue lies, by the number of its EXT bit: start << 128 | end
/// @param others identities of the unknown ones, of which there are `otherCount`
struct Extensions {
    uint256 count;
    uint256 present;
    uint256 critical;
    uint256 seen;
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
    uint256 private constant NOT_ONCE = 0xfefefefefefefefe00; // bits of `seen` above 1

    /// @dev By the last arc of 2.5.29: octet i is 1 and the number of the known extension 14 + i, or 0.
    uint256 private constant KNOWN = 0x0102000300040000000000000000000000050000000600070000000000000000;
    uint256 private constant AUTHORITY_INFO_ACCESS_OID = 0x2b06010505070101; // 1.3.6.1.5.5.7.1.1

    /// @notice Forgets what the certificate before left.
    function clear(Extensions memory list) internal pure {
        list.count = 0;
        list.present = 0;
        list.critical = 0;
        list.seen = 0;
        list.isRepeated = false;
        list.isUnknownCritical = false;
        list.otherCount = 0;
    }

    /// @notice Reads the extensions from `position` to `end`, of which there must be at least one.
    /// @return whether they are well formed DER (reason 2 where not)
    function read(Extensions memory list, uint256 position, uint256 end) internal pure returns (bool) {
        if (position == end) return false;
        while (position < end) {
            position = _readUsual(list, position, end);
            if (position < end) position = _readExtension(list, position, end);
        }
        unchecked {
            uint256 seen = list.seen;
            list.count += seen % 255; // the sum of its octets
            if (seen & NOT_ONCE != 0) list.isRepeated = true;
            // Bit 8 (i + 1) goes to bit 64 + i, if nothing is repeated; if it is, that comes before what is present.
            list.present = (seen * 0x0102040810204080 >> 64) & 0xff;
        }
        return position == end;
    }

    /// @notice The content of a known extension that is present.
    function place(Extensions memory list, uint256 number) internal pure returns (uint256 start, uint256 end) {
        uint256 both = list.places[number];
        return (both >> 128, both & 0xffffffff);
    }

    /// @dev Reads known extensions of 2.5.29 with at most 117 octets of value up to the first that is not one of them.
    /// The octets before the value are compared at once: 30 (n+7) 06 03 55 1d arc 04 n, or, critical,
    /// 30 (n+10) 06 03 55 1d arc 01 01 ff 04 n. In assembly, as a certificate has half a dozen of them.
    /// @return the position of the first that is not usual, or `end`, or behind it where the last one ends there
    function _readUsual(Extensions memory list, uint256 position, uint256 end) private pure returns (uint256) {
        uint256[8] memory places = list.places;
        uint256 seen = list.seen;
        uint256 critical = list.critical << 1; // here the bit of an unknown extension is bit 0
        assembly ("memory-safe") {
            places := sub(places, 0x20)
            for {} lt(position, end) {} {
                let head := calldataload(position)
                let length := byte(8, head)
                let known := byte(sub(byte(6, head), 14), KNOWN)
                let start := add(position, 9)
                let fault :=
                    xor(
                        and(shr(184, head), 0xffffffffffff00ffff),
                        add(0x30070603551d000400, mul(length, 0x0100000000000001))
                    )
                if fault {
                    length := byte(11, head)
                    start := add(position, 12)
                    fault := xor(
                        and(shr(160, head), 0xffffffffffff00ffffffffff),
                        add(0x300a0603551d000101ff0400, mul(length, 0x0100000000000000000001))
                    )
                    critical := or(critical, shl(known, iszero(fault))) // the long way would say the same
                }
                if or(fault, or(iszero(known), gt(length, 117))) { break }
                seen := add(seen, shl(shl(3, known), 1))
                position := add(start, length)
                mstore(add(places, shl(5, known)), or(shl(128, start), position))
            }
        }
        list.seen = seen;
        list.critical = critical >> 1;
        return position;
    }

    /// @dev Any extension, the long way.
    /// @return end where it ends, or NOWHERE
    function _readExtension(Extensions memory list, uint256 position, uint256 limit)
        private
        pure
        returns (uint256 end)
    {
        uint256 start;
        uint256 last;
        (start, end) = DerReader.read(DerReader.SEQUENCE, position, limit);
        (start, last) = DerReader.read(DerReader.OBJECT_IDENTIFIER, start, end);
        if (!DerReader.isObjectIdentifier(start, last)) return DerReader.NOWHERE;
        uint256 number = _identify(list, start, last);
        uint256 isCritical;
        unchecked {
            if (DerReader.octet(last) == DerReader.BOOLEAN) {
                // DEFAULT FALSE is never encoded, and TRUE is FF: X.690 §11.1, §11.5.
                if (DerReader.word(last) >> 232 != 0x0101ff) return DerReader.NOWHERE;
                isCritical = 1;
                last += 3;
            }
            (start, last) = DerReader.read(DerReader.OCTET_STRING, last, end);
            if (last != end) return DerReader.NOWHERE;
            if (number == UNKNOWN) {
                ++list.count;
                if (isCritical != 0) list.isUnknownCritical = true;
                return end;
            }
            list.seen += 0x100 << (8 * number);
            list.critical |= isCritical << number;
            list.places[number] = (start << 128) | end;
        }
    }

    function _identify(Extensions memory list, uint256 start, uint256 end) private pure returns (uint256 number) {
        unchecked {
            uint256 length = end - start;
            uint256 head = DerReader.word(start) >> 192;
            number = UNKNOWN;
            if (length == 8 && head == AUTHORITY_INFO_ACCESS_OID) return AUTHORITY_INFO_ACCESS;
            if (length == 3 && head >> 48 == 0x551d) {
                uint256 known;
                assembly ("memory-safe") {
                    known := byte(sub(and(shr(40, head), 0xff), 14), KNOWN)
                }
                if (known != 0) number = known - 1;
            }
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
}
