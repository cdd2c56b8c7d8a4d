// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {DerReader} from "./DerReader.sol";

/// @title The two forms of time of a certificate. Source: RFC 5280 §4.1.2.5
library CertificateTime {
    uint256 internal constant ENDLESS = 253402300799; // 99991231235959Z, RFC 5280 §4.1.2.5

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
                year += 100 * ((text >> 96) & 0xff);
                if (year < 2050) return (0, false);
            }
            if ((text >> 32) & 0xff > 23 || (text >> 16) & 0xff > 59 || text & 0xff > 59) return (0, false);
            (time, ok) = _days(year, (text >> 64) & 0xff, (text >> 48) & 0xff);
            time = 86400 * time + 3600 * ((text >> 32) & 0xff) + 60 * ((text >> 16) & 0xff) + (text & 0xff);
        }
    }

    /// @dev Days from 1970-01-01, counted in years that begin with March so that the leap day is the last of its year.
    function _days(uint256 year, uint256 month, uint256 day) private pure returns (uint256, bool) {
        unchecked {
            if (month == 0 || month > 12 || day == 0) return (0, false);
            uint256 most = (uint256(0x1f1c1f1e1f1e1f1f1e1f1e1f) >> (8 * (12 - month))) & 0xff;
            if (day > most) {
                bool isLeapDay = month == 2 && day == 29 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
                if (!isLeapDay) return (0, false);
            }
            if (month < 3) {
                --year;
                month += 12;
            }
            return
                (365 * year + year / 4 - year / 100 + year / 400 + (153 * (month - 3) + 2) / 5 + day - 1 - 719468, true);
        }
    }
}
