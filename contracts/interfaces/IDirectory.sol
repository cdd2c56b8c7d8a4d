// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title The current version of each registry, with its code hash
/// @notice Written once at founding and then by the consortium's vote, after the delay.
interface IDirectory {
    struct Entry {
        address location;
        bytes32 codeHash;
        uint32 version;
    }

    error DirectoryNotConsortium(address caller);
    error DirectoryCodeMismatch(bytes32 name, address location, bytes32 codeHash);

    event DirectoryChanged(bytes32 indexed name, address location, bytes32 codeHash, uint32 version);

    /// @notice Called by the Consortium alone: at founding, and when a vote was executed.
    function set(bytes32 name, address location, bytes32 codeHash) external;

    function consortium() external view returns (address);

    /// @param name keccak256 of the contract's name, such as `CertificateRegistry`. All zero when there is none.
    function current(bytes32 name) external view returns (Entry memory);
}
