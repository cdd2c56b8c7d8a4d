// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title Certificates: submission, endorsement, hold, release, revocation and status
/// @notice Encodings and rules: docs/ledger.md. Signed texts are EIP-712 with the consortium's salt in the domain.
interface ICertificateRegistry {
    /// @notice What `statusOf` answers. The first value, unknown, is never good.
    enum Status {
        Unknown,
        Submitted,
        Valid,
        Held,
        Superseded,
        Revoked,
        Expired,
        Rejected,
        Lapsed
    }

    enum HoldKind {
        None,
        Owner,
        Consortium,
        Emergency
    }

    /// @param batchDigest is not a field: the contract computes it from the bytes that it was given.
    struct Submission {
        address station;
        uint16 profile;
        uint40 lot;
        uint256 nonce;
        uint64 deadline;
    }

    /// @notice One range that the names of a lot must lie in.
    enum RangeKind {
        None,
        Dns, // the name equals `value` or ends with "." and `value`
        Urn, // the name begins with `value`, which ends with ':'
        Eui, // dNSName `<12 or 16 hex digits>.<value>`, the number from `first` to `last`, `bits` 48 or 64
        Ip // `value` is a prefix of 4 or 16 octets, `bits` its length
    }

    struct NameRange {
        RangeKind kind;
        uint8 bits;
        uint64 first;
        uint64 last;
        bytes value;
    }

    /// @notice Terms of a lot. A stolen station key can do no more than the open lots that name it allow.
    struct LotTerms {
        uint16 owner;
        uint16 profile;
        uint32 maximum;
        uint64 closesAt;
        address[] stations;
        NameRange[] ranges;
    }

    struct Lot {
        uint16 owner;
        uint16 profile;
        uint32 maximum;
        uint32 used;
        uint64 closesAt;
        bool closed;
    }

    /// @param settledAt when the last entry was decided; 0 while one is undecided.
    struct Batch {
        bytes32 digest;
        uint16 stationMember;
        uint16 lotOwner;
        uint24 electorate;
        uint8 k;
        uint8 n;
        uint8 count;
        uint40 submittedAt;
        uint40 windowEnd;
        uint40 settledAt;
        uint40 lot;
        uint256 present;
        uint256 accepted;
        uint256 rejected;
    }

    struct CertificateStatus {
        Status state;
        uint8 reason;
        uint40 since;
        uint40 notAfter;
        uint16 profile;
        uint40 batch;
        uint8 entry;
        uint40 lot;
        uint16 holdCounter;
        uint8 flags;
    }

    error RegistryBatchSize(uint256 count);
    error RegistryUnknownStation(address station);
    error RegistryDeadlinePassed(uint64 deadline);
    error RegistryDeadlineTooFar(uint64 deadline);
    error RegistryNonceUsed(address account, uint256 nonce);
    error RegistryBadSignature(address signer);
    error RegistryUnknownProfile(uint16 profile);
    error RegistryUnknownLot(uint40 lot);
    error RegistryLotClosed(uint40 lot);
    error RegistryLotProfile(uint40 lot, uint16 profile);
    error RegistryStationNotInLot(address station, uint40 lot);
    error RegistryBadLot(string reason);
    error RegistryElectorateTooSmall(uint8 n, uint8 k);
    error RegistryUnknownBatch(uint40 batch);
    error RegistryWindowOver(uint40 batch);
    error RegistryBatchVoid(uint40 batch);
    error RegistryBatchDigest(uint40 batch, bytes32 digest);
    error RegistryNotEndorser(address account);
    error RegistryBadVerdict(uint40 batch, string reason);
    error RegistryAlreadyEndorsed(uint40 batch, uint16 member);
    error RegistryNotAuthorised(address account);
    error RegistryUnknownCertificate(bytes32 certificate);
    error RegistryBadReason(uint8 reason);
    error RegistryBadHoldKind(uint8 kind);
    error RegistryHoldCounter(bytes32 certificate, uint16 expected, uint16 given);
    error RegistryHoldCounterExhausted(bytes32 certificate);
    error RegistryBadKey();
    error RegistryNoP256();
    error RegistryNoSuchHold(bytes32 certificate, uint8 kind);
    error RegistryAlreadyHeld(bytes32 certificate, uint8 kind);
    error RegistryRevoked(bytes32 certificate);
    error RegistryEmergencyHoldUsed(bytes32 certificate, uint16 member);

    event LotOpened(uint40 indexed lot, uint16 indexed owner, address indexed by, LotTerms terms);
    event LotClosed(uint40 indexed lot, address indexed by);

