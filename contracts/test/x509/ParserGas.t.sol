// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {CertificateRules, CheckedCertificate} from "../../x509/CertificateRules.sol";
import {CertificateBuilder, Draft} from "./CertificateBuilder.sol";
import {ParserTest} from "./ParserTest.sol";

/// @notice What a full batch costs an entry; run with -vv to see it.
contract ParserGasTest is ParserTest {
    uint256 private constant BATCH = 190;
    // Two calls of SHA-256 (60 and 12 a word, over 16 and 3 words) and one of P256VERIFY, each 100 for the call.
    uint256 private constant HASHES_AND_SIGNATURE = 3 * 100 + 2 * 60 + 19 * 12 + 6900;

    function test_batchOfSmallCells() external {
        bytes[] memory certificates = new bytes[](BATCH);
        uint256 octets;
        for (uint256 i = 0; i < BATCH; ++i) {
            Draft memory draft = CertificateBuilder.accepted();
            draft.serialNumber = CertificateBuilder.integer(uint256(keccak256(abi.encode(i))) >> 100);
            certificates[i] = CertificateBuilder.build(draft);
            octets += certificates[i].length;
        }
        CertificateRules memory rules = smallCellRules();
        CheckedCertificate[] memory results = parser.check(certificates, rules);
        uint256 used = parser.measure(certificates, rules);
        for (uint256 i = 0; i < BATCH; ++i) {
            require(results[i].reason == 0, Failed("accepted"));
        }
        emit log_named_uint("octets a certificate", octets / BATCH);
        emit log_named_uint("gas an entry, calls and copies of the batch included", used / BATCH);
        emit log_named_uint("gas an entry without hashes and signature", used / BATCH - HASHES_AND_SIGNATURE);
        require(used / BATCH < 30_000, Failed("an entry costs less than 30,000 gas"));
    }

    /// @notice As many names, and as long ones, as 2,048 octets hold.
    function test_longNames() external {
        bytes memory list;
        for (uint256 i = 0; i < 8; ++i) {
            bytes memory name = abi.encodePacked(bytes1(uint8(0x61 + i)));
            while (name.length < 160) name = bytes.concat(name, "--long.label-");
            list = bytes.concat(list, CertificateBuilder.tlv(0x82, bytes.concat(name, "9.cells.acme.example")));
        }
        Draft memory draft = CertificateBuilder.accepted();
        draft.issuer = CertificateBuilder.name(CertificateBuilder.ORGANISATION, "", "");
        draft.subject = draft.issuer;
        draft.extensions = bytes.concat(
            CertificateBuilder.usualExtensions(),
            CertificateBuilder.extension(CertificateBuilder.SAN, false, CertificateBuilder.sequence(list))
        );
        bytes[] memory certificates = new bytes[](1);
        certificates[0] = CertificateBuilder.build(draft);
        CertificateRules memory rules = smallCellRules();
        rules.profile.sanMaximum = 8;
        expectReason(certificates[0], rules, 0);
        uint256 used = parser.measure(certificates, rules);
        emit log_named_uint("octets", certificates[0].length);
        emit log_named_uint("gas of an entry with eight long names", used);
        // 64 of them make 128 KiB: with 90,000 for their octets and slots they fit a transaction.
        require(used < 130_000, Failed("long names are cheap"));
    }
}
