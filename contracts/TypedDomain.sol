// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IERC5267} from "@openzeppelin/contracts/interfaces/IERC5267.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// @title EIP-712 domain with a salt
/// @notice The salt is the consortium's, so that a signed text is of no use to another consortium, whatever its chain
/// id and addresses. OpenZeppelin's EIP712 has no salt.
abstract contract TypedDomain is IERC5267 {
    bytes32 private constant DOMAIN_TYPE =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)");
    string private constant NAME = "Tiger Tally";
    string private constant VERSION = "1";

    bytes32 internal immutable DOMAIN_SALT;

    constructor(bytes32 salt_) {
        DOMAIN_SALT = salt_;
    }

    /// @inheritdoc IERC5267
    function eip712Domain()
        external
        view
        returns (
            bytes1 fields,
            string memory name,
            string memory version,
            uint256 chainId,
            address verifyingContract,
            bytes32 domainSalt,
            uint256[] memory extensions
        )
    {
        return (hex"1f", NAME, VERSION, block.chainid, address(this), DOMAIN_SALT, new uint256[](0));
    }

    /// @dev Computed each time: a cached one would be wrong after a fork that changes the chain id.
    function _domainSeparator() internal view returns (bytes32) {
        return keccak256(
            abi.encode(
                DOMAIN_TYPE,
                keccak256(bytes(NAME)),
                keccak256(bytes(VERSION)),
                block.chainid,
                address(this),
                DOMAIN_SALT
            )
        );
    }

    /// @return Whether `signer` signed the text with this struct hash: a key's ECDSA, or a contract's ERC-1271.
    function _isSigned(address signer, bytes32 structHash, bytes calldata signature) internal view returns (bool) {
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", _domainSeparator(), structHash));
        return SignatureChecker.isValidSignatureNowCalldata(signer, digest, signature);
    }
}
