// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IDirectory} from "./interfaces/IDirectory.sol";

/// @title The current version of each registry
/// @notice Clients and contracts start here. The consortium alone writes, by vote and after its delay.
contract Directory is IDirectory {
    address public immutable override consortium;

    mapping(bytes32 name => Entry) private _entries;

    constructor(address consortium_) {
        consortium = consortium_;
    }

    function set(bytes32 name, address location, bytes32 codeHash) external {
        if (msg.sender != consortium) revert DirectoryNotConsortium(msg.sender);
        if (location.code.length == 0 || location.codehash != codeHash) {
            revert DirectoryCodeMismatch(name, location, location.codehash);
        }
        uint32 version = _entries[name].version + 1;
        _entries[name] = Entry(location, codeHash, version);
        emit DirectoryChanged(name, location, codeHash, version);
    }

    function current(bytes32 name) external view returns (Entry memory) {
        return _entries[name];
    }
}
