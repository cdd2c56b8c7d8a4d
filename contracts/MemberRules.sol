// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IConsortium} from "./interfaces/IConsortium.sol";
import {ProfileBits} from "./x509/ProfileBits.sol";

/// @title Which names, profiles, electorates and parameters a consortium takes at all
/// @notice Bounds that keep a vote from writing what the registries could not work with.
library MemberRules {
    uint256 internal constant MAXIMUM_NAME_OCTETS = 64; // ub-organization-name, RFC 5280 appendix A
    uint256 internal constant MAXIMUM_SANS = 8;
    uint256 internal constant MAXIMUM_ELECTORATE = 255;

    /// @notice A registered name is 1 to 64 octets of well-formed UTF-8 without control characters.
    function requireName(bytes memory name) external pure {
        if (name.length == 0 || name.length > MAXIMUM_NAME_OCTETS) {
            revert IConsortium.ConsortiumBadMember("the name is empty or longer than 64 octets");
        }
        if (!isText(name)) revert IConsortium.ConsortiumBadMember("the name is not UTF-8 without control characters");
    }

    /// @param content `abi.encode` of a `ProfileSeed`.
    function setProfile(mapping(uint16 id => IConsortium.Profile) storage profiles, bytes calldata content) external {
        IConsortium.ProfileSeed memory seed = abi.decode(content, (IConsortium.ProfileSeed));
        _requireProfile(seed.id, seed.content);
        profiles[seed.id] = seed.content;
        emit IConsortium.ProfileChanged(seed.id, seed.content);
    }

    function _requireProfile(uint16 id, IConsortium.Profile memory profile) private pure {
        bytes memory name = bytes(profile.name);
        if (id == 0) revert IConsortium.ConsortiumBadProfile("0 is no id");
        if (name.length == 0 || name.length > MAXIMUM_NAME_OCTETS || !isText(name)) {
            revert IConsortium.ConsortiumBadProfile("name");
        }
        if (profile.keyAlgorithms == 0 || profile.keyAlgorithms > (ProfileBits.KEY_P256 | ProfileBits.KEY_RSA)) {
            revert IConsortium.ConsortiumBadProfile("keyAlgorithms");
        }
        uint8 signatures = ProfileBits.SIGNATURE_ECDSA_SHA256 | ProfileBits.SIGNATURE_RSA_SHA256;
        if (profile.signatureAlgorithms == 0 || profile.signatureAlgorithms > signatures) {
            revert IConsortium.ConsortiumBadProfile("signatureAlgorithms");
        }
        uint8 types = ProfileBits.SAN_DNS | ProfileBits.SAN_URI | ProfileBits.SAN_IP;
        if (profile.sanTypes == 0 || profile.sanTypes > types) revert IConsortium.ConsortiumBadProfile("sanTypes");
        if (profile.sanMaximum == 0 || profile.sanMaximum > MAXIMUM_SANS) {
            revert IConsortium.ConsortiumBadProfile("sanMaximum");
        }
        if (profile.ekuRequired & ~profile.ekuAllowed != 0) revert IConsortium.ConsortiumBadProfile("ekuRequired");
        if (profile.requiredExtensions > 0xff) revert IConsortium.ConsortiumBadProfile("requiredExtensions");
        if (profile.longestLifeDays == 0 && !profile.endlessAllowed) {
            revert IConsortium.ConsortiumBadProfile("longestLifeDays");
        }
        if (profile.skewSeconds > 1 days) revert IConsortium.ConsortiumBadProfile("skewSeconds");
        if (profile.k < 2) revert IConsortium.ConsortiumBadProfile("k");
        if (profile.windowSeconds == 0 || profile.windowSeconds > 30 days) {
            revert IConsortium.ConsortiumBadProfile("windowSeconds");
        }
    }

    function requireParameters(IConsortium.Parameters memory p) external pure {
        if (p.ageBoundSeconds == 0 || p.cutOffSeconds == 0 || p.cutOffSeconds > 1 days) {
            revert IConsortium.ConsortiumBadParameters("ageBoundSeconds, cutOffSeconds");
        }
        if (p.ageBoundSeconds > p.cutOffSeconds) revert IConsortium.ConsortiumBadParameters("ageBoundSeconds");
        if (p.emergencyHoldHours == 0 || p.emergencyHoldHours > 24 * 30) {
            revert IConsortium.ConsortiumBadParameters("emergencyHoldHours");
        }
        // A member may place another emergency hold once the window is over: never one after the other without end.
        if (uint256(p.governanceWindowSeconds) <= uint256(p.emergencyHoldHours) * 1 hours) {
            revert IConsortium.ConsortiumBadParameters("emergencyHoldHours");
        }
        // A delayed proposal has to become executable before it expires.
        if (p.governanceWindowSeconds > 365 days || p.governanceWindowSeconds <= p.delaySeconds) {
            revert IConsortium.ConsortiumBadParameters("governanceWindowSeconds");
        }
    }

    /// @notice UTF-8 as RFC 3629 §4 has it, without C0 and C1 controls and DEL.
    function isText(bytes memory text) internal pure returns (bool) {
        uint256 i = 0;
        while (i < text.length) {
            uint256 first = uint8(text[i]);
            if (first < 0x80) {
                if (first < 0x20 || first == 0x7f) return false;
                ++i;
                continue;
            }
            uint256 size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
            if (first < 0xc2 || first > 0xf4 || i + size > text.length) return false;
            uint256 point = first & (0xff >> (size + 1));
            for (uint256 j = 1; j < size; ++j) {
                uint256 next = uint8(text[i + j]);
                if (next >> 6 != 2) return false;
                point = (point << 6) | (next & 0x3f);
            }
            if (point < 0xa0 || (size == 3 && point < 0x800) || (size == 4 && point < 0x10000)) return false;
            if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return false;
            i += size;
        }
        return true;
    }
}
