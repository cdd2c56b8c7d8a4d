// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title Certificate authorities that the consortium trusts, and who answers for their certificates' status
/// @notice Named in the Directory as keccak256("TrustList"). A root comes by vote; an issuing CA by the certificate that
/// its parent signed and an order of the parent's member; a delegation by the CA's own signature, relayed by anybody.
/// Ids are as for certificates: keccak256(abi.encode(sha256(SPKI TLV), sha256(TBS TLV))). Source: docs/ledger.md.
interface ITrustList {
    enum KeyKind {
        None,
        P256,
        Rsa
    }

    enum DelegationKind {
        None,
        OcspSigning,
        CrlSigning
    }

    /// @param member whose CA it is
    /// @param scope bits: IKE 1, TLS 2, slice 4
    /// @param pathLength how many CAs may stand below it on one path
    /// @param depth how many stand above it: 0 for a root
    /// @param trustedFrom the first second in which it issues: that of its publication, or the one after where it took
    /// another's place
    /// @param trustedUntil the last second; no certificate below it lives longer
    /// @param withdrawnAt 0 while it is not withdrawn itself; withdrawal is final
    /// @param reason of the withdrawal, RFC 5280 §5.3.1
    /// @param replacedAt the first second in which another issues under its name and key identifier; 0 while it does
    /// itself. What was submitted from `trustedFrom` on and before that second is its own: proofs are judged by it.
    /// @param parent 0 for a root
    /// @param subjectHash keccak256 of the DER of the subject Name
    /// @param keyIdentifierHash keccak256 of the octets of subjectKeyIdentifier
    /// @param spkiHash SHA-256 of SubjectPublicKeyInfo
    /// @param key P-256: x and y, 64 octets; RSA: the modulus, 256 to 512 octets (the exponent is 65,537)
    struct Authority {
        uint16 member;
        uint8 scope;
        uint8 pathLength;
        uint8 depth;
        KeyKind keyKind;
        uint40 trustedFrom;
        uint40 trustedUntil;
        uint40 withdrawnAt;
        uint8 reason;
        uint40 replacedAt;
        bytes32 parent;
        bytes32 subjectHash;
        bytes32 keyIdentifierHash;
        bytes32 spkiHash;
        bytes key;
    }

    /// @param authority the CA that delegated
    /// @param validFrom notBefore of the delegated certificate; `validUntil` is its notAfter, the last second
    struct Delegation {
        DelegationKind kind;
        uint40 validFrom;
        uint40 validUntil;
        uint40 withdrawnAt;
        uint8 reason;
        bytes32 authority;
    }

    /// @notice What is asked of an issuer before a certificate is accepted.
    /// @param authority 0 where there is none
    /// @param isLive as `isLive`
    struct Issuer {
        bytes32 authority;
        bool isLive;
        uint8 scope;
        uint40 trustedUntil;
        KeyKind keyKind;
        bytes key;
    }

    error TrustListNotConsortium(address caller);
    error TrustListNotAuthorised(address account);
    error TrustListBadSignature(address signer);
    error TrustListDeadlinePassed(uint64 deadline);
    error TrustListUnknownMember(uint16 member);
    error TrustListUnknown(bytes32 id);
    error TrustListKnown(bytes32 id);

    /// @notice This authority of the same key was withdrawn for compromise.
    error TrustListWithdrawn(bytes32 id);
    error TrustListUnknownIssuer(bytes32 subjectHash, bytes32 keyIdentifierHash);
    error TrustListIssuerNotLive(bytes32 authority);

    /// @notice Another CA that is live has this name and key identifier already.
    error TrustListIssuerTaken(bytes32 authority);
    error TrustListBadScope(uint8 scope);
    error TrustListBadTime(uint64 until);
    error TrustListBadReason(uint8 reason);

    /// @notice The certificate is not one of a CA, or of its delegate, as docs/ledger.md wants it.
    error TrustListBadCertificate(string reason);

    /// @notice From now on `authority` is the issuer for its name and key identifier, in place of any before.
    /// @param parent 0 for a root
    /// @param by the administrator who signed; the Consortium for a root
    event AuthorityPublished(
        bytes32 indexed authority,
        uint16 indexed member,
        bytes32 indexed parent,
        uint8 scope,
        uint8 pathLength,
        uint40 trustedFrom,
        uint40 trustedUntil,
        bytes32 subjectHash,
        bytes32 keyIdentifierHash,
        address by,
        bytes der
    );
    event DelegationPublished(
        bytes32 indexed delegation,
        bytes32 indexed authority,
        DelegationKind kind,
        uint40 validFrom,
        uint40 validUntil,
        bytes der
    );

    /// @param member whose administrator ordered it; 0 by vote, and then `by` is the Consortium
    event AuthorityWithdrawn(bytes32 indexed authority, uint16 indexed member, address by, uint8 reason);
    event DelegationWithdrawn(bytes32 indexed delegation, uint16 indexed member, address by, uint8 reason);

    /// @notice Called by the Consortium when a vote was executed.
    /// @param content `abi.encode(uint16 member, bytes der, uint8 scope, uint40 until)`
    function trustRootByVote(bytes calldata content) external;

    /// @notice Likewise, of an authority or a delegation.
    /// @param content `abi.encode(bytes32 id, uint8 reason)`
    function withdrawByVote(bytes calldata content) external;

    /// @notice Puts a CA certificate that an authority of the list signed on the list. Anyone may relay.
    /// @param member whose CA it is; the administrator is one of the member of the authority that signed it.
    /// @param until at most notAfter, and at most the parent's
    /// @param signature over `PublishAuthority(bytes32 certificateHash,uint16 member,uint8 scope,uint64 until,uint64
    /// deadline)`, certificateHash being keccak256(der)
    function publishAuthority(
        bytes calldata der,
        uint16 member,
        uint8 scope,
        uint64 until,
        uint64 deadline,
        address administrator,
        bytes calldata signature
    ) external returns (bytes32 authority);

    /// @notice Puts a certificate on the list by which an authority of the list lets its status be signed by another
    /// key. The authority's signature in it is the authorisation. Anyone may relay.
    function delegate(bytes calldata der) external returns (bytes32 delegation);

    /// @notice Ends an authority and all below it, or a delegation, for good. By an administrator of its member, or of
    /// the member of an authority above it; also of a suspended member.
    /// @param reason of RFC 5280: 0 to 5 or 9
    /// @param signature over `Withdraw(bytes32 id,uint8 reason,uint64 deadline)`
    function withdraw(bytes32 id, uint8 reason, uint64 deadline, address administrator, bytes calldata signature)
        external;

    function authority(bytes32 id) external view returns (Authority memory);
    function delegation(bytes32 id) external view returns (Delegation memory);

    /// @notice Whether an authority or a delegation holds at block time: it has begun, neither it nor any authority above
    /// it is withdrawn or out of time, and the members of all of them are active.
    function isLive(bytes32 id) external view returns (bool);

    /// @notice The first withdrawal among an authority or delegation and the authorities above it.
    /// @return since 0 where none is withdrawn
    /// @return reason that of the withdrawal
    /// @return withdrawn which of them it was
    function withdrawalOf(bytes32 id) external view returns (uint40 since, uint8 reason, bytes32 withdrawn);

    /// @notice The authority that issues under this name and key identifier now.
    function issuerOf(bytes32 subjectHash, bytes32 keyIdentifierHash) external view returns (Issuer memory);
    function consortium() external view returns (address);
}
