// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Base64} from "@openzeppelin/contracts/utils/Base64.sol";
import {IIdentityRegistry} from "../interfaces/IIdentityRegistry.sol";

/// @title What a card signs to show that it has a key, and whether it did
/// @notice The card signs a compact JWS whose payload is an EIP-712 digest: cards hash with SHA-256 and sign nothing
/// that does not begin like a JWS of ours. Source: RFC 7515 §3.1 and §5.1, RFC 7518 §3.4.
library Possession {
    // The key is in the text because for a text without it, keys can be computed under which given numbers verify.
    bytes32 private constant POSSESSION_TYPE =
        keccak256("Possession(uint16 operator,bytes32 identity,bytes32 x,bytes32 y,uint8 purpose,uint64 deadline)");
    // The second of activation is the card's person's: whoever had the fresh card in hands could not know it.
    bytes32 private constant WORD_TYPE = keccak256(
        "Word(uint16 operator,bytes32 identity,bytes32 x,bytes32 y,uint8 purpose,uint40 activatedAt,uint64 deadline)"
    );
    // base64url of {"alg":"ES256","typ":"tally-possession+jws"} and the dot
    bytes private constant HEAD = "eyJhbGciOiJFUzI1NiIsInR5cCI6InRhbGx5LXBvc3Nlc3Npb24randzIn0.";
    address private constant P256VERIFY = address(0x100); // EIP-7951: takes low and high s

    function digest(
        bytes32 separator,
        uint16 operator,
        bytes32 identity,
        bytes32 x,
        bytes32 y,
        IIdentityRegistry.Purpose purpose,
        uint64 deadline
    ) internal pure returns (bytes32) {
        bytes32 structHash = keccak256(abi.encode(POSSESSION_TYPE, operator, identity, x, y, purpose, deadline));
        return keccak256(abi.encodePacked(hex"1901", separator, structHash));
    }

    /// @notice What a current key says of another key (x, y).
    function word(
        bytes32 separator,
        uint16 operator,
        bytes32 identity,
        bytes32 x,
        bytes32 y,
        IIdentityRegistry.Purpose purpose,
        uint40 activatedAt,
        uint64 deadline
    ) internal pure returns (bytes32) {
        bytes32 structHash = keccak256(abi.encode(WORD_TYPE, operator, identity, x, y, purpose, activatedAt, deadline));
        return keccak256(abi.encodePacked(hex"1901", separator, structHash));
    }

    /// @return Whether the key (x, y) made the signature (r, s) of the JWS with this payload.
    function isSigned(bytes32 payload, bytes32 r, bytes32 s, bytes32 x, bytes32 y) internal view returns (bool) {
        bytes32 hash = sha256(abi.encodePacked(HEAD, Base64.encodeURL(abi.encodePacked(payload))));
        (bool done, bytes memory answer) = P256VERIFY.staticcall(abi.encode(hash, r, s, x, y));
        return done && answer.length == 32 && abi.decode(answer, (uint256)) == 1;
    }
}
