// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IConsortium} from "./interfaces/IConsortium.sol";

/// @title Name spaces: their form, and which lies inside which
/// @notice A space of one member never overlaps one of another. That a dns space is no public suffix is checked by the
/// voters, off chain.
library NameSpaces {
    uint256 internal constant MAXIMUM_OF_MEMBER = 32;
    uint256 internal constant MAXIMUM_OCTETS = 253;

    /// @param count Of all members together.
    struct Register {
        mapping(uint16 member => IConsortium.NameSpace[]) ofMember;
        uint256 count;
    }

    // Letters, digits and . : _ - as in the URNs of certificates (reason 26).
    uint256 private constant URN_CHARACTERS = 0x7fffffe87fffffe07ff600000000000;

    // Searched as a whole at every addition, which has to fit one transaction.
    uint256 private constant MAXIMUM_OF_ALL = 2048;

    function add(Register storage register, uint16 member, IConsortium.NameSpace memory space, uint16 memberCount)
        external
    {
        requireWellFormed(space.kind, space.value, space.bits);
        for (uint256 id = 1; id <= memberCount; ++id) {
            IConsortium.NameSpace[] storage others = register.ofMember[uint16(id)];
            uint256 length = others.length;
            for (uint256 i = 0; i < length; ++i) {
                if (others[i].kind != space.kind) continue;
                IConsortium.NameSpace memory other = others[i];
                bool inside = isInside(space, other);
                bool around = isInside(other, space);
                if (id == member ? inside && around : inside || around) {
                    revert IConsortium.ConsortiumBadNameSpace("overlaps a name space that is given already");
                }
            }
        }
        if (register.ofMember[member].length >= MAXIMUM_OF_MEMBER || register.count >= MAXIMUM_OF_ALL) {
            revert IConsortium.ConsortiumBadNameSpace("too many name spaces");
        }
        register.ofMember[member].push(space);
        ++register.count;
    }

    function remove(Register storage register, uint16 member, IConsortium.NameSpace memory space) external {
        IConsortium.NameSpace[] storage own = register.ofMember[member];
        bytes32 wanted = keccak256(abi.encode(space));
        for (uint256 i = 0; i < own.length; ++i) {
            if (keccak256(abi.encode(own[i])) != wanted) continue;
            own[i] = own[own.length - 1];
            own.pop();
            --register.count;
            return;
        }
        revert IConsortium.ConsortiumBadNameSpace("the member has no such name space");
    }

    /// @return Whether the name lies wholly in a space of that member. A malformed name lies in none.
    function contains(
        Register storage register,
        uint16 member,
        IConsortium.NameKind kind,
        bytes memory value,
        uint8 bits
    ) external view returns (bool) {
        IConsortium.NameSpace memory name = IConsortium.NameSpace(kind, bits, value);
        IConsortium.NameSpace[] storage own = register.ofMember[member];
        for (uint256 i = 0; i < own.length; ++i) {
            if (own[i].kind == kind && isInside(name, own[i])) return true;
        }
        return false;
    }

    /// @notice Whether `name` equals or lies inside `space`, both of one kind.
    function isInside(IConsortium.NameSpace memory name, IConsortium.NameSpace memory space)
        internal
        pure
        returns (bool)
    {
        bytes memory inner = name.value;
        bytes memory outer = space.value;
        if (name.kind == IConsortium.NameKind.Dns) return endsWithLabels(inner, outer);
        if (name.kind == IConsortium.NameKind.Urn) {
            return inner.length >= outer.length && hasPrefix(inner, outer, outer.length * 8);
        }
        if (name.kind == IConsortium.NameKind.Ip && inner.length != outer.length) return false;
        return name.bits >= space.bits && inner.length * 8 >= space.bits && hasPrefix(inner, outer, space.bits);
    }

    function endsWithLabels(bytes memory name, bytes memory suffix) internal pure returns (bool) {
        if (name.length < suffix.length) return false;
        uint256 offset = name.length - suffix.length;
        if (offset != 0 && name[offset - 1] != ".") return false;
        for (uint256 i = 0; i < suffix.length; ++i) {
            if (name[offset + i] != suffix[i]) return false;
        }
        return true;
    }

    /// @dev Both must have that many bits.
    function hasPrefix(bytes memory value, bytes memory prefix, uint256 bits) internal pure returns (bool) {
        for (uint256 i = 0; i < bits / 8; ++i) {
            if (value[i] != prefix[i]) return false;
        }
        uint256 rest = bits % 8;
        if (rest == 0) return true;
        return uint8(value[bits / 8] ^ prefix[bits / 8]) >> (8 - rest) == 0;
    }

    function requireWellFormed(IConsortium.NameKind kind, bytes memory value, uint8 bits) internal pure {
        bool good = false;
        if (kind == IConsortium.NameKind.Dns) good = bits == 0 && isDnsSuffix(value);
        else if (kind == IConsortium.NameKind.Urn) good = bits == 0 && isUrnPrefix(value);
        else if (kind == IConsortium.NameKind.Oui) good = isOui(value, bits);
        else if (kind == IConsortium.NameKind.Ip) good = isIpPrefix(value, bits);
        if (!good) revert IConsortium.ConsortiumBadNameSpace("not well formed");
    }

    /// @notice Two labels or more, of lower-case letters, digits and hyphens (RFC 1123), at most 253 octets.
    function isDnsSuffix(bytes memory value) internal pure returns (bool) {
        if (value.length == 0 || value.length > MAXIMUM_OCTETS) return false;
        uint256 labels = 1;
        uint256 start = 0;
        for (uint256 i = 0; i <= value.length; ++i) {
            if (i == value.length || value[i] == ".") {
                if (i == start || i - start > 63 || value[start] == "-" || value[i - 1] == "-") return false;
                if (i < value.length) ++labels;
                start = i + 1;
            } else {
                bytes1 c = value[i];
                if (!((c >= "a" && c <= "z") || (c >= "0" && c <= "9") || c == "-")) return false;
            }
        }
        return labels >= 2;
    }

    /// @notice `urn:<identifier>:...:`; the end in ':' keeps `urn:a:b` from covering `urn:a:bc`. RFC 8141 §3.1 compares
    /// scheme and identifier without case: so both are of lower case here, lest two members have what is one name.
    function isUrnPrefix(bytes memory value) internal pure returns (bool) {
        uint256 length = value.length;
        if (length < 6 || length > MAXIMUM_OCTETS || value[length - 1] != ":" || !hasPrefix(value, "urn:", 32)) {
            return false;
        }
        uint256 end = 4;
        while (value[end] != ":") {
            bytes1 c = value[end++];
            if (!((c >= "a" && c <= "z") || (c >= "0" && c <= "9") || c == "-")) return false;
        }
        if (end < 6 || end > 36 || value[4] == "-" || value[end - 1] == "-") return false;
        for (uint256 i = end; i < length; ++i) {
            if ((URN_CHARACTERS >> uint8(value[i])) & 1 == 0) return false;
        }
        return true;
    }

    function isOui(bytes memory value, uint8 bits) internal pure returns (bool) {
        if (bits == 24) return value.length == 3;
        if (bits == 28) return value.length == 4 && uint8(value[3]) & 0x0f == 0;
        return bits == 36 && value.length == 5 && uint8(value[4]) & 0x0f == 0;
    }

    /// @notice 4 or 16 octets of which none is set beyond a prefix of 1 bit or more. Nothing of 0000::/8 (RFC 4291 §2.4,
    /// reserved): it holds ::ffff:0:0/96, which some verifiers take for the IPv4 addresses of somebody else.
    function isIpPrefix(bytes memory value, uint8 bits) internal pure returns (bool) {
        if (value.length == 16 && value[0] == 0) return false;
        if ((value.length != 4 && value.length != 16) || bits == 0 || bits > value.length * 8) return false;
        for (uint256 bit = bits; bit < value.length * 8; ++bit) {
            if ((uint8(value[bit / 8]) >> (7 - bit % 8)) & 1 == 1) return false;
        }
        return true;
    }
}
