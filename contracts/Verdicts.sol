// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ICertificateRegistry} from "./interfaces/ICertificateRegistry.sol";
import {Reasons} from "./x509/Reasons.sol";

/// @title The form of a verdict on a batch
/// @notice Every entry that is not accepted has one reason, which agrees with its being rejected or abstained from.
library Verdicts {
    /// @param reasons three octets for each: entry, then the reason's number (big endian); entries ascending.
    function requireForm(uint40 id, uint256 present, uint256 accepts, uint256 abstains, bytes calldata reasons)
        external
        pure
    {
        if ((accepts | abstains) & ~present != 0) {
            revert ICertificateRegistry.RegistryBadVerdict(id, "a map has an entry that is not present");
        }
        if (accepts & abstains != 0) {
            revert ICertificateRegistry.RegistryBadVerdict(id, "an entry is accepted and abstained from");
        }
        if (reasons.length % 3 != 0) {
            revert ICertificateRegistry.RegistryBadVerdict(id, "reasons are three octets each");
        }
        uint256 open = present & ~accepts;
        uint256 above = type(uint256).max;
        for (uint256 i = 0; i < reasons.length; i += 3) {
            uint256 entry = uint8(reasons[i]);
            uint256 reason = (uint256(uint8(reasons[i + 1])) << 8) | uint8(reasons[i + 2]);
            uint256 bit = uint256(1) << entry;
            if (open & above & bit == 0) {
                revert ICertificateRegistry.RegistryBadVerdict(
                    id, "reasons are for entries not accepted, once each, ascending"
                );
            }
            if (reason == 0 || (reason >= Reasons.FIRST_TRANSIENT) != (abstains & bit != 0)) {
                revert ICertificateRegistry.RegistryBadVerdict(
                    id, "a transient reason goes with an abstention, another with a rejection"
                );
            }
            open &= ~bit;
            above = ~((bit << 1) - 1);
        }
        if (open != 0) {
            revert ICertificateRegistry.RegistryBadVerdict(id, "an entry that is not accepted has no reason");
        }
    }
}
