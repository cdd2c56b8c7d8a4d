// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ICertificateRegistry} from "../interfaces/ICertificateRegistry.sol";
import {IConsortium} from "../interfaces/IConsortium.sol";
import {LedgerTest} from "./LedgerTest.sol";

contract LotsTest is LedgerTest {
    function badLot(ICertificateRegistry.LotTerms memory terms, string memory why) private {
        refused(
            address(registry),
            openLotCall(terms, VENDOR),
            abi.encodeWithSelector(ICertificateRegistry.RegistryBadLot.selector, why)
        );
    }

    function range(ICertificateRegistry.RangeKind kind, uint8 bits, uint64 first, uint64 last, bytes memory value)
        private
        view
        returns (ICertificateRegistry.LotTerms memory terms)
    {
        terms = cellTerms();
        terms.ranges[0] = ICertificateRegistry.NameRange(kind, bits, first, last, value);
    }

    function opens(ICertificateRegistry.LotTerms memory terms) private returns (uint40) {
        return abi.decode(ok(address(registry), openLotCall(terms, VENDOR)), (uint40));
    }

    function closeCall(uint40 lot, uint16 member) private view returns (bytes memory) {
        bytes32 structHash = keccak256(abi.encode(keccak256("CloseLot(uint40 lot,uint64 deadline)"), lot, later()));
        bytes memory signature = sign(keyOf(member, "administrator"), address(registry), structHash);
        return abi.encodeCall(ICertificateRegistry.closeLot, (lot, admin(member), later(), signature));
    }

    function test_open() external {
        ICertificateRegistry.LotTerms memory terms = cellTerms();
        uint40 lot = opens(terms);
        check(keccak256(abi.encode(registry.lotTerms(lot))) == keccak256(abi.encode(terms)), "terms as signed");
        ICertificateRegistry.Lot memory opened = registry.lot(lot);
        check(opened.owner == VENDOR && opened.maximum == 1000 && opened.used == 0 && !opened.closed, "open");
        check(registry.lotCount() == 1, "counted");
    }

    function test_openReplayed() external {
        bytes memory call_ = openLotCall(cellTerms(), VENDOR);
        ok(address(registry), call_);
        refused(
            address(registry),
            call_,
            abi.encodeWithSelector(ICertificateRegistry.RegistryNonceUsed.selector, admin(VENDOR), lastNonce)
        );
    }

    function test_openByAnother() external {
        refused(
            address(registry),
            openLotCall(cellTerms(), OEM),
            abi.encodeWithSelector(ICertificateRegistry.RegistryNotAuthorised.selector, admin(OEM))
        );
    }

    function test_openWithOtherTermsThanSigned() external {
        ICertificateRegistry.LotTerms memory terms = cellTerms();
        bytes memory signed = openLotCall(terms, VENDOR);
        (, address administrator, uint256 number, uint64 deadline, bytes memory signature) =
            abi.decode(afterSelector(signed), (ICertificateRegistry.LotTerms, address, uint256, uint64, bytes));
        terms.maximum = 1_000_000;
        refused(
            address(registry),
            abi.encodeCall(ICertificateRegistry.openLot, (terms, administrator, number, deadline, signature)),
            abi.encodeWithSelector(ICertificateRegistry.RegistryBadSignature.selector, administrator)
        );
    }

    function afterSelector(bytes memory call_) private pure returns (bytes memory rest) {
        rest = new bytes(call_.length - 4);
        for (uint256 i = 0; i < rest.length; ++i) {
            rest[i] = call_[i + 4];
        }
    }

    function test_openLate() external {
        bytes memory call_ = openLotCall(cellTerms(), VENDOR);
        uint64 deadline = later();
        goTo(deadline + 1);
        refused(
            address(registry),
            call_,
            abi.encodeWithSelector(ICertificateRegistry.RegistryDeadlinePassed.selector, deadline)
        );
    }

    function test_terms() external {
        ICertificateRegistry.LotTerms memory terms = cellTerms();
        terms.maximum = 0;
        badLot(terms, "maximum is 0");
        terms = cellTerms();
        terms.closesAt = uint64(now_);
        badLot(terms, "closesAt is past or too far");
        terms.closesAt = 1 << 40;
        badLot(terms, "closesAt is past or too far");
        terms = cellTerms();
        terms.stations = new address[](0);
        badLot(terms, "1 to 8 stations");
        terms.stations = new address[](9);
        badLot(terms, "1 to 8 stations");
        terms.stations = new address[](2);
        terms.stations[0] = terms.stations[1] = station(VENDOR);
        badLot(terms, "a station stands twice");
        terms = cellTerms();
        terms.ranges = new ICertificateRegistry.NameRange[](0);
        badLot(terms, "1 to 8 ranges");
        terms.ranges = new ICertificateRegistry.NameRange[](9);
        badLot(terms, "1 to 8 ranges");
        terms = cellTerms();
        terms.profile = 9;
        refused(
            address(registry),
            openLotCall(terms, VENDOR),
            abi.encodeWithSelector(ICertificateRegistry.RegistryUnknownProfile.selector, 9)
        );
        terms = cellTerms();
        terms.stations = one(accountOf(VENDOR, "endorser"));
        refused(
            address(registry),
            openLotCall(terms, VENDOR),
            abi.encodeWithSelector(ICertificateRegistry.RegistryUnknownStation.selector, terms.stations[0])
        );
    }

    function test_rangesInTheOwnersSpaces() external {
        ICertificateRegistry.RangeKind dns = ICertificateRegistry.RangeKind.Dns;
        ICertificateRegistry.RangeKind urn = ICertificateRegistry.RangeKind.Urn;
        ICertificateRegistry.RangeKind ip = ICertificateRegistry.RangeKind.Ip;
        opens(range(dns, 0, 0, 0, "acme.example"));
        badLot(range(dns, 0, 0, 0, "other.example"), "a range lies outside the owner's name spaces");
        badLot(range(dns, 0, 0, 0, "xacme.example"), "a range lies outside the owner's name spaces");
        badLot(range(dns, 0, 0, 0, "Acme.example"), "a range is not well formed");
        badLot(range(dns, 0, 0, 0, ""), "a range is not well formed");
        badLot(range(dns, 1, 0, 0, "acme.example"), "a range is not well formed");
        badLot(range(dns, 0, 0, 1, "acme.example"), "first and last are of EUI ranges alone");
        opens(range(urn, 0, 0, 0, "urn:acme:cell:"));
        badLot(range(urn, 0, 0, 0, "urn:acme:cell"), "a range is not well formed");
        badLot(range(urn, 0, 0, 0, "urn:other:"), "a range lies outside the owner's name spaces");
        opens(range(ip, 24, 0, 0, hex"0a010f00"));
        badLot(range(ip, 24, 0, 0, hex"0a011000"), "a range lies outside the owner's name spaces");
        badLot(range(ip, 24, 0, 0, hex"0a010f01"), "a range is not well formed");
        badLot(range(ICertificateRegistry.RangeKind.None, 0, 0, 0, "acme.example"), "a range is not well formed");
    }

    function test_euiInTheOwnersAssignment() external {
        ICertificateRegistry.RangeKind eui = ICertificateRegistry.RangeKind.Eui;
        bytes memory realm = "cells.acme.example";
        opens(range(eui, 48, 0x00aabbc00000, 0x00aabbcfffff, realm));
        opens(range(eui, 64, 0x00aabbc000000000, 0x00aabbc000000000, realm));
        string memory outside = "an EUI range lies outside the owner's OUIs";
        badLot(range(eui, 48, 0x00aabbbfffff, 0x00aabbc00001, realm), outside);
        badLot(range(eui, 48, 0x00aabbc00000, 0x00aabbd00000, realm), outside);
        badLot(range(eui, 48, 0x00aabbd00000, 0x00aabbd00001, realm), outside);
        badLot(range(eui, 48, 0, 0xffffffffffff, realm), outside);
        badLot(range(eui, 48, 0x00aabbc00001, 0x00aabbc00000, realm), "a range is not well formed");
        badLot(range(eui, 48, 0x00aabbc00000, 1 << 48, realm), "a range is not well formed");
        badLot(range(eui, 60, 0x00aabbc00000, 0x00aabbc00001, realm), "a range is not well formed");
        badLot(
            range(eui, 48, 0x00aabbc00000, 0x00aabbc00001, "other.example"),
            "a range lies outside the owner's name spaces"
        );
    }

    function test_close() external {
        uint40 lot = openLot();
        refused(
            address(registry),
            closeCall(lot, OEM),
            abi.encodeWithSelector(ICertificateRegistry.RegistryNotAuthorised.selector, admin(OEM))
        );
        refused(
            address(registry),
            closeCall(9, VENDOR),
            abi.encodeWithSelector(ICertificateRegistry.RegistryUnknownLot.selector, 9)
        );
        bytes memory call_ = closeCall(lot, VENDOR);
        ok(address(registry), call_);
        check(registry.lot(lot).closed, "closed");
        refused(address(registry), call_, abi.encodeWithSelector(ICertificateRegistry.RegistryLotClosed.selector, lot));
    }

    /// @notice A lot ends with its owner's rights, and restoring the owner does not open it again.
    function test_endsWhenItsOwnerIsSuspended() external {
        uint40 lot = openLot();
        pass(1);
        suspend(VENDOR);
        check(registry.lot(lot).closed, "closed");
        uint16[] memory voters = three();
        voters[1] = AUTHORITY;
        decide(IConsortium.ProposalKind.Restore, abi.encode(VENDOR), voters);
        check(registry.lot(lot).closed, "for good");
        check(!registry.lot(openLot()).closed, "a new one is open");
    }

    /// @notice Ranges were checked when the lot was opened: a member that loses a name space loses its open lots, also
    /// one that it opens in the very block, so that names given to somebody else are not taken from an old lot.
    function test_endsWithANameSpaceOfItsOwner() external {
        uint40 before = opens(cellTerms());
        pass(60);
        uint40 sameBlock = opens(cellTerms());
        bytes memory content = abi.encode(VENDOR, space(IConsortium.NameKind.Dns, 0, "acme.example"));
        decide(IConsortium.ProposalKind.RemoveNameSpace, content, three());
        check(registry.lot(before).closed && registry.lot(sameBlock).closed, "over");
        check(consortium.memberState(VENDOR) == IConsortium.MemberState.Active, "the member stays as it is");
        bytes memory over = abi.encodeWithSelector(ICertificateRegistry.RegistryLotClosed.selector, sameBlock);
        bytes memory late = submitCall(submission(sameBlock), certificates(0, 1), keyOf(VENDOR, "station"));
        refused(address(registry), late, over);
        pass(1);
        badLot(cellTerms(), "a range lies outside the owner's name spaces");
        ICertificateRegistry.LotTerms memory other = range(ICertificateRegistry.RangeKind.Urn, 0, 0, 0, "urn:acme:");
        check(!registry.lot(opens(other)).closed, "one in what is left can be opened");
    }

    /// @notice A space given, or another member's taken, leaves open lots alone.
    function test_staysWithOtherNameSpaces() external {
        uint40 lot = opens(cellTerms());
        pass(60);
        bytes memory content = abi.encode(OEM, space(IConsortium.NameKind.Dns, 0, "delta.example"));
        decide(IConsortium.ProposalKind.AddNameSpace, content, three());
        decide(IConsortium.ProposalKind.RemoveNameSpace, content, three());
        content = abi.encode(VENDOR, space(IConsortium.NameKind.Dns, 0, "acme.test"));
        decide(IConsortium.ProposalKind.AddNameSpace, content, three());
        check(!registry.lot(lot).closed, "open");
    }
}
