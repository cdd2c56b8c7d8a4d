// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {ITrustList} from "../interfaces/ITrustList.sol";
import {CertificateHead} from "./CertificateHead.sol";
import {CertificateParts, CertificateStructure} from "./CertificateParts.sol";
import {CertificateTime} from "./CertificateTime.sol";
import {DerReader} from "./DerReader.sol";
import {ExtensionContents, ExtensionFacts} from "./ExtensionContents.sol";
import {ExtensionList, Extensions} from "./Extensions.sol";
import {ProfileBits} from "./ProfileBits.sol";
import {PublicKey} from "./PublicKey.sol";
import {SignatureVerifier} from "./SignatureVerifier.sol";

/// @notice What a certificate of an authority or its delegate says, by the rules for it.
/// @param id of the certificate, as everywhere
/// @param issuerHash keccak256 of the DER of the issuer Name, subjectHash likewise
/// @param keyIdentifierHash keccak256 of SKI's octets, issuerKeyIdentifierHash of AKI's; 0 where there is no AKI
/// @param pathLength 255 where there is none, or of a delegate
/// @param scope what extendedKeyUsage of an authority allows: all where there is none
/// @param delegation None of an authority
struct AuthorityFacts {
    bytes32 id;
    bytes32 spkiHash;
    bytes32 issuerHash;
    bytes32 subjectHash;
    bytes32 keyIdentifierHash;
    bytes32 issuerKeyIdentifierHash;
    uint40 notBefore;
    uint40 notAfter;
    uint8 pathLength;
    uint8 scope;
    ITrustList.DelegationKind delegation;
    ITrustList.KeyKind keyKind;
    bytes key;
}

