// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {DerReader} from "./DerReader.sol";

/// @title The two forms of time of a certificate. Source: RFC 5280 §4.1.2.5
library CertificateTime {
    uint256 internal constant ENDLESS = 253402300799; // 99991231235959Z, RFC 5280 §4.1.2.5

    // A UTCTime of 13 octets: tag and length, and the Z at its end.
    uint256 private constant UTC_FORM = (0x170d << 240) | (0x5a << 136);
    uint256 private constant UTC_FORM_MASK = (0xffff << 240) | (0xff << 136);

    // Twelve octets in each half of a word, or six lanes of 16 bits.
    uint256 private constant TWELVE = 0xffffffffffffffffffffffff;
    uint256 private constant ZEROS = 0x0000000030303030303030303030303000000000303030303030303030303030;
    uint256 private constant ABOVE_NINE = 0x0000000076767676767676767676767600000000767676767676767676767676;
    uint256 private constant TOP_BITS = 0x0000000080808080808080808080808000000000808080808080808080808080;
    uint256 private constant LANES = 0x00000000000f000f000f000f000f000f00000000000f000f000f000f000f000f;

    // By month, from 1: its days in octets from the left; days of the year before it in 16 bits from the right.
    uint256 private constant MONTHS = 0x001f1c1f1e1f1e1f1f1e1f1e1f00000000000000000000000000000000000000;
    uint256 private constant DAYS_BEFORE = 0x014e0130011100f300d400b500970078005a003b001f00000000;

    /// @notice Both times of a Validity, each at its tag.
    /// @return notBefore seconds since 1970
    /// @return notAfter likewise
    /// @return ok whether both are times as `parse` takes them
    function parseBoth(uint256 first, uint256 last)
        internal
        pure
        returns (uint256 notBefore, uint256 notAfter, bool ok)
    {
        uint256 left = DerReader.word(first);
        uint256 right = DerReader.word(last);
        if (((left ^ UTC_FORM) | (right ^ UTC_FORM)) & UTC_FORM_MASK == 0) return _parseUtc(left, right);
        bool isBegin;
        (notBefore, isBegin) = parse(first);
        (notAfter, ok) = parse(last);
        ok = ok && isBegin;
    }

    /// @dev Two of UTCTime, as nearly all certificates have them; from 1970 to 2049 every fourth year is a leap year.
    function _parseUtc(uint256 left, uint256 right)
        private
        pure
        returns (uint256 notBefore, uint256 notAfter, bool ok)
    {
        assembly ("memory-safe") {
            function moment(lanes) -> time, isDate {
                let year := mod(add(shr(80, lanes), 30), 100) // since 1970
                let month := and(shr(64, lanes), 0xff)
                let day := sub(and(shr(48, lanes), 0xff), 1)
                let hour := and(shr(32, lanes), 0xff)
                let minute := and(shr(16, lanes), 0xff)
                let second := and(lanes, 0xff)
                let isLeap := iszero(and(add(year, 2), 3))
                isDate := lt(day, add(byte(month, MONTHS), and(isLeap, eq(month, 2))))
                isDate := and(and(isDate, lt(year, 80)), and(lt(hour, 24), and(lt(minute, 60), lt(second, 60))))
                day := add(day, and(shr(shl(4, month), DAYS_BEFORE), 0xffff))
                day := add(day, add(mul(365, year), add(shr(2, add(year, 1)), and(isLeap, gt(month, 2)))))
                time := add(mul(60, add(mul(60, add(mul(24, day), hour)), minute)), second)
            }
            let text := xor(or(shl(128, and(shr(144, left), TWELVE)), and(shr(144, right), TWELVE)), ZEROS)
            // All digits at once: 0x30 to 0x39 became 0 to 9, and what is above 9 gets a top bit.
            ok := iszero(and(or(add(text, ABOVE_NINE), text), TOP_BITS))
            text := add(mul(10, and(shr(8, text), LANES)), and(text, LANES))
            let isDate
            notBefore, isDate := moment(shr(128, text))
            ok := and(ok, isDate)
            notAfter, isDate := moment(and(text, TWELVE))
            ok := and(ok, isDate)
        }
    }

    /// @notice The UTCTime or GeneralizedTime at `position` (its tag).
    /// @return time seconds since 1970
    /// @return ok false for another form, no calendar date, a year before 1970, or GeneralizedTime before 2050
    function parse(uint256 position) internal pure returns (uint256 time, bool ok) {
        unchecked {
            uint256 text = DerReader.word(position);
            uint256 head = text >> 240;
            if (head == 0x170d) {
                if ((text >> 136) & 0xff != 0x5a) return (0, false); // Z
                text = (text >> 144) & 0xffffffffffffffffffffffff;
            } else if (head == 0x180f) {
                if ((text >> 120) & 0xff != 0x5a) return (0, false);
                text = (text >> 128) & 0xffffffffffffffffffffffffffff;
            } else {
                return (0, false);
            }
            // All digits at once: 0x30 to 0x39 become 0 to 9; adding 0x76 then sets the top bit of whatever is above 9.
            text ^= head == 0x170d ? 0x303030303030303030303030 : 0x3030303030303030303030303030;
            if (((text + 0x7676767676767676767676767676) | text) & 0x8080808080808080808080808080 != 0) {
                return (0, false);
            }
            // Lanes of 16 bits, from the least: second, minute, hour, day, month, year, century.
            text = 10 * ((text >> 8) & 0x000f000f000f000f000f000f000f) + (text & 0x000f000f000f000f000f000f000f);
            uint256 year = (text >> 80) & 0xff;
            if (head == 0x170d) {
                year += year < 50 ? 2000 : 1900;
                if (year < 1970) return (0, false);
            } else {
                year += 100 * (text >> 96);
                if (year < 2050) return (0, false);
            }
            return _seconds(year, text);
        }
    }

    /// @dev Days are counted in years that begin with March, so that the leap day is the last of its year. In assembly,
    /// without a branch for each bound.
    function _seconds(uint256 year, uint256 lanes) private pure returns (uint256 time, bool ok) {
        assembly ("memory-safe") {
            let second := and(lanes, 0xff)
            let minute := and(shr(16, lanes), 0xff)
            let hour := and(shr(32, lanes), 0xff)
            let day := sub(and(shr(48, lanes), 0xff), 1)
            let month := and(shr(64, lanes), 0xff)
            // Days of the month: octet 1 for January; 0 where there is no such month.
            let most := byte(month, MONTHS)
            if eq(month, 2) {
                let isLeap := or(iszero(mod(year, 400)), and(iszero(and(year, 3)), gt(mod(year, 100), 0)))
                most := add(most, isLeap)
            }
            // A day 0 has wrapped round and is not less either.
            ok := and(and(lt(day, most), lt(hour, 24)), and(lt(minute, 60), lt(second, 60)))
            let isBeforeMarch := lt(month, 3)
            year := sub(year, isBeforeMarch)
            month := sub(add(month, mul(12, isBeforeMarch)), 3)
            day := add(add(day, div(add(mul(153, month), 2), 5)), mul(365, year))
            day := add(day, sub(add(div(year, 4), div(year, 400)), add(div(year, 100), 719468)))
            time := add(add(mul(86400, day), mul(3600, hour)), add(mul(60, minute), second))
        }
    }
}
