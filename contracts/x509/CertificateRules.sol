// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ICertificateRegistry} from "../interfaces/ICertificateRegistry.sol";
import {IConsortium} from "../interfaces/IConsortium.sol";

/// @notice What the entries of one batch are checked against.
/// @param organisation The registered name of the lot's owner: what O must be.
/// @param blockTime Seconds since 1970 at which validity is judged.
/// @param trustList Where issuers are looked up, of a profile of CA-issued certificates; otherwise 0.
struct CertificateRules {
    IConsortium.Profile profile;
    bytes organisation;
    ICertificateRegistry.NameRange[] ranges;
    uint64 blockTime;
    address trustList;
}

/// @notice The outcome for one entry. With a reason other than 0 the other fields mean nothing.
struct CheckedCertificate {
    uint16 reason;
    uint40 notAfter;
    bytes32 spkiHash;
    bytes32 tbsHash;
}
