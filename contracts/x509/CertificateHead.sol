// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {both, either} from "./Branchless.sol";
import {CertificateParts} from "./CertificateParts.sol";
import {DerReader} from "./DerReader.sol";

/// @title Serial number and algorithms of a certificate. Source: RFC 5280 §4.1.1.2, §4.1.2.2, §4.1.2.3
library CertificateHead {
    uint256 private constant LONGEST_SERIAL_NUMBER = 20;

    /// @notice Whether the serial number is positive, in at most 20 octets.
    function hasGoodSerialNumber(CertificateParts memory parts) internal pure returns (bool) {
        unchecked {
            uint256 length = parts.serialNumberEnd - parts.serialNumber;
            uint256 first = DerReader.octet(parts.serialNumber);
            // A zero is one octet, as it is in its shortest form.
            bool isZero = both(length == 1, first == 0);
            return !either(either(length > LONGEST_SERIAL_NUMBER, first > 0x7f), isZero);
        }
    }

    /// @notice Whether both AlgorithmIdentifiers are the same octets, of a certificate that is not `isEcdsaSha256`.
    function areAlgorithmsEqual(CertificateParts memory parts) internal pure returns (bool) {
        unchecked {
            uint256 length = parts.outerAlgorithmEnd - parts.outerAlgorithm;
            return parts.innerAlgorithmEnd - parts.innerAlgorithm == length
                && DerReader.areEqual(parts.innerAlgorithm, parts.outerAlgorithm, length);
        }
    }
}
