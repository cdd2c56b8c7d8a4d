// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title Why an entry is refused or rejected
/// @notice Generated from pki_chain/x509/reasons.json by tools/build_contracts.py; a test compares the two.
library Reasons {
    uint16 internal constant NONE = 0;
    uint16 internal constant ENTRY_TOO_LARGE = 1;
    uint16 internal constant MALFORMED_DER = 2;
    uint16 internal constant WRONG_VERSION = 3;
    uint16 internal constant BAD_SERIAL = 4;
    uint16 internal constant ALGORITHM_MISMATCH = 5;
    uint16 internal constant UNSUPPORTED_ALGORITHM = 6;
    uint16 internal constant ISSUER_NOT_SUBJECT = 7;
    uint16 internal constant BAD_SUBJECT = 8;
    uint16 internal constant SUBJECT_NOT_OWNER = 9;
    uint16 internal constant BAD_VALIDITY = 10;
    uint16 internal constant NOT_YET_VALID = 11;
    uint16 internal constant EXPIRED = 12;
    uint16 internal constant LIFETIME_TOO_LONG = 13;
    uint16 internal constant KEY_ALGORITHM_NOT_ALLOWED = 14;
    uint16 internal constant BAD_POINT = 15;
    uint16 internal constant TOO_MANY_EXTENSIONS = 16;
    uint16 internal constant DUPLICATE_EXTENSION = 17;
    uint16 internal constant UNKNOWN_CRITICAL_EXTENSION = 18;
    uint16 internal constant BAD_CRITICALITY = 19;
    uint16 internal constant MALFORMED_EXTENSION = 20;
    uint16 internal constant CA_CERTIFICATE = 21;
    uint16 internal constant BAD_KEY_USAGE = 22;
    uint16 internal constant BAD_EXTENDED_KEY_USAGE = 23;
    uint16 internal constant MISSING_EXTENSION = 24;
    uint16 internal constant BAD_SAN = 25;
    uint16 internal constant BAD_NAME = 26;
    uint16 internal constant NAME_NOT_IN_LOT = 27;
    uint16 internal constant COMMON_NAME_NOT_IN_SAN = 28;
    uint16 internal constant BAD_SIGNATURE = 29;
    uint16 internal constant KEY_BLOCKED = 30;
    uint16 internal constant ALREADY_SEEN = 31;
    uint16 internal constant LOT_FULL = 32;
    uint16 internal constant UNKNOWN_ISSUER = 33;
    uint16 internal constant ISSUER_NOT_LIVE = 34;
    uint16 internal constant ISSUER_OUT_OF_SCOPE = 35;
    uint16 internal constant WEAK_KEY = 64;
    uint16 internal constant COMPROMISED_KEY = 65;
    uint16 internal constant NAME_LIVE_ELSEWHERE = 66;
    uint16 internal constant SERIAL_REPEATED = 67;
    uint16 internal constant NOT_IN_OWN_RULES = 68;
    uint16 internal constant EVIDENCE_MISSING = 96;
    uint16 internal constant CLOCK_DISAGREES = 97;
    uint16 internal constant FIRST_TRANSIENT = 96;
}
