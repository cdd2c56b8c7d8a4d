// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ICertificateRegistry} from "../interfaces/ICertificateRegistry.sol";
import {IConsortium} from "../interfaces/IConsortium.sol";
import {CertificateRules} from "./CertificateRules.sol";
import {DerReader} from "./DerReader.sol";
import {DistinguishedName} from "./DistinguishedName.sol";
import {ProfileBits} from "./ProfileBits.sol";

/// @notice One range of the lot; its value lies in calldata.
struct Range {
    ICertificateRegistry.RangeKind kind;
    uint256 bits;
    uint256 first;
    uint256 last;
    uint256 value;
    uint256 length;
}

/// @notice The rules of a batch, made ready once: reading nested calldata for every entry costs more than its checks.
/// @param sanTags the allowed types of names: bit i for the context-specific tag i
/// @param organisation where the text that O must equal lies in calldata
/// @param organisationIsUtf8 whether that text is a proper UTF8String; then an equal O needs no look at its characters
struct Policy {
    bool caIssued;
    bool endlessAllowed;
    bool ekuMayBeAbsent;
    uint256 keyAlgorithms;
    uint256 signatureAlgorithms;
    uint256 sanTags;
    uint256 sanMaximum;
    uint256 ekuRequired;
    uint256 ekuAllowed;
    uint256 requiredExtensions;
    uint256 longestLife;
    uint256 latestNotBefore;
    uint256 blockTime;
    uint256 organisation;
    uint256 organisationLength;
    bool organisationIsUtf8;
    bool organisationIsPrintable;
    Range[] ranges;
    address trustList;
}

/// @title Makes the rules of a batch ready
library CertificatePolicy {
    /// @dev However many names a profile allows, more than this are never read.
    uint256 internal constant MOST_NAMES = 8;

    function load(CertificateRules calldata rules) internal pure returns (Policy memory policy) {
        IConsortium.Profile calldata profile = rules.profile;
        policy.caIssued = profile.caIssued;
        policy.endlessAllowed = profile.endlessAllowed;
        policy.ekuMayBeAbsent = profile.ekuMayBeAbsent;
        policy.keyAlgorithms = profile.keyAlgorithms;
        policy.signatureAlgorithms = profile.signatureAlgorithms;
        policy.sanTags = _tags(profile.sanTypes);
        policy.sanMaximum = profile.sanMaximum < MOST_NAMES ? profile.sanMaximum : MOST_NAMES;
        policy.ekuRequired = profile.ekuRequired;
        policy.ekuAllowed = profile.ekuAllowed;
        policy.requiredExtensions = profile.requiredExtensions;
        policy.longestLife = uint256(profile.longestLifeDays) * 1 days;
        policy.latestNotBefore = uint256(rules.blockTime) + profile.skewSeconds;
        policy.blockTime = rules.blockTime;
        policy.trustList = rules.trustList;
        (uint256 start, uint256 end) = _place(rules.organisation);
        policy.organisation = start;
        policy.organisationLength = end - start;
        policy.organisationIsUtf8 = DistinguishedName.isText(DerReader.UTF8_STRING, start, end);
        policy.organisationIsPrintable = DistinguishedName.isText(DerReader.PRINTABLE_STRING, start, end);
        policy.ranges = new Range[](rules.ranges.length);
        for (uint256 i = 0; i < policy.ranges.length; ++i) {
            ICertificateRegistry.NameRange calldata source = rules.ranges[i];
            Range memory range = policy.ranges[i];
            range.kind = source.kind;
            range.bits = source.bits;
            range.first = source.first;
            range.last = source.last;
            (start, end) = _place(source.value);
            range.value = start;
            range.length = end - start;
        }
    }

    /// @dev GeneralName has dNSName [2], uniformResourceIdentifier [6], iPAddress [7]. Source: RFC 5280 §4.2.1.6
    function _tags(uint256 sanTypes) private pure returns (uint256 tags) {
        if (sanTypes & ProfileBits.SAN_DNS != 0) tags |= 1 << 2;
        if (sanTypes & ProfileBits.SAN_URI != 0) tags |= 1 << 6;
        if (sanTypes & ProfileBits.SAN_IP != 0) tags |= 1 << 7;
    }

    function _place(bytes calldata text) private pure returns (uint256 start, uint256 end) {
        assembly ("memory-safe") {
            start := text.offset
            end := add(start, text.length)
        }
    }
}
