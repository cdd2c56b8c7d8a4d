// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title Identities of people: a random id, the key on a person's card, and who answers for it
/// @notice Nothing here is personal, nor a hash of anything personal: ids are random, keys are made on cards. Accounts
/// of a member only sign (EIP-712, domain as in every contract of the consortium); anyone may relay. Every order can be
/// relayed again without harm: it finds the state changed, or the counter. Source: docs/ledger.md, Identities.
///
/// Signed texts, in the domain of this contract:
/// - `Register(bytes32 entriesHash,uint64 deadline)`, the hash = `keccak256(abi.encode(Registration[]))`
/// - `Activate(bytes32 entriesHash,uint64 deadline)`, the hash = `keccak256(abi.encode(Activation[]))`
/// - `HoldIdentity(bytes32 identity,uint16 counter,uint64 deadline)`
/// - `ReleaseIdentity(bytes32 identity,uint16 counter,uint64 deadline)`
/// - `RevokeIdentity(bytes32 identity,uint8 reason,uint64 deadline)`
/// - `ReplaceKey(bytes32 entryHash,uint16 counter,uint64 deadline)`, the hash = `keccak256(abi.encode(Registration))`
/// - `StartReplacement(bytes32 entryHash,uint16 counter,uint64 deadline)`, the hash as above
/// - `ConfirmReplacement(bytes32 identity,bytes32 x,bytes32 y,uint16 counter,uint64 deadline)`
/// - `CancelReplacement(bytes32 identity,uint16 counter,uint64 deadline)`
/// - `Possession(uint16 operator,bytes32 identity,bytes32 x,bytes32 y,uint8 purpose,uint64 deadline)`: its EIP-712
///   digest is the payload of the JWS that a card signs, header `{"alg":"ES256","typ":"tally-possession+jws"}`.
/// - `Word(uint16 operator,bytes32 identity,bytes32 x,bytes32 y,uint8 purpose,uint40 activatedAt,uint64 deadline)`, in
///   the same way: what the current key says of another one. `activatedAt` is the identity's own.
interface IIdentityRegistry {
    /// @notice What `stateOf` answers, the first that applies: revoked, held, replacing, then registered or active.
    enum State {
        None,
        Registered, // the card proved possession; the person has not signed yet
        Active,
        Held,
        Replacing, // another key waits for its delay: logins are refused or of the lowest level
        Revoked // final
    }

    /// @notice Who answers for the card that made the key. An emulator has none.
    enum Attestation {
        None,
        Personaliser,
        VendorCertificate
    }

    /// @notice What a card proves possession for.
    enum Purpose {
        None,
        Register,
        Activate,
        Replace, // the new key proves itself; the old key agrees to it, over the new key's coordinates
        Cancel // the current key refuses a waiting replacement, over the waiting key's coordinates
    }

    /// @notice Why an entry of a batch, or the key of a replacement, is refused.
    enum Refusal {
        None,
        BadIdentity, // id zero
        IdentityTaken,
        BadKey, // not a point of P-256
        KeyTaken, // a key belongs to one identity, for ever
        KeyBlocked, // in the CertificateRegistry
        BadAttestation, // an emulator is not attested
        DeadlinePassed,
        BadProof,
        UnknownIdentity, // none, or another member's
        WrongState
    }

    /// @notice A key for an identity, with the card's proof (r, s) of possession; s may be low or high.
    /// @param deadline the last second at which the proof is good.
    struct Registration {
        bytes32 identity;
        bytes32 x;
        bytes32 y;
        Attestation attestation;
        bool cardEnforced;
        bool emulator;
        uint64 deadline;
        bytes32 r;
        bytes32 s;
    }

    /// @notice A proof by the identity's current key: `Possession` to activate, `Word` to replace and to cancel.
    struct Activation {
        bytes32 identity;
        uint64 deadline;
        bytes32 r;
        bytes32 s;
    }

