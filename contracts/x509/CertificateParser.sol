// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ITrustList} from "../interfaces/ITrustList.sol";
import {both, either} from "./Branchless.sol";
import {CertificateHead} from "./CertificateHead.sol";
import {CertificateParts, CertificateStructure} from "./CertificateParts.sol";
import {CertificatePolicy, Policy} from "./CertificatePolicy.sol";
import {CertificateRules, CheckedCertificate} from "./CertificateRules.sol";
import {CertificateTime} from "./CertificateTime.sol";
import {DerReader} from "./DerReader.sol";
import {DistinguishedName, Subject} from "./DistinguishedName.sol";
import {ExtensionContents, ExtensionFacts} from "./ExtensionContents.sol";
import {ExtensionList, Extensions} from "./Extensions.sol";
import {ProfileBits} from "./ProfileBits.sol";
import {PublicKey} from "./PublicKey.sol";
import {Reasons} from "./Reasons.sol";
import {SignatureVerifier} from "./SignatureVerifier.sol";
import {Names, SubjectAltName} from "./SubjectAltName.sol";

/// @title Parses the whole DER of certificates and checks them against a profile
/// @notice No bytes of a certificate make it revert: an entry is answered with the number of the first check that it
/// fails, in the order of `Reasons`. It runs out of gas only as a whole, never for one entry: there is no inner call
/// that could be starved (a precompile that fails for want of gas ends the transaction).
/// @dev The Python twin is pki_chain/x509/verify.py; tests/agreement holds the two together. For a profile of CA-issued
/// certificates the issuer is asked of the trust list, once for entries in a row that have the same one.
library CertificateParser {
    uint256 private constant LONGEST_CERTIFICATE = 2048;
    uint256 private constant EMPTY_NAME = 2; // octets

    // Bits of an authority's scope. Source: docs/decisions/0019-trust-list.md
    uint256 private constant SCOPE_IKE = 1;
    uint256 private constant SCOPE_TLS = 2;

    /// @dev What may be critical: RFC 5280 §4.2 bars SKI, AKI, EKU (here), CDP and AIA, and SAN beside a subject.
    uint256 private constant NEVER_CRITICAL = ProfileBits.EXT_SUBJECT_KEY_IDENTIFIER
        | ProfileBits.EXT_AUTHORITY_KEY_IDENTIFIER | ProfileBits.EXT_EXTENDED_KEY_USAGE
        | ProfileBits.EXT_CRL_DISTRIBUTION_POINTS | ProfileBits.EXT_AUTHORITY_INFO_ACCESS
        | ProfileBits.EXT_SUBJECT_ALT_NAME;

    /// @dev Of these exactly the first is wanted.
    uint256 private constant KEY_USAGES =
        ExtensionContents.DIGITAL_SIGNATURE | ExtensionContents.KEY_CERT_SIGN | ExtensionContents.CRL_SIGN;

    /// @notice Memory that one certificate after the other uses: allocating it for each entry would make memory grow.
    struct Desk {
        CertificateParts parts;
        ExtensionFacts facts;
        Names names;
        uint256 notAfter;
        uint256 modulus;
        uint256 modulusEnd;
        bytes32 issuerHash;
        bytes32 issuerKeyIdentifierHash;
        ITrustList.Issuer issuer;
    }

    /// @notice Checks every entry of a batch.
    /// @return results one for each certificate, in order
    function checkBatch(bytes[] calldata certificates, CertificateRules calldata rules)
        external
        view
        returns (CheckedCertificate[] memory results)
    {
        Policy memory policy = CertificatePolicy.load(rules);
        Desk memory desk;
        uint256 count = certificates.length;
        // The answer is written as it is encoded, since in memory and in the encoding a CheckedCertificate is the same
        // four words: allocating the results one by one and encoding them again costs 500 gas an entry. `results` is the
        // place of that encoding, and is returned as it stands.
        bytes memory answer = new bytes(64 + 128 * count);
        CheckedCertificate memory result;
        assembly ("memory-safe") {
            results := add(answer, 0x20)
            mstore(results, 0x20)
            mstore(add(results, 0x20), count)
            result := add(results, 0x40)
        }
        for (uint256 i = 0; i < count; ++i) {
            _checkCertificate(desk, policy, certificates[i], result);
            assembly ("memory-safe") {
                result := add(result, 0x80)
            }
        }
        assembly ("memory-safe") {
            return(results, mload(answer))
        }
    }

    function _checkCertificate(
        Desk memory desk,
        Policy memory policy,
        bytes calldata certificate,
        CheckedCertificate memory result
    ) private view {
        uint16 reason = _firstReason(desk, policy, certificate);
        CertificateParts memory parts = desk.parts;
        if (policy.caIssued && reason == Reasons.NONE) reason = _checkIssuer(desk, policy);
        if (reason == Reasons.NONE) {
            bytes32 tbsHash = SignatureVerifier.digest(parts.tbs, parts.tbsEnd);
            if (policy.caIssued ? _isSignedByIssuer(desk, tbsHash) : _isSigned(desk, tbsHash)) {
                result.notAfter = uint40(desk.notAfter);
                result.spkiHash = SignatureVerifier.digest(parts.spki, parts.spkiEnd);
                result.tbsHash = tbsHash;
                return;
            }
            reason = Reasons.BAD_SIGNATURE;
        }
        result.reason = reason;
    }

    /// @dev Checks 1 to 28, in this order.
    function _firstReason(Desk memory desk, Policy memory policy, bytes calldata certificate)
        private
        pure
        returns (uint16 reason)
    {
        // 1, 2: size, and structure to the last octet.
        if (certificate.length > LONGEST_CERTIFICATE) return Reasons.ENTRY_TOO_LARGE;
        uint256 start;
        assembly ("memory-safe") {
            start := certificate.offset
        }
        unchecked {
            if (!CertificateStructure.read(desk.parts, start, start + certificate.length)) {
                return Reasons.MALFORMED_DER;
            }
        }
        reason = _checkHead(desk.parts, policy);
        if (reason == Reasons.NONE) reason = _checkSubject(desk.parts, policy);
        if (reason == Reasons.NONE) reason = _checkValidity(desk, policy);
        if (reason == Reasons.NONE) reason = _checkKey(desk, policy);
        if (reason == Reasons.NONE) reason = _checkExtensions(desk, policy);
        if (reason == Reasons.NONE) reason = _checkNames(desk, policy);
        // The rest of check 8: a CN that equals an accepted dNSName needs no look at its characters, any other does.
        if (
            reason > Reasons.BAD_SUBJECT
                && !DistinguishedName.isPrintable(desk.parts.subject, DistinguishedName.COMMON_NAME)
        ) {
            reason = Reasons.BAD_SUBJECT;
        }
    }

    /// @dev 3 to 6: version, serial number, algorithms. Source: RFC 5280 §4.1.1.2, §4.1.2.1 to §4.1.2.3
    function _checkHead(CertificateParts memory parts, Policy memory policy) private pure returns (uint16) {
        if (!parts.isVersion3) return Reasons.WRONG_VERSION;
        if (!CertificateHead.hasGoodSerialNumber(parts)) return Reasons.BAD_SERIAL;
        uint256 algorithm = ProfileBits.SIGNATURE_ECDSA_SHA256;
        PublicKey.Kind other = PublicKey.Kind.Rsa;
        if (!parts.isEcdsaSha256) {
            if (!CertificateHead.areAlgorithmsEqual(parts)) return Reasons.ALGORITHM_MISMATCH;
            bool isRsa = SignatureVerifier.isRsaSha256(parts.outerAlgorithm, parts.outerAlgorithmEnd);
            algorithm = isRsa ? ProfileBits.SIGNATURE_RSA_SHA256 : 0;
            other = PublicKey.Kind.P256;
        }
        // Allowed by the profile, and, self-signed, not one that a key of the other kind would have to make.
        bool isAllowed =
            both(policy.signatureAlgorithms & algorithm != 0, either(policy.caIssued, parts.keyKind != other));
        return isAllowed ? Reasons.NONE : Reasons.UNSUPPORTED_ALGORITHM;
    }

    /// @dev 7 to 9: self-signed, subject by our naming rules, O that of the owner. One that a CA issued may be empty.
    function _checkSubject(CertificateParts memory parts, Policy memory policy) private pure returns (uint16) {
        if (policy.caIssued) {
            if (_isNameless(parts)) return Reasons.NONE;
        } else if (!parts.isIssuerSubject) {
            return Reasons.ISSUER_NOT_SUBJECT;
        }
        Subject memory subject = parts.subject;
        if (subject.isBad || !DistinguishedName.isPrintable(subject, DistinguishedName.SERIAL_NUMBER)) {
            return Reasons.BAD_SUBJECT;
        }
        unchecked {
            (uint256 tag, uint256 start, uint256 end) = DistinguishedName.place(subject, DistinguishedName.ORGANISATION);
            uint256 length = end - start;
            if (length == policy.organisationLength && DerReader.areEqual(start, policy.organisation, length)) {
                bool isGood = tag == DerReader.UTF8_STRING ? policy.organisationIsUtf8 : policy.organisationIsPrintable;
                return isGood ? Reasons.NONE : Reasons.BAD_SUBJECT;
            }
            bool isText = DistinguishedName.isText(tag, start, end);
            return isText ? Reasons.SUBJECT_NOT_OWNER : Reasons.BAD_SUBJECT;
        }
    }

    /// @dev 10 to 13. Source: RFC 5280 §4.1.2.5; notAfter is inclusive
    function _checkValidity(Desk memory desk, Policy memory policy) private pure returns (uint16) {
        (uint256 notBefore, uint256 notAfter, bool areTimes) =
            CertificateTime.parseBoth(desk.parts.notBefore, desk.parts.notAfter);
        if (either(!areTimes, notAfter < notBefore)) return Reasons.BAD_VALIDITY;
        if (notBefore > policy.latestNotBefore) return Reasons.NOT_YET_VALID;
        if (notAfter < policy.blockTime) return Reasons.EXPIRED;
        unchecked {
            bool isEndless = both(policy.endlessAllowed, notAfter == CertificateTime.ENDLESS);
            if (both(!isEndless, notAfter - notBefore > policy.longestLife)) return Reasons.LIFETIME_TOO_LONG;
        }
        desk.notAfter = notAfter;
        return Reasons.NONE;
    }

    /// @dev 14, 15.
    function _checkKey(Desk memory desk, Policy memory policy) private pure returns (uint16) {
        CertificateParts memory parts = desk.parts;
        bool isKey;
        PublicKey.Kind kind = parts.keyKind;
        uint256 allowed = policy.keyAlgorithms;
        if (both(kind == PublicKey.Kind.P256, allowed & ProfileBits.KEY_P256 != 0)) {
            isKey = PublicKey.isPoint(parts.key, parts.keyEnd);
        } else if (both(kind == PublicKey.Kind.Rsa, allowed & ProfileBits.KEY_RSA != 0)) {
            (isKey, desk.modulus, desk.modulusEnd) = PublicKey.readRsa(parts.key, parts.keyEnd);
        } else {
            return Reasons.KEY_ALGORITHM_NOT_ALLOWED;
        }
        return isKey ? Reasons.NONE : Reasons.BAD_POINT;
    }

    /// @dev 16 to 24. Source: RFC 5280 §4.2
    function _checkExtensions(Desk memory desk, Policy memory policy) private pure returns (uint16) {
        Extensions memory list = desk.parts.extensions;
        if (list.count > ExtensionList.MOST) return Reasons.TOO_MANY_EXTENSIONS;
        if (list.isRepeated) return Reasons.DUPLICATE_EXTENSION;
        if (list.isUnknownCritical) return Reasons.UNKNOWN_CRITICAL_EXTENSION;
        uint256 required = policy.requiredExtensions;
        uint256 never = NEVER_CRITICAL;
        uint256 always = ProfileBits.EXT_KEY_USAGE;
        if (policy.caIssued) {
            // Without AKI no issuer is found; beside an empty subject SAN is the name (RFC 5280 §4.1.2.6).
            required |= ProfileBits.EXT_AUTHORITY_KEY_IDENTIFIER;
            if (_isNameless(desk.parts)) {
                required |= ProfileBits.EXT_SUBJECT_ALT_NAME;
                always |= ProfileBits.EXT_SUBJECT_ALT_NAME;
                never ^= ProfileBits.EXT_SUBJECT_ALT_NAME;
            }
        }
        if ((list.critical & never) | (list.present & ~list.critical & always) != 0) return Reasons.BAD_CRITICALITY;
        ExtensionFacts memory facts = desk.facts;
        if (!ExtensionContents.read(list, facts) || !_readNames(desk, policy)) return Reasons.MALFORMED_EXTENSION;
        if (facts.isAuthority) return Reasons.CA_CERTIFICATE;
        if (facts.keyUsage & KEY_USAGES != ExtensionContents.DIGITAL_SIGNATURE) return Reasons.BAD_KEY_USAGE;
        uint256 purposes = facts.purposes;
        if (purposes == 0) {
            if (!policy.ekuMayBeAbsent) return Reasons.BAD_EXTENDED_KEY_USAGE;
        } else if ((policy.ekuRequired & ~purposes) | (purposes & ~policy.ekuAllowed) != 0) {
            return Reasons.BAD_EXTENDED_KEY_USAGE;
        }
        return required & ~list.present == 0 ? Reasons.NONE : Reasons.MISSING_EXTENSION;
    }

    function _readNames(Desk memory desk, Policy memory policy) private pure returns (bool) {
        Extensions memory list = desk.parts.extensions;
        desk.names.count = 0;
        desk.names.isRefused = false;
        if (list.present & ProfileBits.EXT_SUBJECT_ALT_NAME == 0) return true;
        (uint256 start, uint256 end) = ExtensionList.place(list, ExtensionList.SUBJECT_ALT_NAME);
        return SubjectAltName.read(desk.names, policy, start, end);
    }

    /// @dev 25 to 28.
    function _checkNames(Desk memory desk, Policy memory policy) private pure returns (uint16 reason) {
        reason = SubjectAltName.check(desk.names, policy);
        if (reason != Reasons.NONE) return reason;
        (uint256 tag, uint256 start, uint256 end) =
            DistinguishedName.place(desk.parts.subject, DistinguishedName.COMMON_NAME);
        if (tag != 0 && !SubjectAltName.hasDnsName(desk.names, start, end)) return Reasons.COMMON_NAME_NOT_IN_SAN;
    }

    /// @dev 33 to 35, before 29: the authority with the issuer's name and key identifier. One that names itself as its
    /// issuer has none: many a verifier takes it for self-signed.
    function _checkIssuer(Desk memory desk, Policy memory policy) private view returns (uint16) {
        CertificateParts memory parts = desk.parts;
        if (parts.isIssuerSubject || policy.trustList == address(0)) return Reasons.UNKNOWN_ISSUER;
        (uint256 start, uint256 end) = ExtensionList.place(parts.extensions, ExtensionList.AUTHORITY_KEY_IDENTIFIER);
        bytes32 issuerHash = DerReader.hash(parts.issuer, parts.issuerEnd);
        bytes32 keyIdentifierHash = DerReader.hash(start + ExtensionContents.AKI_HEAD, end);
        if (desk.issuerHash != issuerHash || desk.issuerKeyIdentifierHash != keyIdentifierHash) {
            desk.issuer = ITrustList(policy.trustList).issuerOf(issuerHash, keyIdentifierHash);
            desk.issuerHash = issuerHash;
            desk.issuerKeyIdentifierHash = keyIdentifierHash;
        }
        ITrustList.Issuer memory issuer = desk.issuer;
        if (issuer.authority == 0) return Reasons.UNKNOWN_ISSUER;
        if (!issuer.isLive || desk.notAfter > issuer.trustedUntil) return Reasons.ISSUER_NOT_LIVE;
        uint256 scope = _neededScope(desk.facts.purposes);
        return scope == 0 || scope & ~uint256(issuer.scope) != 0 ? Reasons.ISSUER_OUT_OF_SCOPE : Reasons.NONE;
    }

    /// @dev IKE is also what any purpose, or none named, stands for (RFC 4945 §5.1.3.12).
    function _neededScope(uint256 purposes) private pure returns (uint256 scope) {
        if (purposes == 0 || purposes & (ProfileBits.EKU_IPSEC_IKE | ProfileBits.EKU_ANY) != 0) scope = SCOPE_IKE;
        if (purposes & (ProfileBits.EKU_SERVER_AUTH | ProfileBits.EKU_CLIENT_AUTH) != 0) scope |= SCOPE_TLS;
    }

    function _isNameless(CertificateParts memory parts) private pure returns (bool) {
        unchecked {
            return parts.subjectNameEnd - parts.subjectName == EMPTY_NAME;
        }
    }

    /// @dev 29: over the exact octets of TBSCertificate, by the key that it holds.
    function _isSigned(Desk memory desk, bytes32 tbsHash) private view returns (bool) {
        CertificateParts memory parts = desk.parts;
        if (parts.keyKind == PublicKey.Kind.P256) {
            return SignatureVerifier.verifyEcdsa(tbsHash, parts.signature, parts.signatureEnd, parts.key);
        }
        return SignatureVerifier.verifyRsa(tbsHash, parts.signature, parts.signatureEnd, desk.modulus, desk.modulusEnd);
    }

    /// @dev 29 as well: by the authority's key, of the kind that the algorithm needs.
    function _isSignedByIssuer(Desk memory desk, bytes32 tbsHash) private view returns (bool) {
        CertificateParts memory parts = desk.parts;
        ITrustList.Issuer memory issuer = desk.issuer;
        if (parts.isEcdsaSha256 != (issuer.keyKind == ITrustList.KeyKind.P256)) return false;
        return SignatureVerifier.verifyBy(issuer.key, tbsHash, parts.signature, parts.signatureEnd);
    }
}
