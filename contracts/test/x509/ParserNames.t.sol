// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ICertificateRegistry} from "../../interfaces/ICertificateRegistry.sol";
import {CertificateRules} from "../../x509/CertificateRules.sol";
import {ProfileBits} from "../../x509/ProfileBits.sol";
import {Reasons} from "../../x509/Reasons.sol";
import {CertificateBuilder as Build, Draft} from "./CertificateBuilder.sol";
import {ParserTest} from "./ParserTest.sol";

/// @notice Reasons 25 to 28: the names, and the ranges of the lot.
contract ParserNamesTest is ParserTest {
    bytes private constant LABEL_63 = "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0";

    /// @param common CN, or nothing
    function _withNames(bytes memory names, bytes memory common) private pure returns (Draft memory draft) {
        draft = Build.accepted();
        draft.issuer = Build.name(Build.ORGANISATION, "", common);
        draft.subject = draft.issuer;
        draft.extensions =
            bytes.concat(Build.usualExtensions(), Build.extension(Build.SAN, false, Build.sequence(names)));
    }

    function _expectNames(bytes memory names, uint16 reason) private view {
        expectReason(_withNames(names, ""), reason);
    }

    function _expectName(uint256 tag, bytes memory name, uint16 reason) private view {
        _expectNames(Build.tlv(tag, name), reason);
    }

    function _expectNameIn(ICertificateRegistry.NameRange memory range, uint256 tag, bytes memory name, uint16 reason)
        private
        view
    {
        CertificateRules memory rules = smallCellRules();
        rules.ranges = new ICertificateRegistry.NameRange[](1);
        rules.ranges[0] = range;
        expectReason(_withNames(Build.tlv(tag, name), ""), rules, reason);
    }

    function _many(uint256 count) private pure returns (bytes memory names) {
        for (uint256 i = 0; i < count; ++i) {
            names = bytes.concat(names, Build.tlv(0x82, abi.encodePacked(uint8(0x61 + i), ".cells.acme.example")));
        }
    }

    function test_25_number() external view {
        _expectNames(_many(4), Reasons.NONE);
        _expectNames(_many(5), Reasons.BAD_SAN);
        CertificateRules memory rules = smallCellRules();
        rules.profile.sanMaximum = 200;
        expectReason(_withNames(_many(8), ""), rules, Reasons.NONE);
        expectReason(_withNames(_many(9), ""), rules, Reasons.BAD_SAN);
        rules.profile.sanMaximum = 0;
        expectReason(_withNames(_many(1), ""), rules, Reasons.BAD_SAN);
    }

    function test_25_types() external view {
        _expectName(0x81, "a@acme.example", Reasons.BAD_SAN);
        _expectName(0x88, hex"2a03", Reasons.BAD_SAN);
        _expectName(0x80, "a", Reasons.BAD_SAN);
        bytes[3] memory names =
            [Build.tlv(0x82, "a.cells.acme.example"), Build.tlv(0x86, "urn:acme:1"), Build.tlv(0x87, hex"0a010001")];
        uint8[3] memory bits = [ProfileBits.SAN_DNS, ProfileBits.SAN_URI, ProfileBits.SAN_IP];
        CertificateRules memory rules = smallCellRules();
        for (uint256 i = 0; i < 3; ++i) {
            rules.profile.sanTypes = bits[i];
            expectReason(_withNames(names[i], ""), rules, Reasons.NONE);
            rules.profile.sanTypes = ~bits[i];
            expectReason(_withNames(names[i], ""), rules, Reasons.BAD_SAN);
        }
    }

    function test_26_dnsNames() external view {
        bytes[9] memory good = [
            bytes("a.cells.acme.example"),
            "cells.acme.example",
            "0-9.cells.acme.example",
            "a--b.cells.acme.example",
            "axn--b.cells.acme.example",
            "xn.cells.acme.example",
            "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.cells.acme.example",
            bytes.concat(LABEL_63, ".cells.acme.example"),
            bytes.concat("abcdefghijklmnopqrstuvwxyzabcde.", LABEL_63, ".a-b.cells.acme.example")
        ];
        for (uint256 i = 0; i < good.length; ++i) {
            _expectName(0x82, good[i], Reasons.NONE);
        }
        bytes[18] memory bad = [
            bytes(""),
            "*.cells.acme.example",
            "A.cells.acme.example",
            "a_b.cells.acme.example",
            "a b.cells.acme.example",
            hex"c3a92e63656c6c732e61636d652e6578616d706c65",
            "-a.cells.acme.example",
            "a-.cells.acme.example",
            "a..cells.acme.example",
            ".cells.acme.example",
            "a.cells.acme.example.",
            "a.cells.acme.example-",
            "xn--a.cells.acme.example",
            "b.xn--a.cells.acme.example",
            bytes.concat(LABEL_63, "a.cells.acme.example"),
            bytes.concat("abcdefghijklmnopqrstuvwxyzabcdef.-", "a.cells.acme.example"), // over the edge of a word
            bytes.concat("abcdefghijklmnopqrstuvwxyzabcde-.", "a.cells.acme.example"),
            bytes.concat("abcdefghijklmnopqrstuvwxyzabcde..", "a.cells.acme.example")
        ];
        for (uint256 i = 0; i < bad.length; ++i) {
            _expectName(0x82, bad[i], Reasons.BAD_NAME);
        }
    }

    function test_26_oneLabel() external view {
        ICertificateRegistry.NameRange memory local = range(ICertificateRegistry.RangeKind.Dns, 0, "example");
        _expectNameIn(local, 0x82, "example", Reasons.BAD_NAME);
        _expectNameIn(local, 0x82, "a.example", Reasons.NONE);
    }

    function test_26_longestName() external view {
        bytes memory name = bytes.concat(LABEL_63, ".", LABEL_63, ".", LABEL_63, ".");
        name = bytes.concat(name, "abcdefghijklmnopqrstuvwxyzabcdefghijklmnop", ".cells.acme.example");
        require(name.length == 253, Failed("253 octets"));
        _expectName(0x82, name, Reasons.NONE);
        _expectName(0x82, bytes.concat("a", name), Reasons.BAD_NAME);
    }

    /// @dev xn-- may stand in the lot's own value alone.
    function test_26_punycode() external view {
        ICertificateRegistry.NameRange memory own =
            range(ICertificateRegistry.RangeKind.Dns, 0, "xn--bcher-kva.example");
        _expectNameIn(own, 0x82, "a.xn--bcher-kva.example", Reasons.NONE);
        _expectNameIn(own, 0x82, "xn--bcher-kva.example", Reasons.NONE);
        _expectNameIn(own, 0x82, "xn--a.xn--bcher-kva.example", Reasons.BAD_NAME);
        _expectNameIn(own, 0x82, "a.xn--bcher-kvb.example", Reasons.BAD_NAME);
        _expectNameIn(own, 0x82, "a.example", Reasons.NAME_NOT_IN_LOT);
    }

    function test_26_repeated() external view {
        bytes memory one = Build.tlv(0x82, "a.cells.acme.example");
        bytes memory other = Build.tlv(0x82, "b.cells.acme.example");
        _expectNames(bytes.concat(one, other), Reasons.NONE);
        _expectNames(bytes.concat(one, other, one), Reasons.BAD_NAME);
        bytes memory address_ = Build.tlv(0x87, hex"0a010001");
        _expectNames(bytes.concat(address_, one), Reasons.NONE);
        _expectNames(bytes.concat(address_, one, address_), Reasons.BAD_NAME);
    }

    function test_26_urn() external view {
        _expectName(0x86, "urn:acme:Cell-7.a_b:Z", Reasons.NONE);
        bytes[7] memory bad = [
            bytes("urn:"),
            "URN:acme:1",
            "uri:acme:1",
            "urn:acme:1/2",
            "urn:acme:1 2",
            "urn:acme:%31",
            hex"75726e3a61636d653ac3a9"
        ];
        for (uint256 i = 0; i < bad.length; ++i) {
            _expectName(0x86, bad[i], Reasons.BAD_NAME);
        }
        bytes memory longest = new bytes(246);
        for (uint256 i = 0; i < 246; ++i) {
            longest[i] = "x";
        }
        _expectName(0x86, bytes.concat("urn:acme:", longest), Reasons.NONE);
        _expectName(0x86, bytes.concat("urn:acme:x", longest), Reasons.BAD_NAME);
    }

    function test_26_address() external view {
        _expectName(0x87, hex"0a010001", Reasons.NONE);
        _expectName(0x87, hex"0a0100", Reasons.BAD_NAME);
        _expectName(0x87, hex"0a01000100", Reasons.BAD_NAME);
        _expectName(0x87, hex"0a010001ffffffff", Reasons.BAD_NAME); // an address and a mask
        _expectName(0x87, "", Reasons.BAD_NAME);
    }

    function test_27_dns() external view {
        bytes[5] memory outside = [
            bytes("a.cells.other.example"),
            "acme.example",
            "xcells.acme.example",
            "a.cells.acme.example.org",
            "ells.acme.example"
        ];
        for (uint256 i = 0; i < outside.length; ++i) {
            _expectName(0x82, outside[i], Reasons.NAME_NOT_IN_LOT);
        }
        _expectNames(
            bytes.concat(Build.tlv(0x82, "a.cells.acme.example"), Build.tlv(0x82, outside[0])), Reasons.NAME_NOT_IN_LOT
        );
        CertificateRules memory rules = smallCellRules();
        rules.ranges = new ICertificateRegistry.NameRange[](0);
        expectReason(_withNames(Build.tlv(0x82, "a.cells.acme.example"), ""), rules, Reasons.NAME_NOT_IN_LOT);
    }

    function test_27_urn() external view {
        _expectName(0x86, "urn:acme:1", Reasons.NONE);
        _expectName(0x86, "urn:acme:", Reasons.NAME_NOT_IN_LOT);
        _expectName(0x86, "urn:acne:1", Reasons.NAME_NOT_IN_LOT);
        _expectName(0x86, "urn:acm", Reasons.NAME_NOT_IN_LOT);
    }

    function test_27_address() external view {
        _expectName(0x87, hex"0a010fff", Reasons.NONE);
        _expectName(0x87, hex"0a011000", Reasons.NAME_NOT_IN_LOT);
        _expectName(0x87, hex"0a010000000000000000000000000000", Reasons.NAME_NOT_IN_LOT);
        ICertificateRegistry.NameRange memory six =
            range(ICertificateRegistry.RangeKind.Ip, 32, hex"20010db8000000000000000000000000");
        _expectNameIn(six, 0x87, hex"20010db8000000000000000000000001", Reasons.NONE);
        _expectNameIn(six, 0x87, hex"20010db9000000000000000000000001", Reasons.NAME_NOT_IN_LOT);
        _expectNameIn(six, 0x87, hex"20010db8", Reasons.NAME_NOT_IN_LOT);
        six.bits = 128;
        _expectNameIn(six, 0x87, hex"20010db8000000000000000000000000", Reasons.NONE);
        _expectNameIn(six, 0x87, hex"20010db8000000000000000000000001", Reasons.NAME_NOT_IN_LOT);
        six.bits = 129;
        _expectNameIn(six, 0x87, hex"20010db8000000000000000000000000", Reasons.NAME_NOT_IN_LOT);
    }

    function _eui(uint8 bits, uint64 first, uint64 last)
        private
        pure
        returns (ICertificateRegistry.NameRange memory result)
    {
        result = range(ICertificateRegistry.RangeKind.Eui, bits, "cells.acme.example");
        result.first = first;
        result.last = last;
    }

    function test_27_eui48() external view {
        ICertificateRegistry.NameRange memory lot = _eui(48, 0x00aabbccdd00, 0x00aabbccddff);
        _expectNameIn(lot, 0x82, "00aabbccdd00.cells.acme.example", Reasons.NONE);
        _expectNameIn(lot, 0x82, "00aabbccddff.cells.acme.example", Reasons.NONE);
        _expectNameIn(lot, 0x82, "00aabbccdcff.cells.acme.example", Reasons.NAME_NOT_IN_LOT);
        _expectNameIn(lot, 0x82, "00aabbccde00.cells.acme.example", Reasons.NAME_NOT_IN_LOT);
        _expectNameIn(lot, 0x82, "00aabbccdd0.cells.acme.example", Reasons.NAME_NOT_IN_LOT);
        _expectNameIn(lot, 0x82, "00aabbccdd0g.cells.acme.example", Reasons.NAME_NOT_IN_LOT);
        _expectNameIn(lot, 0x82, "00aabbccdd00.cells.acne.example", Reasons.NAME_NOT_IN_LOT);
        _expectNameIn(lot, 0x82, "00aabbccdd00.x.cells.acme.example", Reasons.NAME_NOT_IN_LOT);
        _expectNameIn(lot, 0x82, "000000aabbccdd00.cells.acme.example", Reasons.NAME_NOT_IN_LOT);
        _expectNameIn(lot, 0x82, "00AABBCCDD00.cells.acme.example", Reasons.BAD_NAME);
        _expectNameIn(lot, 0x82, "cells.acme.example", Reasons.NAME_NOT_IN_LOT);
    }

    function test_27_eui64() external view {
        ICertificateRegistry.NameRange memory lot = _eui(64, 0x0123456789abcdef, 0xfedcba9876543210);
        _expectNameIn(lot, 0x82, "0123456789abcdef.cells.acme.example", Reasons.NONE);
        _expectNameIn(lot, 0x82, "fedcba9876543210.cells.acme.example", Reasons.NONE);
        _expectNameIn(lot, 0x82, "0123456789abcdee.cells.acme.example", Reasons.NAME_NOT_IN_LOT);
        _expectNameIn(lot, 0x82, "fedcba9876543211.cells.acme.example", Reasons.NAME_NOT_IN_LOT);
        _expectNameIn(lot, 0x82, "456789abcdef.cells.acme.example", Reasons.NAME_NOT_IN_LOT);
        lot.bits = 60;
        _expectNameIn(lot, 0x82, "123456789abcdef.cells.acme.example", Reasons.NAME_NOT_IN_LOT);
    }

    function testFuzz_euiIsReadAsWritten(uint48 number, uint48 first, uint48 last) external view {
        bytes memory digits = "0123456789abcdef";
        bytes memory name = new bytes(12);
        for (uint256 i = 0; i < 12; ++i) {
            name[i] = digits[(number >> (4 * (11 - i))) & 0xf];
        }
        bool isInside = number >= first && number <= last;
        name = bytes.concat(name, ".cells.acme.example");
        _expectNameIn(_eui(48, first, last), 0x82, name, isInside ? Reasons.NONE : Reasons.NAME_NOT_IN_LOT);
    }

    function test_28_commonName() external view {
        bytes memory names = bytes.concat(Build.tlv(0x86, "urn:acme:1"), Build.tlv(0x82, "a.cells.acme.example"));
        expectReason(_withNames(names, "a.cells.acme.example"), Reasons.NONE);
        expectReason(_withNames(names, "A.cells.acme.example"), Reasons.COMMON_NAME_NOT_IN_SAN);
        expectReason(_withNames(names, "a.cells.acme.exampl"), Reasons.COMMON_NAME_NOT_IN_SAN);
        expectReason(_withNames(names, "urn:acme:1"), Reasons.COMMON_NAME_NOT_IN_SAN);
        CertificateRules memory rules = smallCellRules();
        rules.profile.requiredExtensions = ProfileBits.EXT_KEY_USAGE;
        Draft memory draft = Build.accepted();
        draft.extensions = Build.usualExtensions();
        expectReason(draft, rules, Reasons.COMMON_NAME_NOT_IN_SAN);
        draft.issuer = Build.name(Build.ORGANISATION, "1", "");
        draft.subject = draft.issuer;
        expectReason(draft, rules, Reasons.NONE);
    }
}