    /// @param operator the member that registered it, and the only one that may order.
    /// @param counter raised by every hold, release and step of a replacement; orders for these name it.
    /// @param reason of a revocation (RFC 5280), otherwise 0.
    /// @param activatedAt by the current key; 0 while that has not signed.
    struct Identity {
        State state;
        uint16 operator;
        Attestation attestation;
        bool cardEnforced;
        bool emulator;
        bool held;
        bool replacing;
        uint8 reason;
        uint16 counter;
        uint16 keyCount;
        uint40 registeredAt;
        uint40 keySince;
        uint40 activatedAt;
        uint40 changedAt;
        bytes32 x;
        bytes32 y;
    }

    /// @param until 0 for the current key.
    struct Key {
        bytes32 x;
        bytes32 y;
        Attestation attestation;
        bool cardEnforced;
        bool emulator;
        uint40 since;
        uint40 until;
    }

    /// @param startedBy zero when none waits.
    struct Replacement {
        bytes32 x;
        bytes32 y;
        Attestation attestation;
        bool cardEnforced;
        bool emulator;
        address startedBy;
        uint40 executableAt;
    }

    error IdentityBatchSize(uint256 count);
    error IdentityDeadlinePassed(uint64 deadline);
    error IdentityDeadlineTooFar(uint64 deadline);
    error IdentityNotAuthorised(address account);
    error IdentityBadSignature(address signer);
    error IdentityBadProof(bytes32 identity);
    error IdentityBadReason(uint8 reason);
    error IdentityBadDelay(uint32 delaySeconds);
    error IdentityUnknown(bytes32 identity);
    error IdentityWrongState(bytes32 identity, State state);
    error IdentityCounter(bytes32 identity, uint16 expected, uint16 given);
    error IdentityCounterExhausted(bytes32 identity);
    error IdentityKeyRefused(bytes32 identity, Refusal refusal);
    error IdentityKeyBlocked(bytes32 identity);
    error IdentityKeyNotBlocked(bytes32 identity);
    error IdentityNoReplacement(bytes32 identity);
    error IdentityOtherKey(bytes32 identity);
    error IdentitySameAccount(address account);
    error IdentityTooEarly(bytes32 identity, uint40 executableAt);

    event IdentityRegistered(
        bytes32 indexed identity,
        uint16 indexed operator,
        address by,
        bytes32 x,
        bytes32 y,
        Attestation attestation,
        bool cardEnforced,
        bool emulator
    );
    /// @notice An entry of a batch that had no effect. One that had its effect before leaves no event.
    event IdentityEntryRefused(bytes32 indexed identity, uint16 indexed operator, bytes32 x, Refusal refusal);
    event IdentityActivated(bytes32 indexed identity, uint16 indexed operator, address by);
    /// @param member 0 and `by` the relayer when anyone held it because its key is blocked.
    event IdentityHeld(bytes32 indexed identity, uint16 indexed member, address by, uint16 counter);
    event IdentityReleased(bytes32 indexed identity, uint16 indexed member, address by, uint16 counter);
    event IdentityRevoked(bytes32 indexed identity, uint16 indexed member, address by, uint8 reason);
    event ReplacementStarted(
        bytes32 indexed identity,
        uint16 indexed operator,
        address by,
        bytes32 x,
        bytes32 y,
        Attestation attestation,
        bool cardEnforced,
        bool emulator,
        uint40 executableAt,
        uint16 counter
    );
    /// @param byCard true when the current key refused it; otherwise a member's order or a hold or a revocation ended it.
    event ReplacementCancelled(
        bytes32 indexed identity, uint16 indexed operator, address by, bool byCard, uint16 counter
    );
    /// @notice From now on the identity is registered, not active, until the new key signs.
    /// @param index of the new key in the history.
    /// @param byOldKey true when the old key agreed; false after a delay, by two accounts.
    event IdentityKeyReplaced(
        bytes32 indexed identity,
        uint16 indexed operator,
        address by,
        uint16 index,
        bytes32 x,
        bytes32 y,
        Attestation attestation,
        bool cardEnforced,
        bool emulator,
        bool byOldKey,
        uint16 counter
    );

    /// @notice Registers a batch of 1 to 100 identities of the signer's member, which must be an operator or a service.
    /// An entry that cannot be taken leaves `IdentityEntryRefused` and hinders no other.
    /// @param signer a registrar or administrator; the proofs name its member.
    function register(Registration[] calldata entries, uint64 deadline, address signer, bytes calldata signature)
        external;

