// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {SignatureVerifier} from "contracts/x509/SignatureVerifier.sol";

/// @notice Lets tests ask the contracts' verifier about signatures that stand in no certificate.
contract SignatureHarness {
    /// @param keys 04 || x || y each
    /// @return valid one for each signature, in order
    function verify(bytes[] calldata messages, bytes[] calldata signatures, bytes[] calldata keys)
        external
        view
        returns (bool[] memory valid)
    {
        valid = new bool[](messages.length);
        for (uint256 i = 0; i < messages.length; ++i) {
            (uint256 start, uint256 end) = _place(signatures[i]);
            (uint256 key,) = _place(keys[i]);
            valid[i] = SignatureVerifier.verifyEcdsa(sha256(messages[i]), start, end, key);
        }
    }

    function _place(bytes calldata text) private pure returns (uint256 start, uint256 end) {
        assembly ("memory-safe") {
            start := text.offset
            end := add(start, text.length)
        }
    }
}
