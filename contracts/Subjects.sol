// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IConsortium} from "./interfaces/IConsortium.sol";

/// @title What a proposal is about
/// @notice Of two proposals with one subject, the one that was made before the other was carried out speaks of a state
/// that is no more. Decoded and encoded anew, since `abi.decode` takes several encodings of the same content.
library Subjects {
    /// @return 0 for kinds that stand alone: an admission, a block of a key.
    function subjectOf(IConsortium.ProposalKind kind, bytes calldata content) external pure returns (bytes32) {
        if (
            kind == IConsortium.ProposalKind.Suspend || kind == IConsortium.ProposalKind.Restore
                || kind == IConsortium.ProposalKind.Remove
        ) {
            return _subject("member", abi.encode(abi.decode(content, (uint16))));
        }
        if (kind == IConsortium.ProposalKind.HoldCertificate || kind == IConsortium.ProposalKind.ReleaseCertificate) {
            return _subject("certificate", abi.encode(abi.decode(content, (bytes32))));
        }
        if (kind == IConsortium.ProposalKind.AddNameSpace || kind == IConsortium.ProposalKind.RemoveNameSpace) {
            (uint16 member, IConsortium.NameSpace memory space) = abi.decode(content, (uint16, IConsortium.NameSpace));
            return _subject("name space", abi.encode(member, space));
        }
        if (kind == IConsortium.ProposalKind.SetProfile) {
            return _subject("profile", abi.encode(profileOf(content)));
        }
        if (kind == IConsortium.ProposalKind.SetElectorate) return _subject("electorate", "");
        if (kind == IConsortium.ProposalKind.SetParameters) return _subject("parameters", "");
        if (kind == IConsortium.ProposalKind.SetDirectory) {
            return _subject("directory", abi.encode(abi.decode(content, (IConsortium.DirectorySeed)).name));
        }
        return 0;
    }

    /// @return The number of the profile that a SetProfile is about.
    function profileOf(bytes calldata content) public pure returns (uint16) {
        return abi.decode(content, (IConsortium.ProfileSeed)).id;
    }

    function _subject(string memory what, bytes memory which) private pure returns (bytes32) {
        return keccak256(abi.encode(what, which));
    }
}
