// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title Unordered nonces
/// @notice A signer may use any number once, in any order: 256 of them share a slot.
library Nonces {
    struct Used {
        mapping(address signer => mapping(uint256 word => uint256 bits)) words;
    }

    function isUsed(Used storage used, address signer, uint256 nonce) internal view returns (bool) {
        return (used.words[signer][nonce >> 8] >> (nonce & 0xff)) & 1 == 1;
    }

    /// @return fresh false when it was used before.
    function use(Used storage used, address signer, uint256 nonce) internal returns (bool fresh) {
        fresh = !isUsed(used, signer, nonce);
        used.words[signer][nonce >> 8] |= uint256(1) << (nonce & 0xff);
    }
}
