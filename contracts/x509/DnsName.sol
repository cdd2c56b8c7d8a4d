// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {both} from "./Branchless.sol";
import {CharacterSet} from "./CharacterSet.sol";
import {DerReader} from "./DerReader.sol";

/// @title dNSName: at least two labels of lower-case letters, digits and inner hyphens, no wildcard
/// @dev 32 octets at a time, a flag in the top bit of an octet saying what that octet is: however long the names of a
/// certificate, they cost its batch little. Sources: RFC 5280 §4.2.1.6, RFC 1034 §3.5, RFC 1123 §2.1.
library DnsName {
    uint256 private constant LONGEST_NAME = 253;
    uint256 private constant TOP = 1 << 255;

    /// @return isName whether the text is such a name
    /// @return punycode where its first label that begins with xn-- stands, or `end`
    function parse(uint256 start, uint256 end) internal pure returns (bool isName, uint256 punycode) {
        unchecked {
            if (end - start > LONGEST_NAME) return (false, end);
            bool hasDoubleHyphen;
            (isName, hasDoubleHyphen) = _scan(start, end);
            punycode = both(isName, hasDoubleHyphen) ? _findPunycode(start, end) : end;
        }
    }

    /// @dev The ends of a name are as if a dot stood there: no dot or hyphen comes after a dot, and no dot after a hyphen.
    /// An empty text has no dot in it.
    function _scan(uint256 start, uint256 end) private pure returns (bool isName, bool hasDoubleHyphen) {
        unchecked {
            uint256 fault;
            uint256 anyDot;
            uint256 doubles;
            uint256 dotBefore = TOP; // the last octet of the word before was one; likewise a hyphen
            uint256 hyphenBefore;
            uint256 gap; // not 0 if the word before has no dot: the lowest bit of the last one that is a dot, in its word
            uint256 lastEnds = 0x80;
            while (start < end) {
                uint256 text = DerReader.word(start);
                (uint256 others, uint256 dots, uint256 hyphens) = CharacterSet.dnsOctets(text, end - start);
                uint256 ends = dots | (TOP >> (8 * (end - start))); // nothing from 32 octets on
                uint256 afterDot = (dots >> 8) | dotBefore;
                uint256 afterHyphen = (hyphens >> 8) | hyphenBefore;
                fault |= others | ((ends | hyphens) & afterDot) | (ends & afterHyphen);
                doubles |= hyphens & afterHyphen;
                anyDot |= dots;
                dotBefore = dots << 248;
                hyphenBefore = hyphens << 248;
                // A label of more than 63 octets fills a whole word at least. If it fills one, it is too long exactly
                // where what it has in the words around that one makes 32 octets: where the first dot behind it stands
                // right of the place that the last dot before it has in its own word, or there is none.
                if (gap != 0) {
                    if (ends < gap) fault |= TOP;
                    gap = 0;
                } else if (ends == 0) {
                    gap = (lastEnds & (0 - lastEnds)) >> 7;
                }
                lastEnds = ends;
                start += 32;
            }
            isName = both(anyDot != 0, fault | dotBefore | hyphenBefore == 0);
            hasDoubleHyphen = doubles != 0;
        }
    }

    /// @dev Of a well-formed name, in which xn-- is never the end of a label. 28 places at a time, each with the four
    /// octets that follow it.
    function _findPunycode(uint256 start, uint256 end) private pure returns (uint256) {
        unchecked {
            if (DerReader.word(start) >> 224 == 0x786e2d2d) return start;
            for (; start < end; start += 28) {
                uint256 text = DerReader.word(start);
                uint256 hyphens = CharacterSet.equal(text, 0x2d);
                uint256 found = CharacterSet.equal(text, 0x2e) & (CharacterSet.equal(text, 0x78) << 8)
                    & (CharacterSet.equal(text, 0x6e) << 16) & (hyphens << 24) & (hyphens << 32);
                if (found == 0) continue;
                for (; found & TOP == 0; found <<= 8) {
                    ++start;
                }
                return start + 5 < end ? start + 1 : end; // what follows the name may complete it
            }
            return end;
        }
    }
}
