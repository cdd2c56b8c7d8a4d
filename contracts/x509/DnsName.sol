// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {CharacterSet} from "./CharacterSet.sol";
import {DerReader} from "./DerReader.sol";

/// @title dNSName: at least two labels of lower-case letters, digits and inner hyphens, no wildcard
/// @dev Sources: RFC 5280 §4.2.1.6, RFC 1034 §3.5, RFC 1123 §2.1.
library DnsName {
    uint256 private constant LONGEST_NAME = 253;
    uint256 private constant LONGEST_LABEL = 63;

    /// @return isName whether the text is such a name
    /// @return punycode where its first label that begins with xn-- stands, or `end`
    function parse(uint256 start, uint256 end) internal pure returns (bool isName, uint256 punycode) {
        unchecked {
            uint256 length = end - start;
            if (length == 0 || length > LONGEST_NAME) return (false, end);
            (bool isWellFormed, bool hasDoubleHyphen) = _scan(start, end);
            if (!isWellFormed) return (false, end);
            // The walk over single octets is for the few names that can have a long label or xn--.
            if (length > LONGEST_LABEL || hasDoubleHyphen) return _walk(start, end);
            return (true, end);
        }
    }

    /// @dev 32 octets at a time; a flag in the top bit of an octet says what that octet is.
    function _scan(uint256 start, uint256 end) private pure returns (bool, bool hasDoubleHyphen) {
        unchecked {
            uint256 afterDot = 1 << 255; // as if a dot stood before the name
            uint256 afterHyphen;
            uint256 anyDot;
            uint256 doubles;
            uint256 last = DerReader.octet(end - 1);
            if (last == 0x2d || last == 0x2e) return (false, false);
            for (; start < end; start += 32) {
                uint256 text = DerReader.word(start);
                (bool isKnown, uint256 dots, uint256 hyphens) = CharacterSet.dnsOctets(text, end - start);
                if (!isKnown) return (false, false);
                afterDot |= dots >> 8;
                afterHyphen |= hyphens >> 8;
                if ((dots & (afterDot | afterHyphen)) | (hyphens & afterDot) != 0) return (false, false);
                doubles |= hyphens & afterHyphen;
                anyDot |= dots;
                afterDot = dots << 248;
                afterHyphen = hyphens << 248;
            }
            return (anyDot != 0, doubles != 0);
        }
    }

    function _walk(uint256 start, uint256 end) private pure returns (bool, uint256 punycode) {
        unchecked {
            punycode = end;
            uint256 label = start;
            for (; start <= end; ++start) {
                if (start != end && DerReader.octet(start) != 0x2e) continue;
                if (start - label > LONGEST_LABEL) return (false, end);
                if (punycode == end && start - label > 3 && DerReader.word(label) >> 224 == 0x786e2d2d) {
                    punycode = label;
                }
                label = start + 1;
            }
            return (true, punycode);
        }
    }
}
