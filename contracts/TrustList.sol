// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {TypedDomain} from "./TypedDomain.sol";
import {IConsortium} from "./interfaces/IConsortium.sol";
import {ITrustList} from "./interfaces/ITrustList.sol";
import {AuthorityCertificates, AuthorityFacts} from "./x509/AuthorityCertificates.sol";

/// @title Certificate authorities of the consortium, and whom they let sign their status
/// @notice Immutable, without owner. Nothing that ended here begins again. Source: docs/decisions/0019-trust-list.md.
/// @dev Slots 0 to 2 are read by proofs: frozen by a test.
contract TrustList is ITrustList, TypedDomain {
    bytes32 private constant PUBLISH_TYPE =
        keccak256("PublishAuthority(bytes32 certificateHash,uint16 member,uint8 scope,uint64 until,uint64 deadline)");
    bytes32 private constant WITHDRAW_TYPE = keccak256("Withdraw(bytes32 id,uint8 reason,uint64 deadline)");
    uint8 private constant MOST_BELOW_A_ROOT = 3; // CAs on one path: it bounds every walk up
    uint256 private constant REASONS = 0x23f; // 0 to 5, 9
    uint8 private constant KEY_COMPROMISE = 1;
    uint8 private constant CA_COMPROMISE = 2;
    uint8 private constant ALL_SCOPES = 7;

    mapping(bytes32 id => Authority) private _authorities;
    mapping(bytes32 id => Delegation) private _delegations;
    mapping(bytes32 nameAndKeyIdentifier => bytes32 id) private _issuers;
    mapping(bytes32 spkiHash => bytes32 id) private _compromised; // which authority was withdrawn for that

    IConsortium private immutable CONSORTIUM;

    constructor(address consortium_) TypedDomain(IConsortium(consortium_).salt()) {
        CONSORTIUM = IConsortium(consortium_);
    }

    modifier onlyConsortium() {
        if (msg.sender != address(CONSORTIUM)) revert TrustListNotConsortium(msg.sender);
        _;
    }

    // By vote

    /// @inheritdoc ITrustList
    function trustRootByVote(bytes calldata content) external onlyConsortium {
        (uint16 member, bytes memory der, uint8 scope, uint40 until) =
            abi.decode(content, (uint16, bytes, uint8, uint40));
        AuthorityFacts memory facts = AuthorityCertificates.readAuthority(der);
        if (facts.issuerHash != facts.subjectHash) {
            revert TrustListBadCertificate("a root's issuer is not its subject");
        }
        if (facts.issuerKeyIdentifierHash != 0 && facts.issuerKeyIdentifierHash != facts.keyIdentifierHash) {
            revert TrustListBadCertificate("a root's authorityKeyIdentifier is not its subjectKeyIdentifier");
        }
        _requireSigned(der, facts.keyKind, facts.key);
        Authority memory made;
        made.pathLength = facts.pathLength < MOST_BELOW_A_ROOT ? facts.pathLength : MOST_BELOW_A_ROOT;
        _add(made, facts, der, member, scope, until, msg.sender);
    }

    /// @inheritdoc ITrustList
    function withdrawByVote(bytes calldata content) external onlyConsortium {
        (bytes32 id, uint8 reason) = abi.decode(content, (bytes32, uint8));
        _requireKnown(id);
        _withdraw(id, reason, 0, msg.sender);
    }

    // By members

    /// @inheritdoc ITrustList
    function publishAuthority(
        bytes calldata der,
        uint16 member,
        uint8 scope,
        uint64 until,
        uint64 deadline,
        address administrator,
        bytes calldata signature
    ) external returns (bytes32) {
        _requireDeadline(deadline);
        // 1. Who signed the certificate.
        AuthorityFacts memory facts = AuthorityCertificates.readAuthority(der);
        Authority memory made;
        if (facts.issuerHash == facts.subjectHash) {
            revert TrustListBadCertificate("it names itself as its issuer, and is no root");
        }
        made.parent = _requireIssuer(facts);
        Authority memory parent = _authorities[made.parent];
        _requireSigned(der, parent.keyKind, parent.key);

        // 2. Who put it here.
        if (CONSORTIUM.actingMember(administrator, IConsortium.Role.Administrator) != parent.member) {
            revert TrustListNotAuthorised(administrator);
        }
        _requireOrder(
            administrator,
            keccak256(abi.encode(PUBLISH_TYPE, keccak256(der), member, scope, until, deadline)),
            signature
        );

        // 3. Inside of what the parent may.
        if (parent.pathLength == 0) revert TrustListBadCertificate("the path length above allows no CA below");
        made.pathLength = facts.pathLength < parent.pathLength ? facts.pathLength : parent.pathLength - 1;
        made.depth = parent.depth + 1;
        if (scope & ~parent.scope != 0) revert TrustListBadScope(scope);
        if (until > parent.trustedUntil) revert TrustListBadTime(until);
        return _add(made, facts, der, member, scope, until, administrator);
    }

    /// @inheritdoc ITrustList
    function delegate(bytes calldata der) external returns (bytes32) {
        AuthorityFacts memory facts = AuthorityCertificates.readDelegate(der);
        bytes32 by = _requireIssuer(facts);
        Authority storage issuer = _authorities[by];
        _requireSigned(der, issuer.keyKind, issuer.key);
        if (facts.notAfter < block.timestamp || facts.notAfter > issuer.trustedUntil) {
            revert TrustListBadTime(facts.notAfter);
        }
        if (_delegations[facts.id].authority != 0) revert TrustListKnown(facts.id);
        _delegations[facts.id] = Delegation(facts.delegation, facts.notBefore, facts.notAfter, 0, 0, by);
        emit DelegationPublished(facts.id, by, facts.delegation, facts.notBefore, facts.notAfter, der);
        return facts.id;
    }

    /// @inheritdoc ITrustList
    function withdraw(bytes32 id, uint8 reason, uint64 deadline, address administrator, bytes calldata signature)
        external
    {
        _requireDeadline(deadline);
        uint16 member = _memberOf(administrator);
        if (member == 0 || !_isAbove(member, _requireKnown(id))) revert TrustListNotAuthorised(administrator);
        _requireOrder(administrator, keccak256(abi.encode(WITHDRAW_TYPE, id, reason, deadline)), signature);
        _withdraw(id, reason, member, administrator);
    }

    // Views

    /// @inheritdoc ITrustList
    function authority(bytes32 id) external view returns (Authority memory) {
        return _authorities[id];
    }

    /// @inheritdoc ITrustList
    function delegation(bytes32 id) external view returns (Delegation memory) {
        return _delegations[id];
    }

    /// @inheritdoc ITrustList
    function isLive(bytes32 id) external view returns (bool) {
        Delegation storage given = _delegations[id];
        if (given.authority == 0) return _isLive(id);
        bool isGiven =
            given.withdrawnAt == 0 && given.validFrom <= block.timestamp && block.timestamp <= given.validUntil;
        return isGiven && _isLive(given.authority);
    }

    /// @inheritdoc ITrustList
    function withdrawalOf(bytes32 id) external view returns (uint40 since, uint8 reason, bytes32 withdrawn) {
        Delegation storage given = _delegations[id];
        if (given.authority != 0) {
            if (given.withdrawnAt != 0) (since, reason, withdrawn) = (given.withdrawnAt, given.reason, id);
            id = given.authority;
        }
        for (; id != 0; id = _authorities[id].parent) {
            uint40 endedAt = _authorities[id].withdrawnAt;
            if (endedAt != 0 && (since == 0 || endedAt < since)) {
                (since, reason, withdrawn) = (endedAt, _authorities[id].reason, id);
            }
        }
    }

    /// @inheritdoc ITrustList
    function issuerOf(bytes32 subjectHash, bytes32 keyIdentifierHash) external view returns (Issuer memory issuer) {
        bytes32 id = _issuers[Hashes.efficientKeccak256(subjectHash, keyIdentifierHash)];
        if (id == 0) return issuer;
        Authority storage known = _authorities[id];
        return Issuer(id, _isLive(id), known.scope, known.trustedUntil, known.keyKind, known.key);
    }

    /// @inheritdoc ITrustList
    function consortium() external view returns (address) {
        return address(CONSORTIUM);
    }

    // Inside

    /// @param made with parent, path length and depth
    function _add(
        Authority memory made,
        AuthorityFacts memory facts,
        bytes memory der,
        uint16 member,
        uint8 scope,
        uint64 until,
        address by
    ) private returns (bytes32 id) {
        id = facts.id;
        if (_authorities[id].member != 0) revert TrustListKnown(id);
        if (_compromised[facts.spkiHash] != 0) revert TrustListWithdrawn(_compromised[facts.spkiHash]);
        if (!CONSORTIUM.isActive(member)) revert TrustListUnknownMember(member);
        if (scope == 0 || scope > ALL_SCOPES || scope & ~facts.scope != 0) revert TrustListBadScope(scope);
        if (facts.notBefore > block.timestamp || until < block.timestamp || until > facts.notAfter) {
            revert TrustListBadTime(until);
        }
        made.trustedFrom = _takeName(facts, made.parent);
        made.member = member;
        made.scope = scope;
        made.keyKind = facts.keyKind;
        made.trustedUntil = uint40(until);
        made.subjectHash = facts.subjectHash;
        made.keyIdentifierHash = facts.keyIdentifierHash;
        made.spkiHash = facts.spkiHash;
        made.key = facts.key;
        _authorities[id] = made;
        emit AuthorityPublished(
            id,
            member,
            made.parent,
            scope,
            made.pathLength,
            made.trustedFrom,
            made.trustedUntil,
            made.subjectHash,
            made.keyIdentifierHash,
            by,
            der
        );
    }

    /// @dev A name and key identifier are those of one authority that is trusted. Only who vouches for that one may put a
    /// newer certificate of the same key in its place: a CA's name and key are public.
    /// @return from The first second in which it issues. One that takes another's place waits for the next: so a time says
    /// whose a certificate is, whatever the order within a block.
    function _takeName(AuthorityFacts memory facts, bytes32 parent) private returns (uint40 from) {
        from = uint40(block.timestamp);
        bytes32 name = Hashes.efficientKeccak256(facts.subjectHash, facts.keyIdentifierHash);
        bytes32 holder = _issuers[name];
        if (holder != 0 && _isTrusted(holder)) {
            Authority storage held = _authorities[holder];
            bool isRenewal =
                held.spkiHash == facts.spkiHash && _authorities[held.parent].member == _authorities[parent].member;
            if (!isRenewal) revert TrustListIssuerTaken(holder);
        }
        if (holder != 0) _authorities[holder].replacedAt = ++from;
        _issuers[name] = facts.id;
    }

    /// @dev The first withdrawal stays: it tells since when.
    function _withdraw(bytes32 id, uint8 reason, uint16 member, address by) private {
        if ((REASONS >> reason) & 1 == 0) revert TrustListBadReason(reason);
        if (_delegations[id].authority != 0) {
            Delegation storage given = _delegations[id];
            if (given.withdrawnAt != 0) return;
            (given.withdrawnAt, given.reason) = (uint40(block.timestamp), reason);
            emit DelegationWithdrawn(id, member, by, reason);
            return;
        }
        Authority storage known = _authorities[id];
        // Another certificate of that key would bring back what ended.
        if (reason == KEY_COMPROMISE || reason == CA_COMPROMISE) _compromised[known.spkiHash] = id;
        if (known.withdrawnAt != 0) return;
        (known.withdrawnAt, known.reason) = (uint40(block.timestamp), reason);
        emit AuthorityWithdrawn(id, member, by, reason);
    }

    /// @return issuer The authority that the certificate names, which must be live.
    function _requireIssuer(AuthorityFacts memory facts) private view returns (bytes32 issuer) {
        issuer = _issuers[Hashes.efficientKeccak256(facts.issuerHash, facts.issuerKeyIdentifierHash)];
        if (issuer == 0) revert TrustListUnknownIssuer(facts.issuerHash, facts.issuerKeyIdentifierHash);
        if (!_isLive(issuer)) revert TrustListIssuerNotLive(issuer);
    }

    /// @return issuer The authority itself, or the one that delegated.
    function _requireKnown(bytes32 id) private view returns (bytes32 issuer) {
        issuer = _delegations[id].authority;
        if (issuer == 0) issuer = id;
        if (_authorities[issuer].member == 0) revert TrustListUnknown(id);
    }

    function _isAbove(uint16 member, bytes32 id) private view returns (bool) {
        for (; id != 0; id = _authorities[id].parent) {
            if (_authorities[id].member == member) return true;
        }
        return false;
    }

    function _isLive(bytes32 id) private view returns (bool) {
        if (!_isTrusted(id) || block.timestamp < _authorities[id].trustedFrom) return false;
        for (; id != 0; id = _authorities[id].parent) {
            if (!CONSORTIUM.isActive(_authorities[id].member)) return false;
        }
        return true;
    }

    /// @dev Neither withdrawn nor out of time, up to a root. Whether members have their rights is another question: a
    /// suspended one may get them back.
    function _isTrusted(bytes32 id) private view returns (bool) {
        if (_authorities[id].member == 0) return false;
        for (; id != 0; id = _authorities[id].parent) {
            Authority storage known = _authorities[id];
            if (known.withdrawnAt != 0 || block.timestamp > known.trustedUntil) return false;
        }
        return true;
    }

    /// @return member For whom this administrator may withdraw: its rights to end something outlast a suspension.
    function _memberOf(address who) private view returns (uint16 member) {
        IConsortium.Account memory known = CONSORTIUM.account(who);
        if (!known.active || known.role != IConsortium.Role.Administrator) return 0;
        IConsortium.MemberState state = CONSORTIUM.memberState(known.member);
        bool mayAct = state == IConsortium.MemberState.Active || state == IConsortium.MemberState.Suspended;
        return mayAct ? known.member : 0;
    }

    function _requireSigned(bytes memory der, KeyKind kind, bytes memory key) private view {
        if (!AuthorityCertificates.isSignedBy(der, kind, key)) {
            revert TrustListBadCertificate("the signature does not verify with the issuer's key");
        }
    }

    function _requireDeadline(uint64 deadline) private view {
        if (block.timestamp > deadline) revert TrustListDeadlinePassed(deadline);
    }

    function _requireOrder(address administrator, bytes32 structHash, bytes calldata signature) private view {
        if (!_isSigned(administrator, structHash, signature)) revert TrustListBadSignature(administrator);
    }
}
