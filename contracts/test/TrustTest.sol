// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IConsortium} from "../interfaces/IConsortium.sol";
import {ITrustList} from "../interfaces/ITrustList.sol";
import {LedgerTest} from "./LedgerTest.sol";
import {CertificateBuilder as Build, Draft} from "./x509/CertificateBuilder.sol";

/// @notice Authorities for tests: a root of the authority's, an issuing CA below it, and their delegates, all on P-256.
abstract contract TrustTest is LedgerTest {
    uint256 internal constant ROOT_KEY = 0x1001;
    uint256 internal constant ISSUING_KEY = 0x1002;
    uint256 internal constant SIGNER_KEY = 0x1003;
    uint256 internal constant OTHER_KEY = 0x1004;
    uint8 internal constant IKE = 1;
    uint8 internal constant TLS = 2;

    bytes internal constant CA = hex"30030101ff";
    bytes internal constant CERT_AND_CRL_SIGN = hex"03020106";
    bytes internal constant CRL_SIGN = hex"03020102";
    bytes internal constant DIGITAL_SIGNATURE = hex"03020780";
    bytes internal constant OCSP_SIGNING = hex"300a06082b06010505070309";
    bytes internal constant NO_CHECK_OID = hex"06092b0601050507300105";

    function rootUntil() internal pure returns (uint40) {
        return uint40(START + 10 * 365 days);
    }

    function issuingUntil() internal pure returns (uint64) {
        return START + 5 * 365 days;
    }

    // Certificates

    function kid(string memory label) internal pure returns (bytes memory) {
        return abi.encodePacked(bytes20(keccak256(bytes(label))));
    }

    function ski(string memory label) internal pure returns (bytes memory) {
        return Build.extension(Build.SKI, false, Build.tlv(0x04, kid(label)));
    }

    function aki(string memory label) internal pure returns (bytes memory) {
        return Build.extension(Build.AKI, false, Build.sequence(Build.tlv(0x80, kid(label))));
    }

    function usage(bytes memory bits) internal pure returns (bytes memory) {
        return Build.extension(Build.KEY_USAGE, true, bits);
    }

    function basic(bytes memory content) internal pure returns (bytes memory) {
        return Build.extension(Build.BASIC_CONSTRAINTS, true, content);
    }

    function withPathLength(uint8 length) internal pure returns (bytes memory) {
        return basic(abi.encodePacked(hex"30060101ff0201", length));
    }

    function noCheck() internal pure returns (bytes memory) {
        return Build.extension(NO_CHECK_OID, false, hex"0500");
    }

    function nameOf(string memory organisation) internal pure returns (bytes memory) {
        return Build.name(bytes(organisation), "", "");
    }

    function spki(uint256 key) internal pure returns (bytes memory) {
        (uint256 x, uint256 y) = vm.publicKeyP256(key);
        return Build.spkiOf(x, y);
    }

    function rootDraft() internal pure returns (Draft memory made) {
        made = Build.accepted();
        made.serialNumber = Build.integer(1);
        made.issuer = nameOf("North Trust Root");
        made.subject = made.issuer;
        made.validity = Build.validity("260101000000Z", "460101000000Z");
        made.spki = spki(ROOT_KEY);
        made.extensions = bytes.concat(ski("root"), basic(CA), usage(CERT_AND_CRL_SIGN));
    }

    /// @notice An issuing CA that the root signs.
    function issuingDraft() internal pure returns (Draft memory made) {
        made = rootDraft();
        made.serialNumber = Build.integer(2);
        made.subject = nameOf("North Trust Issuing");
        made.validity = Build.validity("260101000000Z", "360101000000Z");
        made.spki = spki(ISSUING_KEY);
        made.extensions = bytes.concat(ski("issuing"), aki("root"), withPathLength(0), usage(CERT_AND_CRL_SIGN));
    }

    /// @notice A signer of OCSP answers that the issuing CA signs.
    function ocspDraft() internal pure returns (Draft memory made) {
        made = issuingDraft();
        made.serialNumber = Build.integer(3);
        made.issuer = issuingDraft().subject;
        made.subject = nameOf("North Trust OCSP");
        made.validity = Build.validity("261120000000Z", "261220000000Z");
        made.spki = spki(SIGNER_KEY);
        made.extensions =
            bytes.concat(ski("ocsp"), aki("issuing"), usage(DIGITAL_SIGNATURE), eku(OCSP_SIGNING), noCheck());
    }

    /// @notice A signer of its CRLs.
    function crlDraft() internal pure returns (Draft memory made) {
        made = ocspDraft();
        made.serialNumber = Build.integer(4);
        made.subject = made.issuer;
        made.validity = Build.validity("261120000000Z", "271120000000Z");
        made.extensions = bytes.concat(ski("crl"), aki("issuing"), usage(CRL_SIGN));
    }

    /// @notice A small cell's that the issuing CA signs.
    function deviceDraft(uint256 number) internal pure returns (Draft memory made) {
        made = draft(number);
        made.issuer = issuingDraft().subject;
        made.subject = nameOf(string(Build.ORGANISATION));
        made.validity = Build.validity("261101000000Z", "291030000000Z");
        made.extensions = deviceExtensions(aki("issuing"), Build.SERVER_AND_CLIENT);
    }

    function deviceExtensions(bytes memory identifier, bytes memory purposes) internal pure returns (bytes memory) {
        bytes memory names = Build.extension(Build.SAN, false, Build.dnsNames(Build.DEVICE_NAME));
        return bytes.concat(identifier, usage(DIGITAL_SIGNATURE), eku(purposes), names);
    }

    function eku(bytes memory purposes) internal pure returns (bytes memory) {
        return Build.extension(Build.EKU, false, purposes);
    }

    function idOfDraft(Draft memory made) internal pure returns (bytes32) {
        return keccak256(abi.encode(sha256(made.spki), sha256(Build.tbs(made))));
    }

    function root() internal pure returns (bytes memory) {
        return Build.buildBy(ROOT_KEY, rootDraft());
    }

    function issuing() internal pure returns (bytes memory) {
        return Build.buildBy(ROOT_KEY, issuingDraft());
    }

    // Orders

    function rootContent(bytes memory der) internal pure returns (bytes memory) {
        return abi.encode(AUTHORITY, der, IKE | TLS, rootUntil());
    }

    /// @notice As if a vote had been carried out.
    function trust(bytes memory content) internal {
        vm.prank(address(consortium));
        trustList.trustRootByVote(content);
    }

    function publicationSignature(bytes memory der, uint16 member, uint8 scope, uint64 until, uint16 signer)
        internal
        view
        returns (bytes memory)
    {
        bytes32 kind = keccak256(
            "PublishAuthority(bytes32 certificateHash,uint16 member,uint8 scope,uint64 until,uint64 deadline)"
        );
        bytes32 structHash = keccak256(abi.encode(kind, keccak256(der), member, scope, until, later()));
        return sign(keyOf(signer, "administrator"), address(trustList), structHash);
    }

    function publishCall(bytes memory der, uint16 member, uint8 scope, uint64 until, uint16 signer)
        internal
        view
        returns (bytes memory)
    {
        bytes memory signature = publicationSignature(der, member, scope, until, signer);
        return
            abi.encodeCall(ITrustList.publishAuthority, (der, member, scope, until, later(), admin(signer), signature));
    }

    function publish(bytes memory der) internal {
        ok(address(trustList), publishCall(der, AUTHORITY, IKE | TLS, issuingUntil(), AUTHORITY));
    }

    function delegateCall(bytes memory der) internal pure returns (bytes memory) {
        return abi.encodeCall(ITrustList.delegate, (der));
    }

    function withdrawCall(bytes32 id, uint8 reason, uint16 signer) internal view returns (bytes memory) {
        bytes32 structHash =
            keccak256(abi.encode(keccak256("Withdraw(bytes32 id,uint8 reason,uint64 deadline)"), id, reason, later()));
        bytes memory signature = sign(keyOf(signer, "administrator"), address(trustList), structHash);
        return abi.encodeCall(ITrustList.withdraw, (id, reason, later(), admin(signer), signature));
    }

    function withdraw(bytes32 id, uint8 reason, uint16 signer) internal {
        ok(address(trustList), withdrawCall(id, reason, signer));
    }

    /// @notice The root and the issuing CA on the list.
    function trustBoth() internal returns (bytes32 rootId, bytes32 issuingId) {
        trust(rootContent(root()));
        publish(issuing());
        return (idOfDraft(rootDraft()), idOfDraft(issuingDraft()));
    }

    function bad(string memory reason) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(ITrustList.TrustListBadCertificate.selector, reason);
    }

    function restore(uint16 member) internal {
        uint16[] memory voters = new uint16[](3);
        uint256 filled = 0;
        for (uint16 id = 1; id <= 4; ++id) {
            if (id != member && filled < 3) voters[filled++] = id;
        }
        decide(IConsortium.ProposalKind.Restore, abi.encode(member), voters);
    }
}
