// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ICertificateRegistry} from "./interfaces/ICertificateRegistry.sol";

/// @title Proof of compromise: whoever has a private key can sign with it
/// @notice The signed octets are those of an EIP-712 text, hashed with SHA-256 as P-256 tools do.
library KeyProof {
    bytes32 private constant KEY_COMPROMISE_TYPE = keccak256("KeyCompromise(bytes32 spkiHash)");
    address private constant P256VERIFY = address(0x100); // EIP-7951

    // SubjectPublicKeyInfo of id-ecPublicKey on prime256v1 up to the point's 04. Source: RFC 5480 §2
    bytes27 private constant SPKI_HEAD = hex"3059301306072a8648ce3d020106082a8648ce3d03010703420004";
    uint256 private constant SPKI_LENGTH = 91;

    /// @notice Reverts on a chain that cannot verify P-256: a registry there would refuse every certificate.
    function requirePrecompile() external view {
        bytes32 hash = 0x626ebbe32dacad14f509a7cc2b2abbe2d0d1597df1170076c57270671be8b4ea;
        bytes32 r = 0x765114e44b999742848cd5bc870af27e06028710a985ef2f8d9dc3ab9ab90edc;
        bytes32 s = 0x7f357da3492969221e69a10de5f74dd9b7b3c78176482ba85aee3f22766ccaf5;
        bytes32 x = 0x328d69ed4612e1e7c8043fa680196ffdb12d9155ede1a021d49b90452272d3b9;
        bytes32 y = 0x5b59746cfccd8e2ca8b1e7d353e1fc94431d77054b502c04ce1442fc00465f9e;
        if (!_verify(hash, r, s, x, y) || _verify(~hash, r, s, x, y)) revert ICertificateRegistry.RegistryNoP256();
    }

    /// @return Whether the key signed `KeyCompromise` of itself; s may be low or high.
    function isCompromised(bytes32 separator, bytes32 spkiHash, bytes calldata spki, bytes32 r, bytes32 s)
        external
        view
        returns (bool)
    {
        if (spki.length != SPKI_LENGTH || bytes27(spki[:27]) != SPKI_HEAD) return false;
        bytes32 structHash = keccak256(abi.encode(KEY_COMPROMISE_TYPE, spkiHash));
        bytes32 hash = sha256(abi.encodePacked(hex"1901", separator, structHash));
        return _verify(hash, r, s, bytes32(spki[27:59]), bytes32(spki[59:91]));
    }

    function _verify(bytes32 hash, bytes32 r, bytes32 s, bytes32 x, bytes32 y) private view returns (bool) {
        (bool done, bytes memory answer) = P256VERIFY.staticcall(abi.encode(hash, r, s, x, y));
        return done && answer.length == 32 && abi.decode(answer, (uint256)) == 1;
    }
}
