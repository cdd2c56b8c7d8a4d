// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ICertificateRegistry} from "../interfaces/ICertificateRegistry.sol";
import {both, either} from "./Branchless.sol";
import {Policy, Range} from "./CertificatePolicy.sol";
import {CharacterSet} from "./CharacterSet.sol";
import {DerReader} from "./DerReader.sol";
import {DnsName} from "./DnsName.sol";
import {Reasons} from "./Reasons.sol";

/// @notice The names of one certificate.
/// @param isRefused too many, or a type that the profile does not allow; then not all have a place
/// @param places what and where they are: tag << 248 | start << 128 | end of the value
struct Names {
    uint256 count;
    bool isRefused;
    uint256[8] places;
}

/// @title Names in subjectAltName, and the ranges of the lot that they must lie in
/// @dev Sources: RFC 5280 §4.2.1.6, TS 33.320 (EUI identities as FQDN), RFC 4945 §5.1.3.2; docs/ledger.md on names.
library SubjectAltName {
    uint256 internal constant DNS_NAME = 0x82;
    uint256 internal constant URI = 0x86;
    uint256 internal constant IP_ADDRESS = 0x87;

    /// @notice Reads SubjectAltName as a TLV: GeneralNames, of which only the primitive forms are read at all.
    /// @return whether it is well formed (reason 20 where not)
    function read(Names memory names, Policy memory policy, uint256 start, uint256 end) internal pure returns (bool) {
        uint256 last;
        uint256 most = policy.sanMaximum;
        uint256 tags = policy.sanTags;
        unchecked {
            // One dNSName of at most 125 octets, as most devices have it: 30 (n+2) 82 n.
            uint256 length = end - start - 4;
            bool isUsual = both(DerReader.word(start) >> 224 == 0x30028200 + 0x10001 * length, length < 126);
            if (both(isUsual, both(most != 0, tags & 4 != 0))) {
                names.count = 1;
                names.isRefused = false;
                names.places[0] = (DNS_NAME << 248) | ((start + 4) << 128) | end;
                return true;
            }
        }
        (start, last) = DerReader.read(DerReader.SEQUENCE, start, end);
        if (last != end || start == end) return false;
        uint256 count;
        bool isRefused;
        unchecked {
            for (; start < end; ++count) {
                uint256 next;
                uint256 tag = DerReader.word(start) >> 240;
                uint256 length = tag & 0xff;
                tag >>= 8;
                if (length < 0x80) {
                    start += 2;
                    next = start + length;
                } else {
                    (, start, next) = DerReader.readAny(start, end);
                }
                if (tag & 0xe0 != 0x80 || tag == 0x9f || next > end) return false;
                if (count >= most || (tags >> (tag & 0x1f)) & 1 == 0) isRefused = true;
                else names.places[count] = (tag << 248) | (start << 128) | next;
                start = next;
            }
        }
        names.count = count;
        names.isRefused = isRefused;
        return true;
    }

    /// @notice Checks 25 to 27.
    /// @return reason 0 when all names are accepted
    function check(Names memory names, Policy memory policy) internal pure returns (uint16 reason) {
        if (names.isRefused) return Reasons.BAD_SAN;
        uint256 count = names.count;
        for (uint256 i = 0; i < count; ++i) {
            (uint256 tag, uint256 start, uint256 end) = _place(names, i);
            uint16 found = _checkName(policy, tag, start, end);
            if (found != Reasons.NONE) reason = found;
            if (found == Reasons.BAD_NAME) return found;
            if (i != 0 && _isAmong(names, i, tag, start, end)) return Reasons.BAD_NAME;
        }
    }

    /// @notice Whether one of the dNSNames equals this text.
    function hasDnsName(Names memory names, uint256 start, uint256 end) internal pure returns (bool) {
        return _isAmong(names, names.count, DNS_NAME, start, end);
    }

    function _place(Names memory names, uint256 index) private pure returns (uint256 tag, uint256 start, uint256 end) {
        uint256 all = names.places[index];
        return (all >> 248, (all >> 128) & 0xffffffff, all & 0xffffffff);
    }

    /// @dev Whether one of the first `count` names is this one.
    function _isAmong(Names memory names, uint256 count, uint256 tag, uint256 start, uint256 end)
        private
        pure
        returns (bool)
    {
        unchecked {
            for (uint256 i = 0; i < count; ++i) {
                (uint256 otherTag, uint256 other, uint256 otherEnd) = _place(names, i);
                bool isAlike = both(tag == otherTag, end - start == otherEnd - other);
                if (isAlike && DerReader.areEqual(start, other, end - start)) return true;
            }
            return false;
        }
    }

    function _checkName(Policy memory policy, uint256 tag, uint256 start, uint256 end) private pure returns (uint16) {
        unchecked {
            if (tag == DNS_NAME) {
                (bool isName, uint256 punycode) = DnsName.parse(start, end);
                if (!isName) return Reasons.BAD_NAME;
                if (_isDnsInside(policy.ranges, start, end, punycode)) return Reasons.NONE;
                return punycode == end ? Reasons.NAME_NOT_IN_LOT : Reasons.BAD_NAME;
            }
            uint256 length = end - start;
            if (tag == URI) {
                if (length < 5 || length > 255 || DerReader.word(start) >> 224 != 0x75726e3a) return Reasons.BAD_NAME;
                if (!CharacterSet.isUrn(start, end)) return Reasons.BAD_NAME;
                return _isUrnInside(policy.ranges, start, length) ? Reasons.NONE : Reasons.NAME_NOT_IN_LOT;
            }
            if (length != 4 && length != 16) return Reasons.BAD_NAME;
            return _isAddressInside(policy.ranges, start, length) ? Reasons.NONE : Reasons.NAME_NOT_IN_LOT;
        }
    }

    /// @param punycode where the first label that begins with xn-- stands: only the lot's own value may hold one
    function _isDnsInside(Range[] memory ranges, uint256 start, uint256 end, uint256 punycode)
        private
        pure
        returns (bool)
    {
        unchecked {
            for (uint256 i = 0; i < ranges.length; ++i) {
                Range memory range = ranges[i];
                uint256 suffix = end - range.length;
                if (either(range.length > end - start, punycode < suffix)) continue;
                if (range.kind == ICertificateRegistry.RangeKind.Dns) {
                    if (suffix != start && DerReader.octet(suffix - 1) != 0x2e) continue;
                } else if (range.kind == ICertificateRegistry.RangeKind.Eui) {
                    if (!_isEuiInside(range, start, suffix)) continue;
                } else {
                    continue;
                }
                if (DerReader.areEqual(suffix, range.value, range.length)) return true;
            }
            return false;
        }
    }

    /// @dev `<12 or 16 lower-case hex digits>.` from `start` to `suffix`, the number within the range.
    function _isEuiInside(Range memory range, uint256 start, uint256 suffix) private pure returns (bool) {
        unchecked {
            uint256 digits = range.bits >> 2;
            if (range.bits != 48 && range.bits != 64) return false;
            if (suffix - start != digits + 1 || DerReader.octet(suffix - 1) != 0x2e) return false;
            (bool isNumber, uint256 number) = CharacterSet.parseHex(start, digits);
            return isNumber && number >= range.first && number <= range.last;
        }
    }

    function _isUrnInside(Range[] memory ranges, uint256 start, uint256 length) private pure returns (bool) {
        for (uint256 i = 0; i < ranges.length; ++i) {
            Range memory range = ranges[i];
            if (
                range.kind == ICertificateRegistry.RangeKind.Urn && length > range.length
                    && DerReader.areEqual(start, range.value, range.length)
            ) return true;
        }
        return false;
    }

    function _isAddressInside(Range[] memory ranges, uint256 start, uint256 length) private pure returns (bool) {
        unchecked {
            for (uint256 i = 0; i < ranges.length; ++i) {
                Range memory range = ranges[i];
                if (
                    range.kind == ICertificateRegistry.RangeKind.Ip && length == range.length
                        && range.bits <= 8 * length
                        && (DerReader.word(start) ^ DerReader.word(range.value)) >> (256 - range.bits) == 0
                ) return true;
            }
            return false;
        }
    }
}
