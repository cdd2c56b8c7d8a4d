// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {CertificateRules, CheckedCertificate} from "../../x509/CertificateRules.sol";
import {ProfileBits} from "../../x509/ProfileBits.sol";
import {Reasons} from "../../x509/Reasons.sol";
import {CertificateBuilder as Build, Draft} from "./CertificateBuilder.sol";
import {ParserTest} from "./ParserTest.sol";

/// @notice Reasons 1 to 9: size, structure, version, serial number, algorithms, subject.
contract ParserStructureTest is ParserTest {
    function test_accepted() external view {
        Draft memory draft = Build.accepted();
        CheckedCertificate memory result = checkOne(Build.build(draft), smallCellRules());
        require(result.reason == Reasons.NONE, Failed("accepted"));
        require(result.notAfter == 2108937600, Failed("notAfter is 2036-10-30"));
        require(result.spkiHash == sha256(draft.spki), Failed("hash of the key"));
        require(result.tbsHash == sha256(Build.tbs(draft)), Failed("hash of the signed part"));
    }

    function test_emptyBatch() external view {
        require(parser.check(new bytes[](0), smallCellRules()).length == 0, Failed("nothing for nothing"));
    }

    function test_oneBadEntryAmongGoodOnes() external view {
        bytes[] memory certificates = new bytes[](3);
        certificates[0] = Build.build(Build.accepted());
        certificates[1] = hex"30820fff";
        certificates[2] = certificates[0];
        CheckedCertificate[] memory results = parser.check(certificates, smallCellRules());
        require(results[0].reason == Reasons.NONE && results[2].reason == Reasons.NONE, Failed("the others get in"));
        require(results[1].reason == Reasons.MALFORMED_DER, Failed("the bad one does not"));
        require(results[0].tbsHash == results[2].tbsHash, Failed("same bytes, same answer"));
    }

    /// @dev A text that we do not read (an unknown extension) makes the certificate as long as a test wants.
    function _padded(uint256 length) private pure returns (bytes memory certificate) {
        Draft memory draft = Build.accepted();
        bytes memory usual = draft.extensions;
        for (uint256 size = 1300; certificate.length != length; ++size) {
            draft.extensions = bytes.concat(usual, Build.extension(hex"06022a03", false, new bytes(size)));
            certificate = Build.build(draft);
            require(certificate.length <= length, Failed("signature lengths vary: pick another size"));
        }
    }

    function test_1_longestIsAccepted() external view {
        expectReason(_padded(2048), Reasons.NONE);
    }

    function test_1_tooLarge() external view {
        expectReason(_padded(2049), Reasons.ENTRY_TOO_LARGE);
        expectReason(new bytes(65536), Reasons.ENTRY_TOO_LARGE);
    }

    function test_2_nothing() external view {
        expectReason(bytes(""), Reasons.MALFORMED_DER);
        expectReason(hex"30", Reasons.MALFORMED_DER);
        expectReason(hex"3000", Reasons.MALFORMED_DER);
        expectReason(hex"3080", Reasons.MALFORMED_DER);
        expectReason(hex"30840000000a", Reasons.MALFORMED_DER);
        expectReason(hex"3082ffff", Reasons.MALFORMED_DER);
    }

    function test_2_everyTruncation() external view {
        bytes memory certificate = Build.build(Build.accepted());
        bytes[] memory certificates = new bytes[](certificate.length);
        for (uint256 i = 0; i < certificates.length; ++i) {
            certificates[i] = new bytes(i);
            for (uint256 j = 0; j < i; ++j) {
                certificates[i][j] = certificate[j];
            }
        }
        CheckedCertificate[] memory results = parser.check(certificates, smallCellRules());
        for (uint256 i = 0; i < results.length; ++i) {
            require(results[i].reason == Reasons.MALFORMED_DER, Failed("truncated"));
        }
    }

    function test_2_trailingOctet() external view {
        Draft memory draft = Build.accepted();
        draft.trailer = hex"00";
        expectReason(draft, Reasons.MALFORMED_DER);
    }

    function test_2_elementAfterSignature() external view {
        bytes memory signed = Build.tbs(Build.accepted());
        bytes memory signature = Build.tlv(0x03, bytes.concat(hex"00", Build.sign(signed)));
        expectReason(
            Build.sequence(bytes.concat(signed, Build.ECDSA_SHA256, signature, hex"0500")), Reasons.MALFORMED_DER
        );
        expectReason(Build.sequence(bytes.concat(signed, Build.ECDSA_SHA256, signature)), Reasons.NONE);
    }

    /// @dev The same certificate in BER: a length of the outermost SEQUENCE that is longer than it must be.
    function test_2_lengthsThatAreNotShortest() external view {
        bytes memory signed = Build.tbs(Build.accepted());
        bytes memory content =
            bytes.concat(signed, Build.ECDSA_SHA256, Build.tlv(0x03, bytes.concat(hex"00", Build.sign(signed))));
        uint16 length = uint16(content.length);
        expectReason(abi.encodePacked(hex"3082", length, content), Reasons.NONE);
        expectReason(abi.encodePacked(hex"308300", length, content), Reasons.MALFORMED_DER);
        expectReason(abi.encodePacked(hex"30840000", length, content), Reasons.MALFORMED_DER);
        expectReason(abi.encodePacked(hex"3080", content, hex"0000"), Reasons.MALFORMED_DER);
        Draft memory draft = Build.accepted();
        draft.innerAlgorithm = hex"30810a06082a8648ce3d040302";
        draft.outerAlgorithm = draft.innerAlgorithm;
        expectReason(draft, Reasons.MALFORMED_DER);
        draft.innerAlgorithm = hex"3082000a06082a8648ce3d040302";
        draft.outerAlgorithm = draft.innerAlgorithm;
        expectReason(draft, Reasons.MALFORMED_DER);
    }

    function test_2_uniqueIdentifiers() external view {
        Draft memory draft = Build.accepted();
        bytes memory list = Build.tlv(0xa3, Build.sequence(draft.extensions));
        draft.hasTail = true;
        draft.tail = list;
        expectReason(draft, Reasons.NONE);
        draft.tail = bytes.concat(hex"81020055", list);
        expectReason(draft, Reasons.MALFORMED_DER);
        draft.tail = bytes.concat(hex"82020055", list);
        expectReason(draft, Reasons.MALFORMED_DER);
        draft.tail = bytes.concat(list, hex"0500");
        expectReason(draft, Reasons.MALFORMED_DER);
        draft.tail = Build.tlv(0xa3, bytes.concat(Build.sequence(draft.extensions), hex"0500"));
        expectReason(draft, Reasons.MALFORMED_DER);
        draft.tail = Build.tlv(0xa3, hex"3000");
        expectReason(draft, Reasons.MALFORMED_DER);
        draft.tail = hex"a300";
        expectReason(draft, Reasons.MALFORMED_DER);
    }

    function test_2_integers() external view {
        Draft memory draft = Build.accepted();
        draft.serialNumber = hex"0200";
        expectReason(draft, Reasons.MALFORMED_DER);
        draft.serialNumber = hex"0202007f";
        expectReason(draft, Reasons.MALFORMED_DER);
        draft.serialNumber = hex"0202ff80";
        expectReason(draft, Reasons.MALFORMED_DER);
        draft.serialNumber = hex"02020080";
        expectReason(draft, Reasons.NONE);
        draft.version = hex"a00402020002";
        expectReason(draft, Reasons.MALFORMED_DER);
        draft.version = hex"a0050201020500";
        expectReason(draft, Reasons.MALFORMED_DER);
    }

    function test_2_bitStrings() external view {
        Draft memory draft = Build.accepted();
        draft.spki[25] = 0x01; // unused bits of subjectPublicKey
        expectReason(draft, Reasons.MALFORMED_DER);
        bytes memory signed = Build.tbs(Build.accepted());
        bytes memory signature = Build.tlv(0x03, bytes.concat(hex"01", Build.sign(signed)));
        expectReason(Build.sequence(bytes.concat(signed, Build.ECDSA_SHA256, signature)), Reasons.MALFORMED_DER);
        expectReason(Build.sequence(bytes.concat(signed, Build.ECDSA_SHA256, hex"0300")), Reasons.MALFORMED_DER);
    }

    function test_2_objectIdentifiers() external view {
        Draft memory draft = Build.accepted();
        bytes memory usual = draft.extensions;
        draft.extensions = bytes.concat(usual, Build.extension(hex"06022a03", false, ""));
        expectReason(draft, Reasons.NONE);
        bytes[4] memory bad = [bytes(hex"0600"), hex"06022a80", hex"06032a8001", hex"06028001"];
        for (uint256 i = 0; i < bad.length; ++i) {
            draft.extensions = bytes.concat(usual, Build.extension(bad[i], false, ""));
            expectReason(draft, Reasons.MALFORMED_DER);
        }
        // 0x80 inside a subidentifier is a digit like others; across 32 octets the rule is the same.
        bytes memory long =
            hex"062a2a0101010101010101010101010101010101010101010101010101010101018180010101010101010101";
        draft.extensions = bytes.concat(usual, Build.extension(long, false, ""));
        expectReason(draft, Reasons.NONE);
        long[33] = 0x01; // the last octet of the first word: now 0x80 begins a subidentifier
        draft.extensions = bytes.concat(usual, Build.extension(long, false, ""));
        expectReason(draft, Reasons.MALFORMED_DER);
    }

    function test_2_extensionFrames() external view {
        Draft memory draft = Build.accepted();
        bytes memory usual = draft.extensions;
        bytes[7] memory bad = [
            Build.sequence(hex"06022a0301010004020500"), // FALSE is the default and is left out
            Build.sequence(hex"06022a0301010104020500"), // TRUE is FF
            Build.sequence(hex"06022a030102ffff04020500"),
            Build.sequence(hex"06022a03040205000500"),
            Build.sequence(hex"06022a03"),
            Build.sequence(hex"04020500"),
            bytes(hex"0500")
        ];
        for (uint256 i = 0; i < bad.length; ++i) {
            draft.extensions = bytes.concat(usual, bad[i]);
            expectReason(draft, Reasons.MALFORMED_DER);
        }
        // The same for one that we know, which takes the short way.
        draft.extensions = bytes.concat(usual, Build.sequence(hex"0603551d1f01010004020500"));
        expectReason(draft, Reasons.MALFORMED_DER);
        draft.extensions = bytes.concat(usual, Build.sequence(hex"0603551d1f040205000500"));
        expectReason(draft, Reasons.MALFORMED_DER);
        draft.extensions = bytes.concat(usual, Build.sequence(hex"0603551d1f"));
        expectReason(draft, Reasons.MALFORMED_DER);
        draft.extensions = bytes.concat(usual, Build.sequence(hex"0603551d"));
        expectReason(draft, Reasons.MALFORMED_DER);
    }

    function test_2_names() external view {
        bytes[7] memory bad = [
            bytes(hex"0c0141"), // no SET
            hex"31020500", // no SEQUENCE
            hex"310530030c0141", // no OBJECT IDENTIFIER
            hex"310730050603550403", // no value
            hex"310c300a06035504030c01410500", // two values
            hex"310a300806035504031f0141", // a tag of more octets
            hex"310a300806035584030c0141" // 0x84 goes on, and 03 ends it: well formed; see below
        ];
        for (uint256 i = 0; i < 6; ++i) {
            Draft memory draft = Build.accepted();
            draft.issuer =
                Build.sequence(bytes.concat(Build.rdn(Build.ORGANISATION_OID, 0x0c, "Acme Cells Ltd"), bad[i]));
            draft.subject = draft.issuer;
            expectReason(draft, Reasons.MALFORMED_DER);
            draft.subject = Build.accepted().subject;
            expectReason(draft, Reasons.MALFORMED_DER);
        }
        Draft memory unknown = Build.accepted();
        unknown.issuer = Build.sequence(bytes.concat(Build.rdn(Build.ORGANISATION_OID, 0x0c, "Acme Cells Ltd"), bad[6]));
        unknown.subject = unknown.issuer;
        expectReason(unknown, Reasons.BAD_SUBJECT);
    }

    function test_2_tagOfTimes() external view {
        Draft memory draft = Build.accepted();
        draft.validity = Build.sequence(bytes.concat(Build.tlv(0x16, "261101000000Z"), Build.time("361030000000Z")));
        expectReason(draft, Reasons.MALFORMED_DER);
        draft.validity =
            Build.sequence(bytes.concat(Build.time("261101000000Z"), Build.time("361030000000Z"), hex"0500"));
        expectReason(draft, Reasons.MALFORMED_DER);
        draft.validity = Build.sequence(Build.time("261101000000Z"));
        expectReason(draft, Reasons.MALFORMED_DER);
    }

    function test_3_version() external view {
        Draft memory draft = Build.accepted();
        bytes[5] memory bad = [bytes(""), hex"a003020100", hex"a003020101", hex"a003020103", hex"a00402020102"];
        for (uint256 i = 0; i < bad.length; ++i) {
            draft.version = bad[i];
            expectReason(draft, Reasons.WRONG_VERSION);
        }
    }

    function test_4_serialNumber() external view {
        Draft memory draft = Build.accepted();
        draft.serialNumber = hex"020100";
        expectReason(draft, Reasons.BAD_SERIAL);
        draft.serialNumber = hex"0201ff";
        expectReason(draft, Reasons.BAD_SERIAL);
        draft.serialNumber = Build.tlv(0x02, hex"010123456789abcdef0123456789abcdef01234567");
        expectReason(draft, Reasons.BAD_SERIAL);
        draft.serialNumber = Build.tlv(0x02, hex"00a0123456789abcdef0123456789abcdef0123456");
        expectReason(draft, Reasons.BAD_SERIAL);
        draft.serialNumber = Build.tlv(0x02, hex"00a0123456789abcdef0123456789abcdef01234");
        expectReason(draft, Reasons.NONE);
        draft.serialNumber = hex"020101";
        expectReason(draft, Reasons.NONE);
    }

    function test_5_algorithmsDiffer() external view {
        Draft memory draft = Build.accepted();
        draft.innerAlgorithm = hex"300a06082a8648ce3d040303";
        expectReason(draft, Reasons.ALGORITHM_MISMATCH);
        draft = Build.accepted();
        draft.outerAlgorithm = hex"300c06082a8648ce3d0403020500";
        expectReason(draft, Reasons.ALGORITHM_MISMATCH);
    }

    function test_6_algorithmNotAllowed() external view {
        Draft memory draft = Build.accepted();
        bytes[3] memory bad = [
            bytes(hex"300a06082a8648ce3d040303"), // ecdsa-with-SHA384
            hex"300c06082a8648ce3d0403020500", // parameters where there are none
            hex"300d06092a864886f70d01010b0500" // RSA
        ];
        for (uint256 i = 0; i < bad.length; ++i) {
            draft.innerAlgorithm = bad[i];
            draft.outerAlgorithm = bad[i];
            expectReason(draft, Reasons.UNSUPPORTED_ALGORITHM);
        }
        // RSA is allowed here, yet this key cannot have made it.
        CertificateRules memory rules = smallCellRules();
        rules.profile.keyAlgorithms = ProfileBits.KEY_P256 | ProfileBits.KEY_RSA;
        rules.profile.signatureAlgorithms = ProfileBits.SIGNATURE_ECDSA_SHA256 | ProfileBits.SIGNATURE_RSA_SHA256;
        expectReason(draft, rules, Reasons.UNSUPPORTED_ALGORITHM);
        expectReason(Build.accepted(), rules, Reasons.NONE);
    }

    /// @notice Of a CA-issued profile the issuer is looked up, and without a trust list there is none.
    function test_33_withoutTrustList() external view {
        CertificateRules memory rules = smallCellRules();
        rules.profile.caIssued = true;
        Draft memory draft = Build.accepted();
        expectReason(draft, rules, Reasons.UNKNOWN_ISSUER);
        draft.issuer = Build.name("Another", "", "");
        expectReason(draft, rules, Reasons.UNKNOWN_ISSUER);
    }

    function test_7_issuer() external view {
        Draft memory draft = Build.accepted();
        draft.issuer = Build.name("Acme Cells Ltd", "SC-2026-00000002", Build.DEVICE_NAME);
        expectReason(draft, Reasons.ISSUER_NOT_SUBJECT);
        draft.issuer = hex"3000";
        expectReason(draft, Reasons.ISSUER_NOT_SUBJECT);
    }

    function _expectSubject(bytes memory rdns, uint16 reason) private view {
        Draft memory draft = Build.accepted();
        draft.issuer = Build.sequence(rdns);
        draft.subject = draft.issuer;
        expectReason(draft, reason);
    }

    function test_8_subject() external view {
        bytes memory o = Build.rdn(Build.ORGANISATION_OID, 0x0c, Build.ORGANISATION);
        bytes memory serial = Build.rdn(Build.SERIAL_NUMBER_OID, 0x0c, "1");
        bytes memory common = Build.rdn(Build.COMMON_NAME_OID, 0x13, Build.DEVICE_NAME);
        _expectSubject(o, Reasons.NONE);
        _expectSubject(bytes.concat(common, serial, o), Reasons.NONE);
        _expectSubject("", Reasons.BAD_SUBJECT);
        _expectSubject(serial, Reasons.BAD_SUBJECT);
        _expectSubject(bytes.concat(o, o), Reasons.BAD_SUBJECT);
        _expectSubject(bytes.concat(o, serial, serial), Reasons.BAD_SUBJECT);
        _expectSubject(bytes.concat(o, common, common), Reasons.BAD_SUBJECT);
        _expectSubject(bytes.concat(o, hex"3100"), Reasons.BAD_SUBJECT);
        _expectSubject(bytes.concat(o, Build.rdn(hex"0603550406", 0x13, "FR")), Reasons.BAD_SUBJECT);
        _expectSubject(bytes.concat(o, Build.rdn(hex"060455040a01", 0x13, "x")), Reasons.BAD_SUBJECT);
        bytes memory both = Build.tlv(
            0x31,
            bytes.concat(
                Build.sequence(bytes.concat(Build.SERIAL_NUMBER_OID, Build.tlv(0x13, "1"))),
                Build.sequence(bytes.concat(Build.ORGANISATION_OID, Build.tlv(0x0c, Build.ORGANISATION)))
            )
        );
        _expectSubject(both, Reasons.BAD_SUBJECT);
    }

    function test_8_values() external view {
        bytes memory o = Build.rdn(Build.ORGANISATION_OID, 0x0c, Build.ORGANISATION);
        bytes memory longest = "0123456789012345678901234567890123456789012345678901234567890123";
        bytes memory every = "ABYZ abyz '()+,-./0189:=?";
        _expectSubject(bytes.concat(o, Build.rdn(Build.SERIAL_NUMBER_OID, 0x13, longest)), Reasons.NONE);
        _expectSubject(bytes.concat(o, Build.rdn(Build.SERIAL_NUMBER_OID, 0x0c, every)), Reasons.NONE);
        bytes[11] memory bad = [
            bytes(""),
            bytes.concat(longest, "4"),
            "a*b",
            "a@b",
            "a_b",
            "a&b",
            "a;b",
            "a<b",
            hex"41c3a9",
            hex"4100",
            "01234567890123456789012345678901_"
        ];
        for (uint256 i = 0; i < bad.length; ++i) {
            _expectSubject(bytes.concat(o, Build.rdn(Build.SERIAL_NUMBER_OID, 0x0c, bad[i])), Reasons.BAD_SUBJECT);
            _expectSubject(bytes.concat(o, Build.rdn(Build.COMMON_NAME_OID, 0x13, bad[i])), Reasons.BAD_SUBJECT);
        }
        _expectSubject(bytes.concat(o, Build.rdn(Build.SERIAL_NUMBER_OID, 0x16, "1")), Reasons.BAD_SUBJECT); // IA5String
        _expectSubject(bytes.concat(o, Build.rdn(Build.SERIAL_NUMBER_OID, 0x2c, "1")), Reasons.BAD_SUBJECT); // constructed
        _expectSubject(Build.rdn(Build.ORGANISATION_OID, 0x14, Build.ORGANISATION), Reasons.BAD_SUBJECT); // TeletexString
        _expectSubject(Build.rdn(Build.ORGANISATION_OID, 0x0c, ""), Reasons.BAD_SUBJECT);
    }

    function _expectOrganisation(uint256 tag, bytes memory text, uint16 reason) private view {
        Draft memory draft = Build.accepted();
        draft.issuer = Build.sequence(Build.rdn(Build.ORGANISATION_OID, tag, text));
        draft.subject = draft.issuer;
        expectReason(draft, reason);
        CertificateRules memory rules = smallCellRules();
        rules.organisation = text;
        expectReason(draft, rules, reason == Reasons.SUBJECT_NOT_OWNER ? Reasons.NONE : reason);
    }

    /// @dev Text that is no UTF-8 is refused also where it is the very text that the member is registered with.
    function test_8_9_organisation() external view {
        bytes[9] memory good = [
            bytes("Acme"),
            "Acme Cells Lte",
            unicode"Hütte & Söhne",
            unicode"日本電波",
            unicode"😀 GmbH",
            hex"f48fbfbf",
            hex"ed9fbf",
            hex"e0a080",
            "0123456789012345678901234567890123456789012345678901234567890123"
        ];
        for (uint256 i = 0; i < good.length; ++i) {
            _expectOrganisation(0x0c, good[i], Reasons.SUBJECT_NOT_OWNER);
        }
        bytes[15] memory bad = [
            bytes(hex"80"),
            hex"c1bf",
            hex"c3",
            hex"c328",
            hex"e09fbf",
            hex"eda080",
            hex"e28228",
            hex"e282",
            hex"f08fbfbf",
            hex"f4908080",
            hex"f5808080",
            hex"f09f98",
            hex"41090a",
            hex"417f",
            "01234567890123456789012345678901234567890123456789012345678901234"
        ];
        for (uint256 i = 0; i < bad.length; ++i) {
            _expectOrganisation(0x0c, bad[i], Reasons.BAD_SUBJECT);
        }
        _expectOrganisation(0x13, "Acme", Reasons.SUBJECT_NOT_OWNER);
        _expectOrganisation(0x13, unicode"Hütte", Reasons.BAD_SUBJECT);
        _expectOrganisation(0x13, "a&b", Reasons.BAD_SUBJECT);
    }
}