    /// @notice From registered to active, 1 to 100 identities, by the first signature of each person's card.
    /// @param signer a registrar or administrator of the identities' operator.
    function activate(Activation[] calldata entries, uint64 deadline, address signer, bytes calldata signature) external;

    /// @notice Ends a waiting replacement too.
    /// @param signer a registrar, duty account or administrator of the operator, suspended too.
    function hold(bytes32 identity, uint16 counter, uint64 deadline, address signer, bytes calldata signature) external;

    /// @notice Holds an identity whose current key is blocked in the CertificateRegistry. Anyone may call it.
    function holdBlocked(bytes32 identity) external;

    /// @param signer an administrator of the operator.
    function release(bytes32 identity, uint16 counter, uint64 deadline, address signer, bytes calldata signature)
        external;

    /// @notice Final; revoking again changes nothing.
    /// @param reason of RFC 5280: 0, 1, 3, 4, 5 or 9.
    /// @param signer an administrator of the operator, suspended too.
    function revoke(bytes32 identity, uint8 reason, uint64 deadline, address signer, bytes calldata signature) external;

    /// @notice Replaces the key at once: the new key proves itself and the old one agrees.
    /// @param entry its proof is of purpose `Replace`.
    /// @param agreement a `Word` of the current key, which was activated, purpose `Replace`, over the new key; its
    /// deadline at most 24 hours ahead.
    /// @param signer a registrar or administrator of the operator.
    function replaceKey(
        Registration calldata entry,
        Activation calldata agreement,
        uint16 counter,
        uint64 deadline,
        address signer,
        bytes calldata signature
    ) external;

    /// @notice For a lost card: a new key waits for the delay and for another account's confirmation.
    /// @param entry its proof is of purpose `Replace`.
    /// @param signer a registrar or administrator of the operator.
    function startReplacement(
        Registration calldata entry,
        uint16 counter,
        uint64 deadline,
        address signer,
        bytes calldata signature
    ) external;

    /// @param signer an administrator of the operator, not the account that started it, which may order still.
    function confirmReplacement(
        bytes32 identity,
        bytes32 x,
        bytes32 y,
        uint16 counter,
        uint64 deadline,
        address signer,
        bytes calldata signature
    ) external;

    /// @param signer a registrar, duty account or administrator of the operator, suspended too.
    function cancelReplacement(
        bytes32 identity,
        uint16 counter,
        uint64 deadline,
        address signer,
        bytes calldata signature
    ) external;

    /// @notice The person's own veto: the current card refuses the waiting key, which is then never taken. Anyone may
    /// relay it; no account of the operator is needed.
    /// @param veto a `Word` of the current key, purpose `Cancel`, over the waiting key; its deadline at most 24 hours ahead.
    function cancelByCard(Activation calldata veto) external;

    function stateOf(bytes32 identity) external view returns (State);

    /// @notice Everything that holds now; all zero for an id that nobody registered.
    function identityOf(bytes32 identity) external view returns (Identity memory);
    function replacementOf(bytes32 identity) external view returns (Replacement memory);
    function keyCount(bytes32 identity) external view returns (uint16);

    /// @notice A key of the history, 0 the first; all zero when there is none of this index.
    function keyAt(bytes32 identity, uint16 index) external view returns (Key memory);

    /// @return The identity that a key belongs to, for ever; 0 for none, all ones for a key that a card refused.
    /// @dev By the x coordinate alone: the point mirrored at the x axis is the same key.
    function identityOfKey(bytes32 x) external view returns (bytes32);

    /// @notice The digest that a card signs as the payload of its JWS.
    function possessionDigest(uint16 operator, bytes32 identity, bytes32 x, bytes32 y, Purpose purpose, uint64 deadline)
        external
        view
        returns (bytes32);

    /// @notice The digest of a `Word` by the identity's current key, as things stand.
    function wordDigest(bytes32 identity, bytes32 x, bytes32 y, Purpose purpose, uint64 deadline)
        external
        view
        returns (bytes32);
    function replacementDelaySeconds() external view returns (uint32);
    function consortium() external view returns (address);
}