/// @title Certificates of authorities, and of the keys that they let sign their status
/// @notice Read by the same readers as devices' certificates, strict DER all over; what does not fit is refused with the
/// words for it. Sources: RFC 5280 §4.2, §6.1.4; RFC 6960 §4.2.2.2; docs/decisions/0019-trust-list.md.
library AuthorityCertificates {
    uint256 private constant LONGEST_CERTIFICATE = 2048;
    uint256 private constant EMPTY_NAME = 2; // octets
    uint256 private constant LONGEST_OCSP_DELEGATION = 31 days;
    uint256 private constant LONGEST_CRL_DELEGATION = 397 days;
    uint8 private constant UNBOUNDED = 255;

    uint8 private constant SCOPE_IKE = 1;
    uint8 private constant SCOPE_TLS = 2;
    uint8 private constant SCOPE_ALL = 7;

    /// @dev Critical extensions are processed or refused: what SAN of a CA says, we do not ask.
    uint256 private constant NEVER_CRITICAL = ProfileBits.EXT_SUBJECT_KEY_IDENTIFIER
        | ProfileBits.EXT_AUTHORITY_KEY_IDENTIFIER | ProfileBits.EXT_CRL_DISTRIBUTION_POINTS
        | ProfileBits.EXT_AUTHORITY_INFO_ACCESS | ProfileBits.EXT_SUBJECT_ALT_NAME;

    /// @dev ExtKeyUsageSyntax of id-kp-OCSPSigning alone, 12 octets.
    uint256 private constant OCSP_SIGNING = 0x300a06082b06010505070309;
    bytes32 private constant NO_CHECK = keccak256(hex"2b0601050507300105"); // id-pkix-ocsp-nocheck
    bytes32 private constant NAME_CONSTRAINTS = keccak256(hex"551d1e");

    /// @notice A certificate of a CA. Reverts with `TrustListBadCertificate` where it is none.
    function readAuthority(bytes calldata der) external view returns (AuthorityFacts memory facts) {
        (CertificateParts memory parts, ExtensionFacts memory contents) = _read(der);
        Extensions memory list = parts.extensions;
        _require(contents.isAuthority, "basicConstraints does not say cA");
        _require(list.critical & ProfileBits.EXT_BASIC_CONSTRAINTS != 0, "basicConstraints is not critical");
        _require(contents.keyUsage & ExtensionContents.KEY_CERT_SIGN != 0, "keyUsage lacks keyCertSign");
        // Not critical, as some make them, they bind whoever knows them all the same.
        _require(!_has(list, NAME_CONSTRAINTS), "nameConstraints are not processed");
        facts = _gather(parts);
        facts.pathLength = _pathLength(list);
        facts.scope = _scopeOf(contents.purposes);
    }

    /// @notice A certificate for a key that signs OCSP answers or CRLs in place of the CA. Reverts likewise.
    function readDelegate(bytes calldata der) external view returns (AuthorityFacts memory facts) {
        (CertificateParts memory parts, ExtensionFacts memory contents) = _read(der);
        Extensions memory list = parts.extensions;
        _require(!contents.isAuthority, "basicConstraints says cA");
        _require(contents.keyUsage & ExtensionContents.KEY_CERT_SIGN == 0, "keyUsage of a delegate has keyCertSign");
        _require(list.present & ProfileBits.EXT_AUTHORITY_KEY_IDENTIFIER != 0, "authorityKeyIdentifier is missing");
        facts = _gather(parts);
        bool signsLists = contents.keyUsage & ExtensionContents.CRL_SIGN != 0;
        uint256 life = facts.notAfter - facts.notBefore;
        if (list.present & ProfileBits.EXT_EXTENDED_KEY_USAGE == 0) {
            _require(signsLists, "neither extendedKeyUsage OCSPSigning nor keyUsage cRLSign");
            _require(parts.isIssuerSubject, "the subject of a CRL signer is not its CA's name");
            _require(life <= LONGEST_CRL_DELEGATION, "a CRL signer's certificate lives longer than 397 days");
            facts.delegation = ITrustList.DelegationKind.CrlSigning;
        } else {
            _require(_isOcspSigning(list), "extendedKeyUsage is not OCSPSigning alone");
            _require(!signsLists, "keyUsage of an OCSP signer has cRLSign");
            _require(contents.keyUsage & ExtensionContents.DIGITAL_SIGNATURE != 0, "keyUsage lacks digitalSignature");
            _require(_has(list, NO_CHECK), "id-pkix-ocsp-nocheck is missing");
            _require(life <= LONGEST_OCSP_DELEGATION, "an OCSP signer's certificate lives longer than 31 days");
            facts.delegation = ITrustList.DelegationKind.OcspSigning;
        }
    }

    /// @notice Whether this key made the signature of a certificate that was read before.
    function isSignedBy(bytes calldata der, ITrustList.KeyKind kind, bytes memory key) external view returns (bool) {
        CertificateParts memory parts;
        (uint256 start, uint256 end) = _place(der);
        if (!CertificateStructure.read(parts, start, end)) return false;
        if (parts.isEcdsaSha256 != (kind == ITrustList.KeyKind.P256)) return false;
        bytes32 hash = SignatureVerifier.digest(parts.tbs, parts.tbsEnd);
        return SignatureVerifier.verifyBy(key, hash, parts.signature, parts.signatureEnd);
    }

    /// @dev What all of them have in common: form, version, serial number, algorithm, names, extensions.
    function _read(bytes calldata der)
        private
        pure
        returns (CertificateParts memory parts, ExtensionFacts memory contents)
    {
        _require(der.length <= LONGEST_CERTIFICATE, "longer than 2,048 octets");
        (uint256 start, uint256 end) = _place(der);
        _require(CertificateStructure.read(parts, start, end), "not one certificate in strict DER");
        _require(parts.isVersion3, "not version 3");
        _require(CertificateHead.hasGoodSerialNumber(parts), "serialNumber is not positive, or too long");
        if (!parts.isEcdsaSha256) {
            bool isRsa = CertificateHead.areAlgorithmsEqual(parts)
                && SignatureVerifier.isRsaSha256(parts.outerAlgorithm, parts.outerAlgorithmEnd);
            _require(isRsa, "signed neither with ecdsa-with-SHA256 nor with sha256WithRSAEncryption");
        }
        _require(parts.subjectNameEnd - parts.subjectName != EMPTY_NAME, "the subject is empty");
        Extensions memory list = parts.extensions;
        _require(list.count <= ExtensionList.MOST && !list.isRepeated, "extensions are too many, or repeated");
        _require(!list.isUnknownCritical, "a critical extension that is not processed");
        _require(list.critical & NEVER_CRITICAL == 0, "an extension is critical that must not be");
        _require(list.critical & ProfileBits.EXT_KEY_USAGE != 0, "keyUsage is missing, or not critical");
        _require(list.present & ProfileBits.EXT_SUBJECT_KEY_IDENTIFIER != 0, "subjectKeyIdentifier is missing");
        _require(ExtensionContents.read(list, contents), "the value of an extension is not well formed");
    }

    function _gather(CertificateParts memory parts) private view returns (AuthorityFacts memory facts) {
        (uint256 notBefore, uint256 notAfter, bool areTimes) =
            CertificateTime.parseBoth(parts.notBefore, parts.notAfter);
        _require(areTimes && notBefore <= notAfter, "the validity is not well formed");
        facts.notBefore = uint40(notBefore);
        facts.notAfter = uint40(notAfter);
        (facts.keyKind, facts.key) = _readKey(parts);
        facts.spkiHash = SignatureVerifier.digest(parts.spki, parts.spkiEnd);
        facts.id = Hashes.efficientKeccak256(facts.spkiHash, SignatureVerifier.digest(parts.tbs, parts.tbsEnd));
        facts.issuerHash = DerReader.hash(parts.issuer, parts.issuerEnd);
        facts.subjectHash = DerReader.hash(parts.subjectName, parts.subjectNameEnd);
        Extensions memory list = parts.extensions;
        (uint256 start, uint256 end) = ExtensionList.place(list, ExtensionList.SUBJECT_KEY_IDENTIFIER);
        facts.keyIdentifierHash = DerReader.hash(start + ExtensionContents.SKI_HEAD, end);
        if (list.present & ProfileBits.EXT_AUTHORITY_KEY_IDENTIFIER != 0) {
            (start, end) = ExtensionList.place(list, ExtensionList.AUTHORITY_KEY_IDENTIFIER);
            facts.issuerKeyIdentifierHash = DerReader.hash(start + ExtensionContents.AKI_HEAD, end);
        }
    }

    function _readKey(CertificateParts memory parts) private pure returns (ITrustList.KeyKind kind, bytes memory key) {
        if (parts.keyKind == PublicKey.Kind.P256) {
            _require(PublicKey.isPoint(parts.key, parts.keyEnd), "the key is not a point on P-256");
            return (ITrustList.KeyKind.P256, _copy(parts.key + 1, parts.keyEnd));
        }
        _require(parts.keyKind == PublicKey.Kind.Rsa, "the key is neither on P-256 nor RSA");
        (bool isKey, uint256 start, uint256 end) = PublicKey.readRsa(parts.key, parts.keyEnd);
        _require(isKey, "the RSA key has not 2,048 to 4,096 bits and the exponent 65,537");
        return (ITrustList.KeyKind.Rsa, _copy(start, end));
    }

    /// @dev Of well formed basicConstraints with cA: 30 03 01 01 ff, or 30 06 01 01 ff 02 01 n, or a larger number.
    function _pathLength(Extensions memory list) private pure returns (uint8) {
        (uint256 start, uint256 end) = ExtensionList.place(list, ExtensionList.BASIC_CONSTRAINTS);
        return end - start == 8 ? uint8(DerReader.octet(end - 1)) : UNBOUNDED;
    }

    function _scopeOf(uint256 purposes) private pure returns (uint8 scope) {
        if (purposes == 0 || purposes & ProfileBits.EKU_ANY != 0) return SCOPE_ALL;
        uint256 both = ProfileBits.EKU_SERVER_AUTH | ProfileBits.EKU_CLIENT_AUTH;
        if (purposes & ProfileBits.EKU_IPSEC_IKE != 0) scope = SCOPE_IKE;
        if (purposes & both == both) scope |= SCOPE_TLS;
    }

    function _isOcspSigning(Extensions memory list) private pure returns (bool) {
        (uint256 start, uint256 end) = ExtensionList.place(list, ExtensionList.EXTENDED_KEY_USAGE);
        return end - start == 12 && DerReader.word(start) >> 160 == OCSP_SIGNING;
    }

    /// @dev Of extensions that the common reader does not know.
    function _has(Extensions memory list, bytes32 identity) private pure returns (bool) {
        for (uint256 i = 0; i < list.otherCount; ++i) {
            if (list.others[i] == identity) return true;
        }
        return false;
    }

    function _place(bytes calldata der) private pure returns (uint256 start, uint256 end) {
        assembly ("memory-safe") {
            start := der.offset
            end := add(start, der.length)
        }
    }

    function _copy(uint256 start, uint256 end) private pure returns (bytes memory octets) {
        octets = new bytes(end - start);
        assembly ("memory-safe") {
            calldatacopy(add(octets, 0x20), start, sub(end, start))
        }
    }

    function _require(bool truth, string memory reason) private pure {
        if (!truth) revert ITrustList.TrustListBadCertificate(reason);
    }
}
