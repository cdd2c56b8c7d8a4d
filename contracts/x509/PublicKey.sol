// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {both} from "./Branchless.sol";
import {DerReader} from "./DerReader.sol";

/// @title Public keys of certificates: P-256 and RSA. Sources: RFC 5480 §2.1, RFC 3279 §2.3.1, FIPS 186-5, SEC 2 §2.4.2
library PublicKey {
    enum Kind {
        Other,
        P256,
        Rsa
    }

    uint256 private constant P = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffff;
    uint256 private constant B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b;

    // ecPublicKey, prime256v1 (21 octets); rsaEncryption, NULL (15 octets): whole AlgorithmIdentifiers.
    uint256 private constant P256_ALGORITHM = 0x301306072a8648ce3d020106082a8648ce3d030107;
    uint256 private constant RSA_ALGORITHM = 0x300d06092a864886f70d0101010500;

    /// @param start of the AlgorithmIdentifier in SubjectPublicKeyInfo
    function kind(uint256 start, uint256 end) internal pure returns (Kind) {
        unchecked {
            uint256 head = DerReader.word(start);
            if (end - start == 21 && head >> 88 == P256_ALGORITHM) return Kind.P256;
            if (end - start == 15 && head >> 136 == RSA_ALGORITHM) return Kind.Rsa;
            return Kind.Other;
        }
    }

    /// @notice Whether the key is an uncompressed point on P-256. (0, 0) is none, since b is not 0.
    function isPoint(uint256 start, uint256 end) internal pure returns (bool) {
        unchecked {
            uint256 x = DerReader.word(start + 1);
            uint256 y = DerReader.word(start + 33);
            bool isUncompressed = both(end - start == 65, DerReader.octet(start) == 4);
            // y^2 = x^3 - 3x + b
            uint256 right = addmod(mulmod(addmod(mulmod(x, x, P), P - 3, P), x, P), B, P);
            return both(both(isUncompressed, mulmod(y, y, P) == right), both(x < P, y < P));
        }
    }

    /// @return isKey whether it is RSAPublicKey with an odd modulus of 2,048 to 4,096 bits and the exponent 65,537.
    /// @return modulus where its octets begin, without a leading zero
    /// @return modulusEnd where they end
    function readRsa(uint256 start, uint256 end)
        internal
        pure
        returns (bool isKey, uint256 modulus, uint256 modulusEnd)
    {
        unchecked {
            uint256 last;
            (start, last) = DerReader.read(DerReader.SEQUENCE, start, end);
            if (last != end) return (false, 0, 0);
            (modulus, modulusEnd) = DerReader.read(DerReader.INTEGER, start, end);
            (start, last) = DerReader.read(DerReader.INTEGER, modulusEnd, end);
            if (last != end || end - start != 3 || DerReader.word(start) >> 232 != 0x010001) return (false, 0, 0);
            if (!DerReader.isInteger(modulus, modulusEnd)) return (false, 0, 0);
            uint256 first = DerReader.octet(modulus);
            if (first > 0x7f || DerReader.octet(modulusEnd - 1) & 1 == 0) return (false, 0, 0);
            if (first == 0) ++modulus;
            uint256 length = modulusEnd - modulus;
            bool isLong = length > 256 || (length == 256 && DerReader.octet(modulus) > 0x7f);
            return (isLong && length <= 512, modulus, modulusEnd);
        }
    }
}
