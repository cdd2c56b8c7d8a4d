// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {NameSpaces} from "./NameSpaces.sol";
import {ICertificateRegistry} from "./interfaces/ICertificateRegistry.sol";
import {IConsortium} from "./interfaces/IConsortium.sol";

/// @notice What is kept of a lot.
/// @param used Certificates that got a slot.
struct LotRecord {
    ICertificateRegistry.LotTerms terms;
    uint32 used;
    uint40 openedAt;
    bool closed;
}

/// @title Which lots may be opened
/// @notice All ranges lie in name spaces of the owner, so that a submission need not look at name spaces again.
library LotRules {
    uint256 private constant MAXIMUM_RANGES = 8;
    uint256 private constant MAXIMUM_STATIONS = 8;

    function hashTerms(ICertificateRegistry.LotTerms calldata terms) external pure returns (bytes32) {
        return keccak256(abi.encode(terms));
    }

    /// @notice Records a lot. Reverts with `RegistryBadLot` unless the terms may be opened now.
    function open(
        LotRecord storage lot,
        IConsortium consortium,
        ICertificateRegistry.LotTerms calldata terms,
        uint40 id,
        address by
    ) external {
        _requireTerms(consortium, terms);
        lot.terms = terms;
        lot.openedAt = uint40(block.timestamp);
        emit ICertificateRegistry.LotOpened(id, terms.owner, by, terms);
    }

    function _requireTerms(IConsortium consortium, ICertificateRegistry.LotTerms calldata terms) private view {
        IConsortium.Profile memory profile = consortium.profile(terms.profile);
        if (!profile.active) revert ICertificateRegistry.RegistryUnknownProfile(terms.profile);
        if (terms.maximum == 0) revert ICertificateRegistry.RegistryBadLot("maximum is 0");
        if (terms.closesAt <= block.timestamp || terms.closesAt > type(uint40).max) {
            revert ICertificateRegistry.RegistryBadLot("closesAt is past or too far");
        }
        _requireStations(consortium, terms.stations);
        uint256 count = terms.ranges.length;
        if (count == 0 || count > MAXIMUM_RANGES) revert ICertificateRegistry.RegistryBadLot("1 to 8 ranges");
        for (uint256 i = 0; i < count; ++i) {
            _requireRange(consortium, terms.owner, terms.ranges[i]);
        }
    }

    function _requireStations(IConsortium consortium, address[] calldata stations) private view {
        if (stations.length == 0 || stations.length > MAXIMUM_STATIONS) {
            revert ICertificateRegistry.RegistryBadLot("1 to 8 stations");
        }
        for (uint256 i = 0; i < stations.length; ++i) {
            if (consortium.actingMember(stations[i], IConsortium.Role.Station) == 0) {
                revert ICertificateRegistry.RegistryUnknownStation(stations[i]);
            }
            for (uint256 j = 0; j < i; ++j) {
                if (stations[j] == stations[i]) revert ICertificateRegistry.RegistryBadLot("a station stands twice");
            }
        }
    }

    function _requireRange(IConsortium consortium, uint16 owner, ICertificateRegistry.NameRange calldata range)
        private
        view
    {
        bool isEui = range.kind == ICertificateRegistry.RangeKind.Eui;
        if (!isEui && (range.first != 0 || range.last != 0)) {
            revert ICertificateRegistry.RegistryBadLot("first and last are of EUI ranges alone");
        }
        IConsortium.NameKind kind = IConsortium.NameKind.None;
        bool formed = false;
        if (range.kind == ICertificateRegistry.RangeKind.Dns) {
            kind = IConsortium.NameKind.Dns;
            formed = range.bits == 0 && NameSpaces.isDnsSuffix(range.value);
        } else if (range.kind == ICertificateRegistry.RangeKind.Urn) {
            kind = IConsortium.NameKind.Urn;
            formed = range.bits == 0 && NameSpaces.isUrnPrefix(range.value);
        } else if (range.kind == ICertificateRegistry.RangeKind.Ip) {
            kind = IConsortium.NameKind.Ip;
            formed = NameSpaces.isIpPrefix(range.value, range.bits);
        } else if (isEui) {
            kind = IConsortium.NameKind.Dns;
            formed = (range.bits == 48 || range.bits == 64) && range.first <= range.last
                && (range.bits == 64 || range.last >> 48 == 0) && NameSpaces.isDnsSuffix(range.value);
        }
        if (!formed) revert ICertificateRegistry.RegistryBadLot("a range is not well formed");
        uint8 bits = kind == IConsortium.NameKind.Ip ? range.bits : 0;
        if (!consortium.isInSpace(owner, kind, range.value, bits)) {
            revert ICertificateRegistry.RegistryBadLot("a range lies outside the owner's name spaces");
        }
        if (isEui && !_isInOui(consortium, owner, range)) {
            revert ICertificateRegistry.RegistryBadLot("an EUI range lies outside the owner's OUIs");
        }
    }

    /// @dev One assignment of the owner must cover first and last, and so everything between them.
    function _isInOui(IConsortium consortium, uint16 owner, ICertificateRegistry.NameRange calldata range)
        private
        view
        returns (bool)
    {
        uint8[3] memory sizes = [24, 28, 36];
        for (uint256 i = 0; i < sizes.length; ++i) {
            uint256 rest = range.bits - sizes[i];
            uint256 prefix = range.first >> rest;
            if (range.last >> rest != prefix) return false;
            bytes5 oui = bytes5(uint40(prefix << (40 - sizes[i])));
            bytes memory value = new bytes(3 + i);
            for (uint256 j = 0; j < value.length; ++j) {
                value[j] = oui[j];
            }
            if (consortium.isInSpace(owner, IConsortium.NameKind.Oui, value, sizes[i])) return true;
        }
        return false;
    }
}
