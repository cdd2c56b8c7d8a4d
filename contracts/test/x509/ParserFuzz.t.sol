// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {CertificateRules, CheckedCertificate} from "../../x509/CertificateRules.sol";
import {Reasons} from "../../x509/Reasons.sol";
import {CertificateBuilder as Build, Draft} from "./CertificateBuilder.sol";
import {ParserTest} from "./ParserTest.sol";

/// @notice Whatever the bytes, there is an answer; and nothing but the certificate that was signed is accepted.
contract ParserFuzzTest is ParserTest {
    bytes private certificate = Build.build(Build.accepted());

    function testFuzz_anyBytes(bytes calldata octets) external view {
        require(checkOne(octets, smallCellRules()).reason != Reasons.NONE, Failed("refused"));
    }

    function testFuzz_bytesInASequence(bytes calldata octets) external view {
        require(checkOne(Build.sequence(octets), smallCellRules()).reason != Reasons.NONE, Failed("refused"));
    }

    function testFuzz_flippedOctet(uint256 place, uint8 flip) external view {
        bytes memory octets = certificate;
        place %= octets.length;
        octets[place] ^= bytes1(flip == 0 ? 1 : flip);
        require(checkOne(octets, smallCellRules()).reason != Reasons.NONE, Failed("refused"));
    }

    function testFuzz_severalFlippedOctets(uint256 seed) external view {
        bytes memory octets = certificate;
        for (uint256 i = 0; i < 4; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            octets[(seed >> 8) % octets.length] = bytes1(uint8(seed));
        }
        if (keccak256(octets) == keccak256(certificate)) return;
        require(checkOne(octets, smallCellRules()).reason != Reasons.NONE, Failed("refused"));
    }

    function testFuzz_cutOrLengthened(uint16 length) external view {
        bytes memory octets = new bytes(uint256(length) % 2200);
        if (octets.length == certificate.length) return;
        for (uint256 i = 0; i < octets.length && i < certificate.length; ++i) {
            octets[i] = certificate[i];
        }
        uint16 expected = octets.length > 2048 ? Reasons.ENTRY_TOO_LARGE : Reasons.MALFORMED_DER;
        expectReason(octets, expected);
    }

    function testFuzz_insertedOctet(uint256 place, bytes1 octet) external view {
        bytes memory octets = new bytes(certificate.length + 1);
        place %= octets.length;
        for (uint256 i = 0; i < octets.length; ++i) {
            octets[i] = i < place ? certificate[i] : i == place ? octet : certificate[i - 1];
        }
        expectReason(octets, Reasons.MALFORMED_DER);
    }

    /// @dev Spoilt before it is signed: the signature no longer protects the checks. Any answer will do, and an
    /// accepted certificate is another one.
    function testFuzz_spoiltAndSigned(uint256 seed) external view {
        bytes memory signed = Build.tbs(Build.accepted());
        bytes32 before = sha256(signed);
        for (uint256 i = 0; i < 2; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            signed[4 + (seed >> 8) % (signed.length - 4)] = bytes1(uint8(seed));
        }
        bytes memory octets = Build.assemble(signed, Build.ECDSA_SHA256, Build.sign(signed));
        CheckedCertificate memory result = checkOne(octets, smallCellRules());
        require(result.reason < 30, Failed("a reason of the parser"));
        if (result.reason == Reasons.NONE) {
            require(result.tbsHash == sha256(signed), Failed("hash of what was signed"));
            require(
                result.tbsHash != before || keccak256(signed) == keccak256(Build.tbs(Build.accepted())), Failed("id")
            );
        }
    }

    /// @dev All entries use the same memory: whatever one of them left there, the next gets its own answer.
    function testFuzz_neighboursChangeNothing(uint256 seed) external view {
        bytes[] memory certificates = new bytes[](8);
        for (uint256 i = 0; i < certificates.length; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            certificates[i] = _variant(seed);
        }
        CheckedCertificate[] memory together = parser.check(certificates, smallCellRules());
        for (uint256 i = 0; i < certificates.length; ++i) {
            CheckedCertificate memory alone = checkOne(certificates[i], smallCellRules());
            require(keccak256(abi.encode(alone)) == keccak256(abi.encode(together[i])), Failed("the same answer"));
        }
    }

    /// @dev One of a dozen certificates, good and bad, that leave different things behind.
    function _variant(uint256 seed) private pure returns (bytes memory) {
        Draft memory draft = Build.accepted();
        uint256 kind = seed % 12;
        bytes memory other = Build.extension(hex"06022a03", kind == 1, "x");
        if (kind == 0) draft.extensions = bytes.concat(draft.extensions, Build.keyUsageExtension());
        if (kind == 1 || kind == 2) draft.extensions = bytes.concat(draft.extensions, other);
        if (kind == 3) draft.hasTail = true;
        if (kind == 4) draft.extensions = Build.usualExtensions();
        if (kind == 5) draft.issuer = Build.name("Acme", "", "");
        if (kind == 6) (draft.issuer, draft.subject) = (hex"3000", hex"3000");
        if (kind == 7) draft.subject = Build.name(Build.ORGANISATION, "", "other.cells.acme.example");
        if (kind == 7 || kind == 8) draft.issuer = draft.subject;
        if (kind == 9) draft.version = hex"a003020101";
        if (kind == 10) draft.signature = hex"3006020101020101";
        if (kind == 11) draft.trailer = hex"00";
        return Build.build(draft);
    }

    /// @dev Whether the parser compares words or reads element by element is of no account: these take the long way
    /// in one place each, where the certificate of most other tests takes the short one.
    function test_longWays() external view {
        Draft memory draft = Build.accepted();
        draft.extensions = bytes.concat(draft.extensions, Build.extension(hex"06022a03", false, new bytes(100)));
        expectReason(draft, Reasons.NONE); // extensions of more than 255 octets
        draft = Build.accepted();
        draft.extensions = bytes.concat(
            Build.extension(Build.SAN, false, Build.dnsNames(Build.DEVICE_NAME)),
            Build.keyUsageExtension(),
            Build.extension(Build.SKI, false, hex"040101"),
            Build.extension(Build.EKU, false, hex"300a06082b06010505070301")
        );
        expectReason(draft, Reasons.NONE); // less than 128
        draft.subject = Build.sequence(Build.rdn(Build.ORGANISATION_OID, 0x13, Build.ORGANISATION));
        draft.issuer = draft.subject;
        expectReason(draft, Reasons.NONE);
        draft = Build.accepted();
        bytes memory name = new bytes(100);
        for (uint256 i = 0; i < 100; ++i) {
            name[i] = i % 50 == 49 ? bytes1(".") : bytes1("a");
        }
        name = bytes.concat(name, "bbbbbbbbbbbb.cells.acme.example");
        draft.issuer = Build.name(Build.ORGANISATION, "1", "");
        draft.subject = draft.issuer;
        draft.extensions =
            bytes.concat(Build.usualExtensions(), Build.extension(Build.SAN, false, Build.dnsNames(name)));
        expectReason(draft, Reasons.NONE); // a name, and an extension, of more than 127 octets
    }

    /// @dev SEQUENCE in SEQUENCE as deep as it goes, and lengths that point far beyond the end.
    function test_deepAndFar() external view {
        for (uint256 tag = 0x30; tag < 0x32; ++tag) {
            bytes memory nested;
            while (nested.length < 2000) nested = Build.tlv(tag, nested);
            expectReason(nested, Reasons.MALFORMED_DER);
            Draft memory draft = Build.accepted();
            while (nested.length > 1200) {
                nested = new bytes(0);
                for (uint256 i = 0; i < 300; ++i) {
                    nested = Build.tlv(tag, nested);
                }
            }
            draft.extensions = bytes.concat(draft.extensions, nested);
            expectReason(draft, Reasons.MALFORMED_DER);
        }
        bytes memory octets = certificate;
        for (uint256 i = 0; i + 4 < octets.length; ++i) {
            bytes memory spoilt = bytes.concat(octets);
            (spoilt[i + 1], spoilt[i + 2], spoilt[i + 3]) = (0x82, 0xff, 0xff);
            require(checkOne(spoilt, smallCellRules()).reason != Reasons.NONE, Failed("refused"));
        }
    }

    /// @dev The dearest that 2,048 octets can be made, so that no entry costs its batch much.
    function test_dearestEntries() external {
        CertificateRules memory rules = smallCellRules();
        rules.profile.ekuAllowed = 0xffff;
        rules.profile.sanMaximum = 8;
        bytes[] memory certificates = new bytes[](1);
        bytes memory list;
        while (list.length < 1500) list = bytes.concat(list, hex"3006060155040102");
        certificates[0] = _with(list);
        _expectGas("extensions without number", certificates, rules);
        list = "";
        for (uint256 i = 0; list.length < 1400; ++i) {
            list = bytes.concat(list, hex"06022a", bytes1(uint8(i % 128)));
        }
        certificates[0] = _with(Build.extension(Build.EKU, false, Build.sequence(list)));
        _expectGas("purposes without number", certificates, rules);
        list = "";
        for (uint256 i = 0; i < 8; ++i) {
            bytes memory name = abi.encodePacked(bytes1(uint8(0x61 + i)));
            while (name.length < 150) name = bytes.concat(name, "--a.a");
            list = bytes.concat(list, Build.tlv(0x82, bytes.concat(name, ".cells.acme.example")));
        }
        certificates[0] = _with(Build.extension(Build.SAN, false, Build.sequence(list)));
        _expectGas("long names", certificates, rules);
        certificates[0] = _withSubject(_repeated(hex"3100", 750));
        _expectGas("empty RDNs", certificates, rules);
        certificates[0] = _withSubject(Build.tlv(0x31, _repeated(hex"30050601550500", 210)));
        _expectGas("attributes in one RDN", certificates, rules);
        certificates[0] = _with(Build.extension(Build.SAN, false, Build.sequence(_repeated(hex"8200", 750))));
        _expectGas("empty names", certificates, rules);
        certificates[0] = _with(Build.extension(Build.SAN, false, Build.sequence(_repeated(hex"860161", 500))));
        _expectGas("names without number", certificates, rules);
        list = _repeated(hex"3007a005a003860161", 160);
        certificates[0] = _with(Build.extension(hex"0603551d1f", false, Build.sequence(list)));
        _expectGas("distribution points", certificates, rules);
        list = Build.sequence(Build.tlv(0xa0, Build.tlv(0xa0, _repeated(hex"860161", 490))));
        certificates[0] = _with(Build.extension(hex"0603551d1f", false, Build.sequence(list)));
        _expectGas("URIs of one distribution point", certificates, rules);
        list = _repeated(hex"300606012a860161", 180);
        certificates[0] = _with(Build.extension(hex"06082b06010505070101", false, Build.sequence(list)));
        _expectGas("access descriptions", certificates, rules);
    }

    function _repeated(bytes memory part, uint256 count) private pure returns (bytes memory all) {
        for (uint256 i = 0; i < count; ++i) {
            all = bytes.concat(all, part);
        }
    }

    /// @dev An issuer that differs, so that both are read.
    function _withSubject(bytes memory names) private pure returns (bytes memory) {
        Draft memory draft = Build.accepted();
        draft.subject = Build.sequence(names);
        draft.issuer = Build.sequence("");
        return Build.build(draft);
    }

    function _with(bytes memory extensions) private pure returns (bytes memory) {
        Draft memory draft = Build.accepted();
        draft.issuer = Build.name(Build.ORGANISATION, "", "");
        draft.subject = draft.issuer;
        draft.extensions = bytes.concat(
            Build.extension(Build.SKI, false, Build.tlv(0x04, Build.keyIdentifier())),
            Build.keyUsageExtension(),
            extensions
        );
        return Build.build(draft);
    }

    function _expectGas(string memory what, bytes[] memory certificates, CertificateRules memory rules) private {
        uint256 used = parser.measure(certificates, rules);
        emit log_named_uint(what, used);
        require(used < 400_000, Failed(what));
    }
}
