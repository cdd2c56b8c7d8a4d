// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title Bit sets of a profile; the same numbers stand in pki_chain/x509/profile.py
library ProfileBits {
    uint8 internal constant KEY_P256 = 1;
    uint8 internal constant KEY_RSA = 2;

    uint8 internal constant SIGNATURE_ECDSA_SHA256 = 1;
    uint8 internal constant SIGNATURE_RSA_SHA256 = 2;

    uint8 internal constant SAN_DNS = 1;
    uint8 internal constant SAN_URI = 2;
    uint8 internal constant SAN_IP = 4;

    uint16 internal constant EKU_SERVER_AUTH = 1; // 1.3.6.1.5.5.7.3.1
    uint16 internal constant EKU_CLIENT_AUTH = 2; // 1.3.6.1.5.5.7.3.2
    uint16 internal constant EKU_IPSEC_IKE = 4; // 1.3.6.1.5.5.7.3.17
    uint16 internal constant EKU_ANY = 8; // 2.5.29.37.0
    uint16 internal constant EKU_OTHER = 0x8000; // any other purpose

    uint16 internal constant EXT_SUBJECT_KEY_IDENTIFIER = 1;
    uint16 internal constant EXT_KEY_USAGE = 2;
    uint16 internal constant EXT_SUBJECT_ALT_NAME = 4;
    uint16 internal constant EXT_BASIC_CONSTRAINTS = 8;
    uint16 internal constant EXT_CRL_DISTRIBUTION_POINTS = 16;
    uint16 internal constant EXT_AUTHORITY_KEY_IDENTIFIER = 32;
    uint16 internal constant EXT_EXTENDED_KEY_USAGE = 64;
    uint16 internal constant EXT_AUTHORITY_INFO_ACCESS = 128;
}
