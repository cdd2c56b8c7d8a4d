// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title A set of member ids, 256 to a slot
library MemberSet {
    struct Set {
        mapping(uint256 word => uint256 bits) words;
    }

    function has(Set storage set, uint16 member) internal view returns (bool) {
        return (set.words[member >> 8] >> (member & 0xff)) & 1 == 1;
    }

    function put(Set storage set, uint16 member, bool present) internal {
        uint256 bit = uint256(1) << (member & 0xff);
        if (present) set.words[member >> 8] |= bit;
        else set.words[member >> 8] &= ~bit;
    }

    /// @param highest No member above this one is looked at.
    function count(Set storage set, uint16 highest) internal view returns (uint256 members) {
        for (uint256 word = 0; word <= highest >> 8; ++word) {
            members += popCount(set.words[word]);
        }
    }

    function countBoth(Set storage a, Set storage b, uint16 highest) internal view returns (uint256 members) {
        for (uint256 word = 0; word <= highest >> 8; ++word) {
            members += popCount(a.words[word] & b.words[word]);
        }
    }

    function popCount(uint256 bits) internal pure returns (uint256 ones) {
        for (; bits != 0; ++ones) {
            bits &= bits - 1;
        }
    }
}
