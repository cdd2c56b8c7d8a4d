// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {CertificateRules} from "../../x509/CertificateRules.sol";
import {Reasons} from "../../x509/Reasons.sol";
import {CertificateBuilder as Build, Draft} from "./CertificateBuilder.sol";
import {ParserTest} from "./ParserTest.sol";

/// @notice Reasons 16 to 24: the list of extensions and their contents.
contract ParserExtensionsTest is ParserTest {
    /// @dev The accepted certificate with more extensions at the end.
    function _expectMore(bytes memory more, uint16 reason) private view {
        Draft memory draft = Build.accepted();
        draft.extensions = bytes.concat(draft.extensions, more);
        expectReason(draft, reason);
    }

    /// @dev A certificate with SKI, keyUsage, EKU and SAN, one of which is replaced.
    function _expectInstead(bytes memory kind, bytes memory extension, uint16 reason) private view {
        expectReason(_instead(kind, extension), reason);
    }

    function _instead(bytes memory kind, bytes memory extension) private pure returns (Draft memory draft) {
        bytes[4] memory usual = [
            Build.extension(Build.SKI, false, Build.tlv(0x04, Build.keyIdentifier())),
            Build.keyUsageExtension(),
            Build.extension(Build.EKU, false, Build.SERVER_AND_CLIENT),
            Build.extension(Build.SAN, false, Build.dnsNames(Build.DEVICE_NAME))
        ];
        bytes[4] memory kinds = [Build.SKI, Build.KEY_USAGE, Build.EKU, Build.SAN];
        draft = Build.accepted();
        draft.extensions = extension;
        for (uint256 i = 0; i < 4; ++i) {
            if (keccak256(kinds[i]) != keccak256(kind)) draft.extensions = bytes.concat(draft.extensions, usual[i]);
        }
    }

    function _others(uint256 count) private pure returns (bytes memory list) {
        for (uint256 i = 0; i < count; ++i) {
            list = bytes.concat(list, Build.extension(abi.encodePacked(hex"06032a03", uint8(i)), false, "x"));
        }
    }

    function test_16_tooMany() external view {
        _expectMore(_others(10), Reasons.NONE);
        _expectMore(_others(11), Reasons.TOO_MANY_EXTENSIONS);
        _expectMore(_others(100), Reasons.TOO_MANY_EXTENSIONS);
    }

    function test_17_repeated() external view {
        _expectMore(Build.keyUsageExtension(), Reasons.DUPLICATE_EXTENSION);
        bytes memory other = Build.extension(hex"06022a03", false, "x");
        _expectMore(other, Reasons.NONE);
        _expectMore(bytes.concat(other, _others(2), other), Reasons.DUPLICATE_EXTENSION);
        bytes memory ofTheSameArc = Build.extension(hex"0603551d20", false, "x");
        _expectMore(ofTheSameArc, Reasons.NONE);
        _expectMore(
            bytes.concat(ofTheSameArc, Build.extension(hex"0603551d20", false, "y")), Reasons.DUPLICATE_EXTENSION
        );
        bytes memory access = Build.extension(Build.AIA, false, _access("http://a.example"));
        _expectMore(access, Reasons.NONE);
        _expectMore(bytes.concat(access, access), Reasons.DUPLICATE_EXTENSION);
    }

    function test_18_unknownCritical() external view {
        _expectMore(Build.extension(hex"06022a03", true, "x"), Reasons.UNKNOWN_CRITICAL_EXTENSION);
        _expectMore(Build.extension(hex"0603551d20", true, "x"), Reasons.UNKNOWN_CRITICAL_EXTENSION);
        _expectMore(Build.extension(hex"0603551d00", true, "x"), Reasons.UNKNOWN_CRITICAL_EXTENSION);
        _expectMore(Build.extension(hex"0603551d7f", true, "x"), Reasons.UNKNOWN_CRITICAL_EXTENSION);
        _expectMore(Build.extension(hex"0604551d8101", true, "x"), Reasons.UNKNOWN_CRITICAL_EXTENSION);
        _expectMore(Build.extension(hex"0604551d8101", false, "x"), Reasons.NONE);
    }

    function test_19_criticality() external view {
        _expectInstead(Build.KEY_USAGE, Build.extension(Build.KEY_USAGE, true, hex"03020780"), Reasons.NONE);
        _expectInstead(Build.KEY_USAGE, Build.extension(Build.KEY_USAGE, false, hex"03020780"), Reasons.BAD_CRITICALITY);
        bytes memory identifier = Build.tlv(0x04, Build.keyIdentifier());
        _expectInstead(Build.SKI, Build.extension(Build.SKI, true, identifier), Reasons.BAD_CRITICALITY);
        _expectInstead(Build.EKU, Build.extension(Build.EKU, true, Build.SERVER_AND_CLIENT), Reasons.BAD_CRITICALITY);
        bytes memory names = Build.dnsNames(Build.DEVICE_NAME);
        _expectInstead(Build.SAN, Build.extension(Build.SAN, true, names), Reasons.BAD_CRITICALITY);
        _expectMore(Build.extension(Build.AIA, true, _access("http://a.example")), Reasons.BAD_CRITICALITY);
        _expectMore(Build.extension(Build.CDP, true, _point("http://a.example")), Reasons.BAD_CRITICALITY);
        identifier = Build.sequence(Build.tlv(0x80, Build.keyIdentifier()));
        _expectInstead("", Build.extension(Build.AKI, false, identifier), Reasons.NONE);
        _expectInstead("", Build.extension(Build.AKI, true, identifier), Reasons.BAD_CRITICALITY);
        _expectInstead("", Build.extension(Build.BASIC_CONSTRAINTS, true, hex"3000"), Reasons.NONE);
        _expectInstead("", Build.extension(Build.BASIC_CONSTRAINTS, false, hex"3000"), Reasons.NONE);
    }

    function _ski(bytes memory content, uint16 reason) private view {
        _expectInstead(Build.SKI, Build.extension(Build.SKI, false, content), reason);
    }

    function test_20_subjectKeyIdentifier() external view {
        _ski(hex"040155", Reasons.NONE);
        _ski(Build.tlv(0x04, new bytes(32)), Reasons.NONE);
        _ski(Build.tlv(0x04, new bytes(33)), Reasons.MALFORMED_EXTENSION);
        _ski(hex"0400", Reasons.MALFORMED_EXTENSION);
        _ski(hex"04015500", Reasons.MALFORMED_EXTENSION);
        _ski(hex"05", Reasons.MALFORMED_EXTENSION);
        _ski(hex"030155", Reasons.MALFORMED_EXTENSION);
        _ski("", Reasons.MALFORMED_EXTENSION);
    }

    function _aki(bytes memory content, uint16 reason) private view {
        _expectInstead("", Build.extension(Build.AKI, false, content), reason);
    }

    function test_20_authorityKeyIdentifier() external view {
        _aki(hex"3003800155", Reasons.NONE);
        _aki(Build.sequence(Build.tlv(0x80, new bytes(32))), Reasons.NONE);
        _aki(Build.sequence(Build.tlv(0x80, new bytes(33))), Reasons.MALFORMED_EXTENSION);
        _aki(hex"3000", Reasons.MALFORMED_EXTENSION);
        _aki(hex"30028000", Reasons.MALFORMED_EXTENSION);
        _aki(hex"3006800155820155", Reasons.MALFORMED_EXTENSION);
        _aki(hex"300380015500", Reasons.MALFORMED_EXTENSION);
        _aki(hex"3003a00155", Reasons.MALFORMED_EXTENSION);
    }

    function _usage(bytes memory content, uint16 reason) private view {
        _expectInstead(Build.KEY_USAGE, Build.extension(Build.KEY_USAGE, true, content), reason);
    }

    function test_20_keyUsage() external view {
        _usage(hex"03020780", Reasons.NONE);
        _usage(hex"030205a0", Reasons.NONE); // and keyEncipherment
        _usage(hex"0303078880", Reasons.NONE); // nine bits: and keyAgreement, decipherOnly
        _usage(hex"03020080", Reasons.MALFORMED_EXTENSION); // trailing zero bits
        _usage(hex"03020680", Reasons.MALFORMED_EXTENSION);
        _usage(hex"030205b0", Reasons.MALFORMED_EXTENSION); // unused bits are not zero
        _usage(hex"03020880", Reasons.MALFORMED_EXTENSION);
        _usage(hex"0302ff80", Reasons.MALFORMED_EXTENSION);
        _usage(hex"03020700", Reasons.MALFORMED_EXTENSION);
        _usage(hex"030100", Reasons.MALFORMED_EXTENSION);
        _usage(hex"0300", Reasons.MALFORMED_EXTENSION);
        _usage(hex"0303068040", Reasons.MALFORMED_EXTENSION); // ten bits
        _usage(hex"030407800080", Reasons.MALFORMED_EXTENSION);
        _usage(hex"0302078000", Reasons.MALFORMED_EXTENSION);
        _usage(hex"04020780", Reasons.MALFORMED_EXTENSION);
    }

    function test_20_basicConstraints() external view {
        bytes[9] memory bad = [
            bytes(hex""),
            hex"3003010100", // FALSE is the default and is left out
            hex"3003010101",
            hex"3003020100", // a path length without cA
            hex"30060101ff0201", // incomplete
            hex"30070101ff02020001",
            hex"30060101ff0201ff",
            hex"30080101ff0201000500",
            hex"300000"
        ];
        for (uint256 i = 0; i < bad.length; ++i) {
            bytes memory extension = Build.extension(Build.BASIC_CONSTRAINTS, true, bad[i]);
            _expectInstead("", extension, Reasons.MALFORMED_EXTENSION);
        }
    }

    function test_21_authority() external view {
        bytes memory extension = Build.extension(Build.BASIC_CONSTRAINTS, true, hex"30030101ff");
        _expectInstead("", extension, Reasons.CA_CERTIFICATE);
        extension = Build.extension(Build.BASIC_CONSTRAINTS, false, hex"30060101ff020100");
        _expectInstead("", extension, Reasons.CA_CERTIFICATE);
    }

    function _point(bytes memory uri) private pure returns (bytes memory) {
        return Build.sequence(Build.sequence(Build.tlv(0xa0, Build.tlv(0xa0, Build.tlv(0x86, uri)))));
    }

    function _points(bytes memory content, uint16 reason) private view {
        _expectMore(Build.extension(Build.CDP, false, content), reason);
    }

    function test_20_crlDistributionPoints() external view {
        bytes memory uri = Build.tlv(0x86, "http://crl.acme.example/1.crl");
        bytes memory point = Build.sequence(Build.tlv(0xa0, Build.tlv(0xa0, bytes.concat(uri, uri))));
        _points(_point("http://crl.acme.example/1.crl"), Reasons.NONE);
        _points(Build.sequence(bytes.concat(point, point)), Reasons.NONE);
        _points(_point(new bytes(0)), Reasons.MALFORMED_EXTENSION);
        _points(_point("http://a b"), Reasons.MALFORMED_EXTENSION);
        _points(_point(hex"687474703a2f2f7f"), Reasons.MALFORMED_EXTENSION);
        _points(_point(hex"687474703a2f2fc3a9"), Reasons.MALFORMED_EXTENSION);
        _points(Build.sequence(""), Reasons.MALFORMED_EXTENSION);
        _points(Build.sequence(hex"3000"), Reasons.MALFORMED_EXTENSION);
        _points(Build.sequence(hex"3002a000"), Reasons.MALFORMED_EXTENSION);
        _points(Build.sequence(hex"3004a002a000"), Reasons.MALFORMED_EXTENSION);
        _points(
            Build.sequence(Build.sequence(Build.tlv(0xa0, Build.tlv(0xa0, hex"820161")))), Reasons.MALFORMED_EXTENSION
        );
        _points(Build.sequence(Build.sequence(Build.tlv(0xa0, Build.tlv(0xa1, uri)))), Reasons.MALFORMED_EXTENSION);
        bytes memory reasons = bytes.concat(Build.tlv(0xa0, Build.tlv(0xa0, uri)), hex"81020780");
        _points(Build.sequence(Build.sequence(reasons)), Reasons.MALFORMED_EXTENSION);
        _points(bytes.concat(_point("http://a.example"), hex"00"), Reasons.MALFORMED_EXTENSION);
    }

    function test_20_lengthOfUri() external view {
        bytes memory uri = new bytes(255);
        for (uint256 i = 0; i < 255; ++i) {
            uri[i] = "a";
        }
        _points(_point(uri), Reasons.NONE);
        _points(_point(bytes.concat(uri, "a")), Reasons.MALFORMED_EXTENSION);
    }

    function _access(bytes memory uri) private pure returns (bytes memory) {
        return Build.sequence(Build.sequence(bytes.concat(hex"06082b06010505073001", Build.tlv(0x86, uri))));
    }

    function _accesses(bytes memory content, uint16 reason) private view {
        _expectMore(Build.extension(Build.AIA, false, content), reason);
    }

    function test_20_authorityInfoAccess() external view {
        _accesses(_access("http://ocsp.acme.example"), Reasons.NONE);
        _accesses(_access(""), Reasons.MALFORMED_EXTENSION);
        _accesses(_access("http://ocsp\n"), Reasons.MALFORMED_EXTENSION);
        _accesses(hex"3000", Reasons.MALFORMED_EXTENSION);
        _accesses(hex"30023000", Reasons.MALFORMED_EXTENSION);
        _accesses(hex"300630040600860161", Reasons.MALFORMED_EXTENSION);
        _accesses(Build.sequence(Build.sequence(hex"06012a820161")), Reasons.MALFORMED_EXTENSION);
        _accesses(Build.sequence(Build.sequence(hex"06012a860161860161")), Reasons.MALFORMED_EXTENSION);
        _accesses(Build.sequence(Build.sequence(hex"06012a860161")), Reasons.NONE);
    }

    function _purposes(bytes memory content, uint16 reason) private view {
        _expectInstead(Build.EKU, Build.extension(Build.EKU, false, content), reason);
    }

    function test_20_extendedKeyUsage() external view {
        _purposes(hex"300a06082b06010505070301", Reasons.NONE);
        _purposes(hex"3000", Reasons.MALFORMED_EXTENSION);
        _purposes(hex"300a06082b0601050507030100", Reasons.MALFORMED_EXTENSION);
        _purposes(hex"300c06082b060105050703010600", Reasons.MALFORMED_EXTENSION);
        _purposes(hex"301406082b0601050507030106082b06010505070301", Reasons.MALFORMED_EXTENSION);
        _purposes(hex"301006082b0601050507030106012a06012a", Reasons.MALFORMED_EXTENSION);
        _purposes(hex"300a04082b06010505070301", Reasons.MALFORMED_EXTENSION);
    }

    function test_20_subjectAltName() external view {
        bytes[6] memory bad =
            [bytes(hex"3000"), hex"30030c0161", hex"3003a40161", hex"30049f010161", hex"300382016100", hex"3003820261"];
        for (uint256 i = 0; i < bad.length; ++i) {
            _expectInstead(Build.SAN, Build.extension(Build.SAN, false, bad[i]), Reasons.MALFORMED_EXTENSION);
        }
    }

    function test_22_keyUsage() external view {
        _expectInstead(Build.KEY_USAGE, "", Reasons.BAD_KEY_USAGE);
        _usage(hex"03020520", Reasons.BAD_KEY_USAGE); // keyEncipherment alone
        _usage(hex"03020284", Reasons.BAD_KEY_USAGE); // and keyCertSign
        _usage(hex"03020182", Reasons.BAD_KEY_USAGE); // and cRLSign
        Draft memory draft = Build.accepted();
        draft.hasTail = true; // no extensions at all
        expectReason(draft, Reasons.BAD_KEY_USAGE);
    }

    function test_23_extendedKeyUsage() external view {
        _purposes(hex"300a06082b06010505070302", Reasons.BAD_EXTENDED_KEY_USAGE); // serverAuth is required
        _purposes(hex"301006082b060105050703010604551d2500", Reasons.BAD_EXTENDED_KEY_USAGE); // any
        _purposes(hex"301406082b0601050507030106082b06010505070303", Reasons.BAD_EXTENDED_KEY_USAGE); // codeSigning
        _expectInstead(Build.EKU, "", Reasons.BAD_EXTENDED_KEY_USAGE);
        CertificateRules memory rules = smallCellRules();
        rules.profile.ekuMayBeAbsent = true;
        expectReason(_instead(Build.EKU, ""), rules, Reasons.NONE);
        rules.profile.ekuAllowed = 0xffff;
        bytes memory all =
            hex"302e06082b0601050507030106082b0601050507030206082b060105050703110604551d250006082b06010505070303";
        all[1] = bytes1(uint8(all.length - 2));
        expectReason(_instead(Build.EKU, Build.extension(Build.EKU, false, all)), rules, Reasons.NONE);
        rules.profile.ekuAllowed = 0x7fff;
        expectReason(_instead(Build.EKU, Build.extension(Build.EKU, false, all)), rules, Reasons.BAD_EXTENDED_KEY_USAGE);
    }

    /// @dev Purposes without number must not cost gas without bound.
    function test_23_manyPurposes() external view {
        CertificateRules memory rules = smallCellRules();
        rules.profile.ekuAllowed = 0xffff;
        for (uint256 count = 16; count < 18; ++count) {
            bytes memory list = hex"06082b06010505070301";
            for (uint256 i = 0; i < count; ++i) {
                list = bytes.concat(list, hex"06022a", bytes1(uint8(i)));
            }
            Draft memory draft = _instead(Build.EKU, Build.extension(Build.EKU, false, Build.sequence(list)));
            expectReason(draft, rules, count == 16 ? Reasons.NONE : Reasons.BAD_EXTENDED_KEY_USAGE);
        }
    }

    function test_24_missing() external view {
        _expectInstead(Build.SKI, "", Reasons.MISSING_EXTENSION);
        _expectInstead(Build.SAN, "", Reasons.MISSING_EXTENSION);
        CertificateRules memory rules = smallCellRules();
        rules.profile.requiredExtensions = 0xff;
        expectReason(Build.accepted(), rules, Reasons.MISSING_EXTENSION);
        Draft memory draft = Build.accepted();
        draft.extensions = bytes.concat(
            draft.extensions,
            Build.extension(Build.CDP, false, _point("http://a.example")),
            Build.extension(Build.AIA, false, _access("http://a.example"))
        );
        expectReason(draft, rules, Reasons.NONE);
    }
}
