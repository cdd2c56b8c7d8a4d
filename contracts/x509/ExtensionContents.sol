// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {both} from "./Branchless.sol";
import {CharacterSet} from "./CharacterSet.sol";
import {DerReader} from "./DerReader.sol";
import {ExtensionList, Extensions} from "./Extensions.sol";
import {ProfileBits} from "./ProfileBits.sol";

/// @notice What the contents of the known extensions say.
/// @param isAuthority basicConstraints with cA TRUE
/// @param keyUsage bits of keyUsage, digitalSignature the most significant of nine
/// @param purposes EKU bits of ProfileBits, and TOO_MANY_PURPOSES
/// @param others while purposes are read: identities of those that we do not know
struct ExtensionFacts {
    bool isAuthority;
    uint256 keyUsage;
    uint256 purposes;
    bytes32[16] others;
}

/// @title Contents of the known extensions, each a strict form of what RFC 5280 §4.2 allows
library ExtensionContents {
    uint256 internal constant DIGITAL_SIGNATURE = 0x100;
    uint256 internal constant KEY_CERT_SIGN = 0x008;
    uint256 internal constant CRL_SIGN = 0x004;

    /// @dev Above this many purposes that we do not know no profile is met: it bounds the search for repeated ones.
    uint256 private constant MOST_OTHER_PURPOSES = 16;
    uint256 internal constant TOO_MANY_PURPOSES = 1 << 16;

    /// @dev 06 08 and 1.3.6.1.5.5.7.3.0; and by the last arc, from the left, the octets that are EKU bits.
    uint256 private constant PURPOSE = 0x06082b06010505070300;
    uint256 private constant KNOWN_PURPOSES = 0x0001020000000000000000000000000000040000000000000000000000000000;

    uint256 private constant LESS_USUAL = ProfileBits.EXT_BASIC_CONSTRAINTS | ProfileBits.EXT_CRL_DISTRIBUTION_POINTS
        | ProfileBits.EXT_AUTHORITY_INFO_ACCESS;

    /// @dev Octets before the key identifier in a well formed SKI, and AKI.
    uint256 internal constant SKI_HEAD = 2;
    uint256 internal constant AKI_HEAD = 4;

    uint256 private constant LONGEST_KEY_IDENTIFIER = 32;
    uint256 private constant LONGEST_URI = 255;

    /// @notice Reads all known extensions that are present.
    /// @return whether all are well formed (reason 20 where not)
    function read(Extensions memory list, ExtensionFacts memory facts) internal pure returns (bool) {
        facts.isAuthority = false;
        facts.keyUsage = 0;
        facts.purposes = 0;
        uint256 present = list.present;
        if (present & ProfileBits.EXT_SUBJECT_KEY_IDENTIFIER != 0) {
            (uint256 start, uint256 end) = ExtensionList.place(list, ExtensionList.SUBJECT_KEY_IDENTIFIER);
            if (!_isSubjectKeyIdentifier(start, end)) return false;
        }
        if (present & ProfileBits.EXT_KEY_USAGE != 0) {
            (uint256 start, uint256 end) = ExtensionList.place(list, ExtensionList.KEY_USAGE);
            uint256 usage = _readKeyUsage(start, end);
            if (usage == 0) return false;
            facts.keyUsage = usage;
        }
        if (present & ProfileBits.EXT_AUTHORITY_KEY_IDENTIFIER != 0) {
            (uint256 start, uint256 end) = ExtensionList.place(list, ExtensionList.AUTHORITY_KEY_IDENTIFIER);
            if (!_isAuthorityKeyIdentifier(start, end)) return false;
        }
        if (present & ProfileBits.EXT_EXTENDED_KEY_USAGE != 0) {
            (uint256 start, uint256 end) = ExtensionList.place(list, ExtensionList.EXTENDED_KEY_USAGE);
            uint256 purposes = _readUsualPurposes(start, end);
            if (purposes == 0) purposes = _readExtendedKeyUsage(facts, start, end);
            if (purposes == 0) return false;
            facts.purposes = purposes;
        }
        return present & LESS_USUAL == 0 || _readLessUsual(list, facts, present);
    }

    function _readLessUsual(Extensions memory list, ExtensionFacts memory facts, uint256 present)
        private
        pure
        returns (bool isWellFormed)
    {
        if (present & ProfileBits.EXT_BASIC_CONSTRAINTS != 0) {
            (uint256 start, uint256 end) = ExtensionList.place(list, ExtensionList.BASIC_CONSTRAINTS);
            (isWellFormed, facts.isAuthority) = _readBasicConstraints(start, end);
            if (!isWellFormed) return false;
        }
        if (present & ProfileBits.EXT_CRL_DISTRIBUTION_POINTS != 0) {
            (uint256 start, uint256 end) = ExtensionList.place(list, ExtensionList.CRL_DISTRIBUTION_POINTS);
            if (!_isCrlDistributionPoints(start, end)) return false;
        }
        if (present & ProfileBits.EXT_AUTHORITY_INFO_ACCESS != 0) {
            (uint256 start, uint256 end) = ExtensionList.place(list, ExtensionList.AUTHORITY_INFO_ACCESS);
            if (!_isAuthorityInfoAccess(start, end)) return false;
        }
        return true;
    }

    /// @dev KeyIdentifier of 1 to 32 octets: 04 n. Source: RFC 5280 §4.2.1.2
    function _isSubjectKeyIdentifier(uint256 start, uint256 end) private pure returns (bool) {
        unchecked {
            uint256 length = end - start - 2;
            return both(length - 1 < LONGEST_KEY_IDENTIFIER, DerReader.word(start) >> 240 == 0x0400 + length);
        }
    }

    /// @dev keyIdentifier alone, of 1 to 32 octets: 30 (n+2) 80 n. A self-signed certificate has no issuer and serial to
    /// name. Source: RFC 5280 §4.2.1.1
    function _isAuthorityKeyIdentifier(uint256 start, uint256 end) private pure returns (bool) {
        unchecked {
            uint256 length = end - start - 4;
            bool isUsual = DerReader.word(start) >> 224 == 0x30028000 + 0x10001 * length;
            return both(isUsual, length - 1 < LONGEST_KEY_IDENTIFIER);
        }
    }

    /// @dev A named bit list without trailing zero bits; nine bits exist. Sources: RFC 5280 §4.2.1.3, X.690 §11.2
    /// @return usage 0 where it is not well formed
    function _readKeyUsage(uint256 start, uint256 end) private pure returns (uint256 usage) {
        unchecked {
            uint256 head = DerReader.word(start);
            uint256 unused = (head >> 232) & 0xff;
            if (both(end - start == 4, head >> 240 == 0x0302)) {
                // One octet: the last bit in use is set, and none behind it.
                uint256 octet = (head >> 224) & 0xff;
                return both(unused < 8, octet & ((2 << unused) - 1) == 1 << unused) ? octet << 1 : 0;
            }
            // Two: the second holds decipherOnly and no other bit.
            if (end - start != 5 || head >> 232 != 0x030307 || (head >> 216) & 0xff != 0x80) return 0;
            return (head >> 223) & 0x1ff;
        }
    }

    /// @dev Source: RFC 5280 §4.2.1.9
    function _readBasicConstraints(uint256 start, uint256 end) private pure returns (bool, bool isAuthority) {
        unchecked {
            if (end - start == 2) return (DerReader.word(start) >> 240 == 0x3000, false); // as nearly all have it
        }
        uint256 last;
        (start, last) = DerReader.read(DerReader.SEQUENCE, start, end);
        if (last != end) return (false, false);
        if (DerReader.word(start) >> 232 != 0x0101ff) return (false, false);
        unchecked {
            start += 3;
        }
        if (start == end) return (true, true);
        (start, last) = DerReader.read(DerReader.INTEGER, start, end);
        return (last == end && DerReader.isInteger(start, end) && DerReader.octet(start) < 0x80, true);
    }

    /// @dev DistributionPoints with a fullName of URIs and nothing else. Source: RFC 5280 §4.2.1.13
    function _isCrlDistributionPoints(uint256 start, uint256 end) private pure returns (bool) {
        uint256 last;
        (start, last) = DerReader.read(DerReader.SEQUENCE, start, end);
        if (last != end || start == end) return false;
        while (start < end) {
            uint256 cursor;
            (cursor, start) = DerReader.read(DerReader.SEQUENCE, start, end);
            (cursor, last) = DerReader.read(0xa0, cursor, start);
            if (last != start) return false;
            (cursor, last) = DerReader.read(0xa0, cursor, start);
            if (last != start || cursor == start) return false;
            while (cursor < start) {
                cursor = _readUri(cursor, start);
            }
            if (cursor != start) return false;
        }
        return start == end;
    }

    /// @dev AccessDescriptions with a URI each. Source: RFC 5280 §4.2.2.1
    function _isAuthorityInfoAccess(uint256 start, uint256 end) private pure returns (bool) {
        uint256 last;
        (start, last) = DerReader.read(DerReader.SEQUENCE, start, end);
        if (last != end || start == end) return false;
        while (start < end) {
            uint256 method;
            uint256 cursor;
            (cursor, start) = DerReader.read(DerReader.SEQUENCE, start, end);
            (method, cursor) = DerReader.read(DerReader.OBJECT_IDENTIFIER, cursor, start);
            if (!DerReader.isObjectIdentifier(method, cursor) || _readUri(cursor, start) != start) return false;
        }
        return start == end;
    }

    function _readUri(uint256 position, uint256 limit) private pure returns (uint256 end) {
        uint256 start;
        (start, end) = DerReader.read(0x86, position, limit);
        unchecked {
            if (start == end || end - start > LONGEST_URI || !CharacterSet.isVisible(start, end)) {
                return DerReader.NOWHERE;
            }
        }
    }

    /// @dev Purposes of 1.3.6.1.5.5.7.3 that we know, none twice, as nearly all devices have them.
    /// @return purposes 0 for any other value
    function _readUsualPurposes(uint256 start, uint256 end) private pure returns (uint256 purposes) {
        assembly ("memory-safe") {
            let fault := xor(shr(240, calldataload(start)), add(0x3000, sub(sub(end, start), 2)))
            let position := add(start, 2)
            for {} iszero(or(fault, iszero(lt(position, end)))) { position := add(position, 10) } {
                let element := shr(176, calldataload(position))
                let bit := byte(and(element, 0xff), KNOWN_PURPOSES)
                fault := or(xor(and(element, not(0xff)), PURPOSE), or(iszero(bit), and(purposes, bit)))
                purposes := or(purposes, bit)
            }
            purposes := mul(purposes, iszero(or(fault, xor(position, end))))
        }
    }

    /// @dev KeyPurposeIds, none twice. Source: RFC 5280 §4.2.1.12
    /// @return purposes 0 where it is not well formed
    function _readExtendedKeyUsage(ExtensionFacts memory facts, uint256 start, uint256 end)
        private
        pure
        returns (uint256 purposes)
    {
        uint256 last;
        (start, last) = DerReader.read(DerReader.SEQUENCE, start, end);
        if (last != end) return 0;
        uint256 otherCount;
        while (start < end) {
            uint256 content;
            (content, start) = DerReader.read(DerReader.OBJECT_IDENTIFIER, start, end);
            uint256 purpose = _purpose(content, start);
            if (purpose != ProfileBits.EKU_OTHER) {
                if (purposes & purpose != 0) return 0;
            } else if (!DerReader.isObjectIdentifier(content, start)) {
                return 0;
            } else if (otherCount == MOST_OTHER_PURPOSES) {
                purpose |= TOO_MANY_PURPOSES;
            } else {
                bytes32 identity = DerReader.hash(content, start);
                for (uint256 i = 0; i < otherCount; ++i) {
                    if (facts.others[i] == identity) return 0;
                }
                facts.others[otherCount++] = identity;
            }
            purposes |= purpose;
        }
    }

    function _purpose(uint256 start, uint256 end) private pure returns (uint256) {
        unchecked {
            uint256 head = DerReader.word(start);
            if (both(end - start == 8, head >> 200 == 0x2b060105050703)) {
                uint256 arc = (head >> 192) & 0xff;
                if (arc == 1) return ProfileBits.EKU_SERVER_AUTH;
                if (arc == 2) return ProfileBits.EKU_CLIENT_AUTH;
                if (arc == 17) return ProfileBits.EKU_IPSEC_IKE;
            } else if (end - start == 4 && head >> 224 == 0x551d2500) {
                return ProfileBits.EKU_ANY;
            }
            return ProfileBits.EKU_OTHER;
        }
    }
}
