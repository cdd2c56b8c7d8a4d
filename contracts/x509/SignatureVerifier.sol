// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {DerReader} from "./DerReader.sol";

/// @title Signatures of certificates over calldata: ECDSA on P-256 and RSASSA-PKCS1-v1_5, both with SHA-256
/// @dev Precompiles run on memory past the free pointer, which stays where it is: a batch of large certificates must not
/// pay for memory that grows with every entry.
library SignatureVerifier {
    // AlgorithmIdentifier of sha256WithRSAEncryption, NULL. Source: RFC 4055 §5
    uint256 private constant RSA_SHA256 = 0x300d06092a864886f70d01010b0500;

    uint256 private constant POINT_LENGTH = 64;

    /// @dev 00 before DigestInfo, its AlgorithmIdentifier with NULL, and the head of the digest. Source: RFC 8017 §9.2
    uint256 private constant DIGEST_INFO = 0x3031300d060960864801650304020105000420;

    function isRsaSha256(uint256 start, uint256 end) internal pure returns (bool) {
        unchecked {
            return end - start == 15 && DerReader.word(start) >> 136 == RSA_SHA256;
        }
    }

    /// @notice SHA-256 of a piece of calldata, by the precompile.
    function digest(uint256 start, uint256 end) internal view returns (bytes32 result) {
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            let length := sub(end, start)
            calldatacopy(buffer, start, length)
            if iszero(staticcall(gas(), 0x02, buffer, length, 0x00, 0x20)) { invalid() }
            result := mload(0x00)
        }
    }

    /// @notice Whether the DER of ECDSA-Sig-Value is strict and the signature valid under the point at `key` (its 04).
    /// @dev s above n/2 is as good as below: X.509 knows no low s, and the certificate's id does not cover the signature.
    /// Sources: RFC 3279 §2.2.3, FIPS 186-5 §6.4.2, EIP-7951 (the precompile refuses r and s from n on)
    function verifyEcdsa(bytes32 hash, uint256 start, uint256 end, uint256 key) internal view returns (bool isValid) {
        unchecked {
            return verifyEcdsa(hash, start, end, DerReader.word(key + 1), DerReader.word(key + 33));
        }
    }

    /// @notice The same, with the point's coordinates.
    function verifyEcdsa(bytes32 hash, uint256 start, uint256 end, uint256 x, uint256 y)
        internal
        view
        returns (bool isValid)
    {
        (uint256 r, uint256 s) = _readEcdsa(start, end);
        if (r == 0 || s == 0) return false;
        assembly ("memory-safe") {
            let buffer := mload(0x40)
            mstore(buffer, hash)
            mstore(add(buffer, 0x20), r)
            mstore(add(buffer, 0x40), s)
            mstore(add(buffer, 0x60), x)
            mstore(add(buffer, 0x80), y)
            // The answer is empty, not 0, for a bad signature: the scratch word must be 0 before the call.
            mstore(0x00, 0)
            if iszero(staticcall(gas(), 0x100, buffer, 0xa0, 0x00, 0x20)) { invalid() }
            isValid := eq(mload(0x00), 1)
        }
    }

    /// @notice Whether the signature is that of RSASSA-PKCS1-v1_5 under the modulus and the exponent 65,537.
    /// @dev The encoded message is made and compared whole (RFC 8017 §8.2.2), so that exactly one encoding passes.
    function verifyRsa(bytes32 hash, uint256 start, uint256 end, uint256 modulus, uint256 modulusEnd)
        internal
        view
        returns (bool isValid)
    {
        unchecked {
            if (end - start != modulusEnd - modulus) return false;
        }
        assembly ("memory-safe") {
            calldatacopy(add(mload(0x40), add(0x63, sub(end, start))), modulus, sub(end, start))
        }
        return _verifyRsa(hash, start, end);
    }

    /// @notice The same, with the modulus without a leading zero in memory.
    function verifyRsa(bytes32 hash, uint256 start, uint256 end, bytes memory modulus)
        internal
        view
        returns (bool isValid)
    {
        unchecked {
            if (end - start != modulus.length) return false;
        }
        assembly ("memory-safe") {
            mcopy(add(mload(0x40), add(0x63, sub(end, start))), add(modulus, 0x20), sub(end, start))
        }
        return _verifyRsa(hash, start, end);
    }

    /// @notice Whether a key of the trust list made the signature: x and y of a point in 64 octets, or a modulus.
    function verifyBy(bytes memory key, bytes32 hash, uint256 start, uint256 end) internal view returns (bool) {
        if (key.length != POINT_LENGTH) return verifyRsa(hash, start, end, key);
        uint256 x;
        uint256 y;
        assembly ("memory-safe") {
            x := mload(add(key, 0x20))
            y := mload(add(key, 0x40))
        }
        return verifyEcdsa(hash, start, end, x, y);
    }

    /// @dev The modulus stands where the precompile wants it, past the free pointer: it is as long as the signature.
    function _verifyRsa(bytes32 hash, uint256 start, uint256 end) private view returns (bool isValid) {
        assembly ("memory-safe") {
            let length := sub(end, start)
            let buffer := mload(0x40)
            mstore(buffer, length)
            mstore(add(buffer, 0x20), 3)
            mstore(add(buffer, 0x40), length)
            calldatacopy(add(buffer, 0x60), start, length)
            // The exponent's word runs into the modulus, whose first octets it must leave as they are.
            let exponent := add(buffer, add(0x60, length))
            mstore(exponent, or(shl(232, 0x010001), shr(24, mload(add(exponent, 3)))))
        }
        if (!_isLess(end - start)) return false;
        assembly ("memory-safe") {
            let length := sub(end, start)
            let buffer := mload(0x40)
            if iszero(staticcall(gas(), 0x05, buffer, add(0x63, add(length, length)), buffer, length)) {
                invalid()
            }
            let decrypted := keccak256(buffer, length)
            // 00 01 ff ... ff 00 DigestInfo
            for { let i := 0 } lt(i, length) { i := add(i, 0x20) } { mstore(add(buffer, i), not(0)) }
            mstore8(buffer, 0x00)
            mstore8(add(buffer, 1), 0x01)
            let tail := add(buffer, sub(length, 0x34))
            mstore(tail, or(shl(96, DIGEST_INFO), shr(160, hash)))
            mstore(add(tail, 0x14), hash)
            isValid := eq(keccak256(buffer, length), decrypted)
        }
    }

    /// @dev 30 (m+n+4) 02 m r 02 n s, of at most 72 octets: whatever is longer is no signature on this curve.
    /// @return r 0 where the encoding is not strict, not positive or too long; s likewise
    function _readEcdsa(uint256 start, uint256 end) private pure returns (uint256 r, uint256 s) {
        assembly ("memory-safe") {
            // The content of a positive INTEGER in its shortest form, of at most 256 bits; 0 for any other. The first
            // nine bits are the sign and whether a leading zero was needed: of 33 octets the first is one.
            function scalar(position, size) -> value {
                let isLong := eq(size, 33)
                let leading := shr(247, calldataload(position))
                let isGood := and(lt(sub(leading, 1), sub(0xff, mul(0xfe, isLong))), lt(sub(size, 1), 33))
                value := shr(shl(3, sub(32, sub(size, isLong))), calldataload(add(position, isLong)))
                value := mul(value, isGood)
            }
            let head := calldataload(start)
            let first := byte(3, head)
            let second := add(add(start, 4), first)
            let tail := calldataload(second)
            let length := sub(end, start)
            let fault := or(gt(length, 72), xor(shr(232, head), add(0x300002, shl(8, sub(length, 2)))))
            fault := or(fault, or(xor(byte(0, tail), 2), xor(add(add(second, 2), byte(1, tail)), end)))
            if iszero(fault) {
                r := scalar(add(start, 4), first)
                s := scalar(add(second, 2), byte(1, tail))
            }
        }
    }

    /// @dev Whether the signature is less than the modulus, both as the precompile gets them, of `length` octets.
    function _isLess(uint256 length) private pure returns (bool) {
        unchecked {
            for (uint256 i = 0; i < length; i += 32) {
                uint256 place = i + 32 > length ? length - 32 : i; // the last word may overlap the one before
                uint256 left;
                uint256 right;
                assembly ("memory-safe") {
                    let signature := add(add(mload(0x40), 0x60), place)
                    left := mload(signature)
                    right := mload(add(signature, add(length, 3)))
                }
                if (left != right) return left < right;
            }
            return false;
        }
    }
}