    /// @param present bit i is set when entry i got a slot; the others have an `EntryRefused`.
    event BatchSubmitted(
        uint40 indexed batch,
        bytes32 indexed digest,
        address indexed station,
        Submission submission,
        uint16 stationMember,
        uint16 lotOwner,
        uint24 electorate,
        uint8 k,
        uint8 n,
        uint8 count,
        uint40 windowEnd,
        uint256 present
    );
    event CertificateSubmitted(bytes32 indexed certificate, uint40 indexed batch, uint8 entry, bytes der);
    event EntryRefused(uint40 indexed batch, uint8 entry, bytes32 entryHash, uint16 reason);

    /// @param reasons three octets for each present entry not accepted, entries ascending: entry, then the reason's
    /// number (big endian).
    /// @param acceptedNow all entries of the batch that are accepted after this endorsement.
    /// @param rejectedNow all entries of the batch that are rejected after this endorsement.
    event BatchEndorsed(
        uint40 indexed batch,
        uint16 indexed member,
        address endorser,
        uint256 accepts,
        uint256 abstains,
        bytes reasons,
        uint256 acceptedNow,
        uint256 rejectedNow,
        bool settled
    );
    event CertificateHeld(
        bytes32 indexed certificate,
        uint16 indexed member,
        address by,
        HoldKind kind,
        uint8 reason,
        uint16 counter,
        uint40 until
    );
    event CertificateReleased(
        bytes32 indexed certificate, uint16 indexed member, address by, HoldKind kind, uint16 counter
    );
    event CertificateRevoked(bytes32 indexed certificate, uint16 indexed member, address by, uint8 reason);
    event KeyBlocked(bytes32 indexed spkiHash, uint8 reason, bool byProof);

    /// @notice Relays a station's signed submission. Anyone may; a second inclusion is a no-op.
    function submit(Submission calldata submission, bytes[] calldata certificates, bytes calldata signature)
        external
        returns (uint40 batch);

    /// @notice An endorser's verdict on a whole batch: one bit an entry in each map.
    function endorse(uint40 batch, bytes32 digest, uint256 accepts, uint256 abstains, bytes calldata reasons) external;

    function openLot(
        LotTerms calldata terms,
        address administrator,
        uint256 nonce,
        uint64 deadline,
        bytes calldata signature
    ) external returns (uint40 lot);
    function closeLot(uint40 lot, address administrator, uint64 deadline, bytes calldata signature) external;

    function hold(
        bytes32 certificate,
        HoldKind kind,
        uint8 reason,
        uint16 counter,
        uint64 deadline,
        address signer,
        bytes calldata signature
    ) external;
    function release(
        bytes32 certificate,
        HoldKind kind,
        uint8 reason,
        uint16 counter,
        uint64 deadline,
        address signer,
        bytes calldata signature
    ) external;

    /// @notice Final; revoking again changes nothing.
    /// @param reason of RFC 5280: 0, 1, 3, 4, 5 or 9.
    function revoke(bytes32 certificate, uint8 reason, uint64 deadline, address signer, bytes calldata signature)
        external;

    /// @notice Revokes those of `tbsHashes` under this key that the signer's member owns, on one signature.
    function revokeByKey(
        bytes32 spkiHash,
        bytes32[] calldata tbsHashes,
        uint8 reason,
        uint64 deadline,
        address signer,
        bytes calldata signature
    ) external;

    /// @notice Blocks a key for everybody on proof of compromise: that key's own signature over `KeyCompromise`.
    function blockKeyByProof(bytes calldata subjectPublicKeyInfo, bytes32 r, bytes32 s) external;

    /// @notice Called by the Consortium when a vote was executed.
    function blockKey(bytes32 spkiHash, uint8 reason) external;
    function holdByVote(bytes32 certificate, uint8 reason) external;
    /// @param proposedAt a hold that was placed later stays.
    function releaseByVote(bytes32 certificate, uint40 proposedAt) external;

    function statusOf(bytes32 spkiHash, bytes32 tbsHash) external view returns (CertificateStatus memory);

    /// @notice The certificate's slot as it is stored, 0 when there is none: docs/ledger.md.
    function slotOf(bytes32 certificate) external view returns (uint256);

    /// @notice The block of a key for everybody; `since` is 0 when there is none.
    function keyBlock(bytes32 spkiHash) external view returns (uint8 reason, uint40 since, bool byProof);

    /// @notice What a member said about a batch; `endorsedAt` is 0 when it has not endorsed.
    function endorsement(uint40 batchId, uint16 member)
        external
        view
        returns (uint256 accepts, uint256 abstains, uint40 endorsedAt);
    function consortium() external view returns (address);
    function batch(uint40 id) external view returns (Batch memory);
    function batchOf(bytes32 digest) external view returns (uint40);
    function batchCount() external view returns (uint40);
    function lot(uint40 id) external view returns (Lot memory);
    function lotTerms(uint40 id) external view returns (LotTerms memory);
    function lotCount() external view returns (uint40);
    function isNonceUsed(address signer, uint256 nonce) external view returns (bool);
}
