// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {DerReader} from "./DerReader.sol";

/// @title Which characters a piece of text is made of
/// @dev 32 octets at a time: `_within` answers for each octet of a word, in its top bit, whether its low seven bits lie in
/// a range; a sum of seven bits never carries into the next octet. The other bits it leaves mean nothing, and octets
/// above 0x7f are sorted out by `areAll`. A loop over single octets costs ten times as much.
library CharacterSet {
    uint256 private constant ONES = 0x0101010101010101010101010101010101010101010101010101010101010101;
    uint256 private constant LOW_BITS = 0x7f * ONES;
    uint256 private constant HIGH_BITS = 0x80 * ONES;
    uint256 private constant CASE_BIT = 0x20 * ONES;

    /// @notice PrintableString: letters, digits, space and '()+,-./:=? Source: X.680 §41.4
    function isPrintable(uint256 start, uint256 end) internal pure returns (bool) {
        unchecked {
            for (; start < end; start += 32) {
                uint256 text = DerReader.word(start);
                uint256 low = text & LOW_BITS;
                uint256 known = _letters(low) | _within(low, 0x2b, 0x3a);
                if (areAll(known, text, end - start)) continue; // mostly: the other characters are rare
                known |= _within(low, 0x27, 0x29) | _within(low, 0x20, 0x20) | _within(low, 0x3d, 0x3d)
                | _within(low, 0x3f, 0x3f);
                if (!areAll(known, text, end - start)) return false;
            }
            return true;
        }
    }

    /// @notice Visible ASCII, 0x21 to 0x7e.
    function isVisible(uint256 start, uint256 end) internal pure returns (bool) {
        unchecked {
            for (; start < end; start += 32) {
                uint256 text = DerReader.word(start);
                if (!areAll(_within(text & LOW_BITS, 0x21, 0x7e), text, end - start)) return false;
            }
            return true;
        }
    }

    /// @notice Letters, digits and . : _ -
    function isUrn(uint256 start, uint256 end) internal pure returns (bool) {
        unchecked {
            for (; start < end; start += 32) {
                uint256 text = DerReader.word(start);
                uint256 low = text & LOW_BITS;
                uint256 known =
                    _letters(low) | _within(low, 0x2d, 0x2e) | _within(low, 0x30, 0x3a) | _within(low, 0x5f, 0x5f);
                if (!areAll(known, text, end - start)) return false;
            }
            return true;
        }
    }

    /// @notice UTF-8 without control characters below 0x20 and without 0x7f. Source: RFC 3629 §4
    function isUtf8(uint256 start, uint256 end) internal pure returns (bool) {
        unchecked {
            while (start < end) {
                uint256 text = DerReader.word(start);
                uint256 first = text >> 248;
                uint256 length;
                uint256 least; // of the second octet: bars overlong forms
                uint256 most = 0xbf; // of the second octet: bars surrogates and what lies beyond U+10FFFF
                if (first < 0x80) {
                    if (first < 0x20 || first == 0x7f) return false;
                    ++start;
                    continue;
                } else if (first < 0xc2) {
                    return false;
                } else if (first < 0xe0) {
                    (length, least) = (2, 0x80);
                } else if (first < 0xf0) {
                    (length, least) = (3, first == 0xe0 ? 0xa0 : 0x80);
                    if (first == 0xed) most = 0x9f;
                } else if (first < 0xf5) {
                    (length, least) = (4, first == 0xf0 ? 0x90 : 0x80);
                    if (first == 0xf4) most = 0x8f;
                } else {
                    return false;
                }
                if (length > end - start) return false;
                uint256 second = (text >> 240) & 0xff;
                if (second < least || second > most) return false;
                if (length > 2 && (text >> 232) & 0xc0 != 0x80) return false;
                if (length > 3 && (text >> 224) & 0xc0 != 0x80) return false;
                start += length;
            }
            return true;
        }
    }

    /// @notice The number of 12 or 16 lower-case hexadecimal digits.
    function parseHex(uint256 start, uint256 count) internal pure returns (bool isNumber, uint256 number) {
        unchecked {
            uint256 text = DerReader.word(start);
            uint256 low = text & LOW_BITS;
            uint256 isLetter = _within(low, 0x61, 0x66) & HIGH_BITS;
            if (!areAll(isLetter | _within(low, 0x30, 0x39), text, count)) return (false, 0);
            // a to f are 0x61 to 0x66: their low four bits and 9. Then neighbours are joined, four times over.
            number = ((text & (0x0f * ONES)) + 9 * (isLetter >> 7)) >> (256 - 8 * count);
            number = (number | (number >> 4)) & 0x00ff00ff00ff00ff00ff00ff00ff00ff;
            number = (number | (number >> 8)) & 0x0000ffff0000ffff0000ffff0000ffff;
            number = (number | (number >> 16)) & 0x00000000ffffffff00000000ffffffff;
            number = (number | (number >> 32)) & 0xffffffffffffffff;
            isNumber = true;
        }
    }

    /// @notice What the first `length` octets of a word are to a dNSName: a flag in the top bit of each octet.
    /// @return others those that are no lower-case letters, digits, dots or hyphens
    /// @return dots those that are dots
    /// @return hyphens likewise
    function dnsOctets(uint256 text, uint256 length)
        internal
        pure
        returns (uint256 others, uint256 dots, uint256 hyphens)
    {
        unchecked {
            uint256 low = text & LOW_BITS;
            uint256 mask = HIGH_BITS & DerReader.kept(length);
            others = (~(_within(low, 0x61, 0x7a) | _within(low, 0x2d, 0x39)) | text) & mask; // all but the slash
            uint256 known = mask & ~others;
            dots = ~((low ^ (0x2e * ONES)) + LOW_BITS) & known;
            hyphens = ~((low ^ (0x2d * ONES)) + LOW_BITS) & known;
            others |= ~((low ^ (0x2f * ONES)) + LOW_BITS) & known;
        }
    }

    /// @notice Which octets of a word are this one, of seven bits: a flag in the top bit of each.
    function equal(uint256 text, uint256 octet) internal pure returns (uint256) {
        unchecked {
            // Exactly where an octet equals the other one, their difference plus 0x7f leaves the top bit clear.
            return ~((((text & LOW_BITS) ^ (octet * ONES)) + LOW_BITS) | text) & HIGH_BITS;
        }
    }

    /// @notice Whether each of the first `length` octets of `text` is below 0x80 and has its flag.
    function areAll(uint256 flags, uint256 text, uint256 length) internal pure returns (bool) {
        return (~flags | text) & HIGH_BITS & DerReader.kept(length) == 0;
    }

    /// @dev 0x20 is all that parts the cases, and setting it moves nothing else into this range.
    function _letters(uint256 low) private pure returns (uint256) {
        return _within(low | CASE_BIT, 0x61, 0x7a);
    }

    function _within(uint256 low, uint256 first, uint256 last) private pure returns (uint256) {
        unchecked {
            return (low + (0x80 - first) * ONES) & ~(low + (0x7f - last) * ONES);
        }
    }
}
