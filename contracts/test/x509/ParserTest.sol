// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ICertificateRegistry} from "../../interfaces/ICertificateRegistry.sol";
import {CertificateParser} from "../../x509/CertificateParser.sol";
import {CertificateRules, CheckedCertificate} from "../../x509/CertificateRules.sol";
import {ProfileBits} from "../../x509/ProfileBits.sol";
import {CertificateBuilder, Draft} from "./CertificateBuilder.sol";

/// @notice Calls the library as the registry does: from calldata.
contract ParserCaller {
    function check(bytes[] calldata certificates, CertificateRules calldata rules)
        external
        view
        returns (CheckedCertificate[] memory)
    {
        return CertificateParser.checkBatch(certificates, rules);
    }

    /// @notice Gas of the library's call as a contract pays it: the copy of the batch to memory and back included.
    function measure(bytes[] calldata certificates, CertificateRules calldata rules) external view returns (uint256) {
        uint256 before = gasleft();
        CertificateParser.checkBatch(certificates, rules);
        return before - gasleft();
    }
}

/// @notice What the tests of the parser share: the rules of a lot of small cells, and the question for a reason.
abstract contract ParserTest {
    uint64 internal constant BLOCK_TIME = 1795237200; // 2026-11-21 05:00:00 UTC

    ParserCaller internal parser = new ParserCaller();

    error UnexpectedReason(uint16 expected, uint16 given, bytes certificate);
    error Failed(string what);

    event log_named_uint(string key, uint256 value);

    function smallCellRules() internal pure returns (CertificateRules memory rules) {
        rules.profile.name = "small-cell";
        rules.profile.active = true;
        rules.profile.keyAlgorithms = ProfileBits.KEY_P256;
        rules.profile.signatureAlgorithms = ProfileBits.SIGNATURE_ECDSA_SHA256;
        rules.profile.sanTypes = ProfileBits.SAN_DNS | ProfileBits.SAN_URI | ProfileBits.SAN_IP;
        rules.profile.sanMaximum = 4;
        rules.profile.ekuRequired = ProfileBits.EKU_SERVER_AUTH;
        rules.profile.ekuAllowed = ProfileBits.EKU_SERVER_AUTH | ProfileBits.EKU_CLIENT_AUTH;
        rules.profile.requiredExtensions =
            ProfileBits.EXT_SUBJECT_KEY_IDENTIFIER | ProfileBits.EXT_KEY_USAGE | ProfileBits.EXT_SUBJECT_ALT_NAME;
        rules.profile.longestLifeDays = 3653;
        rules.profile.skewSeconds = 300;
        rules.organisation = CertificateBuilder.ORGANISATION;
        rules.blockTime = BLOCK_TIME;
        rules.ranges = new ICertificateRegistry.NameRange[](3);
        rules.ranges[0] = range(ICertificateRegistry.RangeKind.Dns, 0, "cells.acme.example");
        rules.ranges[1] = range(ICertificateRegistry.RangeKind.Urn, 0, "urn:acme:");
        rules.ranges[2] = range(ICertificateRegistry.RangeKind.Ip, 20, hex"0a010000");
    }

    function range(ICertificateRegistry.RangeKind kind, uint8 bits, bytes memory value)
        internal
        pure
        returns (ICertificateRegistry.NameRange memory result)
    {
        result.kind = kind;
        result.bits = bits;
        result.value = value;
    }

    function checkOne(bytes memory certificate, CertificateRules memory rules)
        internal
        view
        returns (CheckedCertificate memory)
    {
        bytes[] memory certificates = new bytes[](1);
        certificates[0] = certificate;
        CheckedCertificate[] memory results = parser.check(certificates, rules);
        require(results.length == 1, Failed("one answer for one certificate"));
        return results[0];
    }

    function expectReason(bytes memory certificate, CertificateRules memory rules, uint16 reason) internal view {
        uint16 given = checkOne(certificate, rules).reason;
        if (given != reason) revert UnexpectedReason(reason, given, certificate);
    }

    function expectReason(bytes memory certificate, uint16 reason) internal view {
        expectReason(certificate, smallCellRules(), reason);
    }

    function expectReason(Draft memory draft, uint16 reason) internal view {
        expectReason(CertificateBuilder.build(draft), reason);
    }

    function expectReason(Draft memory draft, CertificateRules memory rules, uint16 reason) internal view {
        expectReason(CertificateBuilder.build(draft), rules, reason);
    }
}
