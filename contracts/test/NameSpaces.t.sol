// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {NameSpaces} from "../NameSpaces.sol";
import {MemberRules} from "../MemberRules.sol";
import {IConsortium} from "../interfaces/IConsortium.sol";
import {LedgerTest} from "./LedgerTest.sol";

contract NameSpacesTest is LedgerTest {
    using NameSpaces for NameSpaces.Register;

    NameSpaces.Register private spaces;
    IConsortium.NameKind private constant DNS = IConsortium.NameKind.Dns;
    IConsortium.NameKind private constant URN = IConsortium.NameKind.Urn;
    IConsortium.NameKind private constant OUI = IConsortium.NameKind.Oui;
    IConsortium.NameKind private constant IP = IConsortium.NameKind.Ip;

    function setUp() public override {}

    function add(uint16 member, IConsortium.NameKind kind, uint8 bits, bytes memory value) public {
        spaces.add(member, space(kind, bits, value), 4);
    }

    function takes(uint16 member, IConsortium.NameKind kind, uint8 bits, bytes memory value) private {
        ok(address(this), abi.encodeCall(this.add, (member, kind, bits, value)));
    }

    function overlaps(uint16 member, IConsortium.NameKind kind, uint8 bits, bytes memory value) private {
        refusedFor(member, kind, bits, value, "overlaps a name space that is given already");
    }

    function malformed(IConsortium.NameKind kind, uint8 bits, bytes memory value) private {
        refusedFor(1, kind, bits, value, "not well formed");
    }

    function refusedFor(uint16 member, IConsortium.NameKind kind, uint8 bits, bytes memory value, string memory why)
        private
    {
        refused(
            address(this),
            abi.encodeCall(this.add, (member, kind, bits, value)),
            abi.encodeWithSelector(IConsortium.ConsortiumBadNameSpace.selector, why)
        );
    }

    function isIn(uint16 member, IConsortium.NameKind kind, bytes memory value, uint8 bits)
        private
        view
        returns (bool)
    {
        return spaces.contains(member, kind, value, bits);
    }

    function test_dnsOnWholeLabels() external {
        takes(1, DNS, 0, "cells.acme.example");
        check(isIn(1, DNS, "cells.acme.example", 0), "itself");
        check(isIn(1, DNS, "a.b.cells.acme.example", 0), "below");
        check(!isIn(1, DNS, "xcells.acme.example", 0), "not a whole label");
        check(!isIn(1, DNS, "acme.example", 0), "above");
        check(!isIn(2, DNS, "cells.acme.example", 0), "of another");
        overlaps(2, DNS, 0, "cells.acme.example");
        overlaps(2, DNS, 0, "x.cells.acme.example");
        overlaps(2, DNS, 0, "acme.example");
        takes(2, DNS, 0, "xcells.acme.example");
        overlaps(1, DNS, 0, "cells.acme.example");
        takes(1, DNS, 0, "sub.cells.acme.example");
    }

    function test_dnsForm() external {
        malformed(DNS, 0, "");
        malformed(DNS, 0, "example");
        malformed(DNS, 0, ".acme.example");
        malformed(DNS, 0, "acme.example.");
        malformed(DNS, 0, "acme..example");
        malformed(DNS, 0, "Acme.example");
        malformed(DNS, 0, "*.acme.example");
        malformed(DNS, 0, "-acme.example");
        malformed(DNS, 0, "acme-.example");
        malformed(DNS, 0, "acme_1.example");
        malformed(DNS, 1, "acme.example");
        malformed(DNS, 0, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example");
        takes(1, DNS, 0, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example");
        takes(1, DNS, 0, "xn--acme-1.example");
        malformed(IConsortium.NameKind.None, 0, "acme.example");
    }

    function test_urn() external {
        takes(1, URN, 0, "urn:acme:");
        check(isIn(1, URN, "urn:acme:cell:1", 0), "below");
        check(!isIn(1, URN, "urn:acmes:cell:1", 0), "another prefix");
        overlaps(2, URN, 0, "urn:acme:cell:");
        malformed(URN, 0, "urn:acme");
        malformed(URN, 0, "urn::");
        malformed(URN, 0, "urx:acme:");
        malformed(URN, 0, "urn:ac me:");
        takes(2, URN, 0, "urn:acmes:");
    }

    /// @notice To RFC 8141 `urn:ACME:` is `urn:acme:`, so only one of them can be given; what follows has its case.
    function test_urnIdentifierOfLowerCase() external {
        takes(1, URN, 0, "urn:acme:Cells_1.a-b:");
        malformed(URN, 0, "urn:ACME:");
        malformed(URN, 0, "urn:acmE:x:");
        malformed(URN, 0, "URN:acme:");
        takes(2, URN, 0, "urn:acme:cells_1.a-b:");
    }

    function test_urnForm() external {
        takes(1, URN, 0, "urn:a1:");
        takes(1, URN, 0, "urn:abcdefghij-klmnopqrst-uvwxyz-012:");
        malformed(URN, 0, "urn:abcdefghij-klmnopqrst-uvwxyz-0123:");
        malformed(URN, 0, "urn:a:");
        malformed(URN, 0, "urn:-a:");
        malformed(URN, 0, "urn:a-:");
        malformed(URN, 0, "urn:a.b:");
        malformed(URN, 0, "urn:acme:%31:");
        malformed(URN, 0, "urn:acme:?x:");
        malformed(URN, 0, "urn:acme:a/b:");
    }

    function test_oui() external {
        takes(1, OUI, 28, hex"00aabbc0");
        check(isIn(1, OUI, hex"00aabbc0", 28), "itself");
        check(isIn(1, OUI, hex"00aabbcf10", 36), "a smaller one within");
        check(!isIn(1, OUI, hex"00aabb", 24), "the larger one around");
        check(!isIn(1, OUI, hex"00aabbd0", 28), "the next one");
        overlaps(2, OUI, 24, hex"00aabb");
        overlaps(2, OUI, 36, hex"00aabbcf10");
        takes(2, OUI, 28, hex"00aabbd0");
        malformed(OUI, 24, hex"00aabbcc");
        malformed(OUI, 28, hex"00aabbc1");
        malformed(OUI, 36, hex"00aabbcf11");
        malformed(OUI, 25, hex"00aabbc0");
    }

    function test_ip() external {
        takes(1, IP, 20, hex"0a010000");
        check(isIn(1, IP, hex"0a010f00", 24), "within");
        check(!isIn(1, IP, hex"0a011000", 24), "beside");
        check(!isIn(1, IP, hex"0a010000000000000000000000000000", 128), "another family");
        overlaps(2, IP, 8, hex"0a000000");
        overlaps(2, IP, 32, hex"0a010fff");
        takes(2, IP, 20, hex"0a011000");
        takes(2, IP, 33, hex"20010db8800000000000000000000000");
        malformed(IP, 0, hex"00000000");
        malformed(IP, 33, hex"0a010000");
        malformed(IP, 20, hex"0a010800");
        malformed(IP, 16, hex"0a0100");
    }

    function remove(uint16 member, IConsortium.NameSpace calldata gone) external {
        spaces.remove(member, gone);
    }

    function test_remove() external {
        takes(1, DNS, 0, "a.example");
        takes(1, DNS, 0, "b.example");
        bytes memory call_ = abi.encodeCall(this.remove, (1, space(DNS, 0, "a.example")));
        ok(address(this), call_);
        check(!isIn(1, DNS, "a.example", 0) && isIn(1, DNS, "b.example", 0), "that one alone");
        refused(
            address(this),
            call_,
            abi.encodeWithSelector(IConsortium.ConsortiumBadNameSpace.selector, "the member has no such name space")
        );
        takes(2, DNS, 0, "a.example");
    }

    /// @notice ::ffff:10.1.0.0 is 10.1.0.0 to some: a space of IPv6 does not reach into those of IPv4.
    function test_ipv4MappedAddresses() external {
        takes(1, IP, 16, hex"0a010000");
        malformed(IP, 112, hex"00000000000000000000ffff0a010000");
        malformed(IP, 96, hex"00000000000000000000ffff00000000");
        malformed(IP, 8, hex"00000000000000000000000000000000");
        malformed(IP, 1, hex"00000000000000000000000000000000");
        takes(2, IP, 3, hex"20000000000000000000000000000000");
        takes(2, IP, 16, hex"00010000");
    }

    function test_bounded() external {
        for (uint256 i = 0; i < NameSpaces.MAXIMUM_OF_MEMBER; ++i) {
            takes(1, URN, 0, abi.encodePacked("urn:acme", bytes1(uint8(0x61 + i % 16)), i < 16 ? "" : "a", ":"));
        }
        refusedFor(1, URN, 0, "urn:other:", "too many name spaces");
    }

    /// @notice What one vote adds and another takes away, through the consortium.
    function testFuzz_ipPrefix(bytes4 value, uint8 bits) external pure {
        bits = uint8(1 + bits % 32);
        bytes4 masked = value & bytes4(type(uint32).max << (32 - bits));
        check(NameSpaces.isIpPrefix(abi.encodePacked(masked), bits), "masked");
        check(NameSpaces.isIpPrefix(abi.encodePacked(value), bits) == (value == masked), "with bits beyond");
    }

    function test_text() external pure {
        check(MemberRules.isText("Acme Cells Ltd"), "ASCII");
        check(MemberRules.isText(hex"4772c3b6c39f6520e282acf09f9880"), "two, three and four octets");
        check(!MemberRules.isText(hex"00"), "NUL");
        check(!MemberRules.isText(hex"7f"), "DEL");
        check(!MemberRules.isText(hex"c285"), "C1");
        check(!MemberRules.isText(hex"c080"), "overlong");
        check(!MemberRules.isText(hex"e08080"), "overlong, three");
        check(!MemberRules.isText(hex"f0808080"), "overlong, four");
        check(!MemberRules.isText(hex"eda080"), "surrogate");
        check(!MemberRules.isText(hex"f4908080"), "above U+10FFFF");
        check(!MemberRules.isText(hex"e282"), "cut off");
        check(!MemberRules.isText(hex"80"), "a continuation first");
        check(!MemberRules.isText(hex"c341"), "no continuation");
    }
}
