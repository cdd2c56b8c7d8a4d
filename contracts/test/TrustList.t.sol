// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IConsortium} from "../interfaces/IConsortium.sol";
import {ITrustList} from "../interfaces/ITrustList.sol";
import {TrustTest} from "./TrustTest.sol";
import {CertificateBuilder as Build, Draft} from "./x509/CertificateBuilder.sol";
import {RsaAuthority} from "./x509/RsaAuthority.sol";

/// @notice Which authorities get on the list, by whom, and how they leave it.
contract TrustListTest is TrustTest {
    function withScope(uint8 scope) private pure returns (bytes memory) {
        return abi.encodeWithSelector(ITrustList.TrustListBadScope.selector, scope);
    }

    function badTime(uint64 until) private pure returns (bytes memory) {
        return abi.encodeWithSelector(ITrustList.TrustListBadTime.selector, until);
    }

    function notAuthorised(uint16 member) private pure returns (bytes memory) {
        return abi.encodeWithSelector(ITrustList.TrustListNotAuthorised.selector, admin(member));
    }

    function known(bytes32 id) private pure returns (bytes memory) {
        return abi.encodeWithSelector(ITrustList.TrustListKnown.selector, id);
    }

    function unknownIssuer(bytes memory name, bytes32 identifier) private pure returns (bytes memory) {
        return abi.encodeWithSelector(ITrustList.TrustListUnknownIssuer.selector, keccak256(name), identifier);
    }

    function notLive(bytes32 id) private pure returns (bytes memory) {
        return abi.encodeWithSelector(ITrustList.TrustListIssuerNotLive.selector, id);
    }

    function refusedRoot(bytes memory content, bytes memory expected) private {
        bytes memory call_ = abi.encodeCall(ITrustList.trustRootByVote, (content));
        vm.prank(address(consortium));
        refused(address(trustList), call_, expected);
    }

    function refusedRoot(Draft memory made, string memory reason) private {
        refusedRoot(rootContent(Build.buildBy(ROOT_KEY, made)), bad(reason));
    }

    function refusedPublication(bytes memory der, bytes memory expected) private {
        refused(address(trustList), publishCall(der, AUTHORITY, IKE | TLS, issuingUntil(), AUTHORITY), expected);
    }

    function refusedPublication(Draft memory made, bytes memory expected) private {
        refusedPublication(Build.buildBy(ROOT_KEY, made), expected);
    }

    function refusedDelegation(Draft memory made, string memory reason) private {
        refused(address(trustList), delegateCall(Build.buildBy(ISSUING_KEY, made)), bad(reason));
    }

    // Roots

    function test_rootByVote() external {
        bytes memory content = rootContent(root());
        decide(IConsortium.ProposalKind.TrustRoot, content, three());
        bytes32 id = idOfDraft(rootDraft());
        ITrustList.Authority memory it = trustList.authority(id);
        (uint256 x, uint256 y) = vm.publicKeyP256(ROOT_KEY);
        check(it.member == AUTHORITY && it.scope == 3 && it.depth == 0 && it.parent == 0, "whose and for what");
        check(it.pathLength == 3, "at most three below");
        check(it.trustedFrom == now_ && it.trustedUntil == rootUntil(), "when");
        check(it.subjectHash == keccak256(rootDraft().subject), "name");
        check(it.keyIdentifierHash == keccak256(kid("root")), "key identifier");
        check(it.spkiHash == sha256(rootDraft().spki), "key's hash");
        check(it.keyKind == ITrustList.KeyKind.P256 && keccak256(it.key) == keccak256(abi.encode(x, y)), "key");
        check(trustList.isLive(id), "live");
        ITrustList.Issuer memory issuer = trustList.issuerOf(it.subjectHash, it.keyIdentifierHash);
        check(issuer.authority == id && issuer.isLive && issuer.scope == 3, "found by name and key identifier");
        check(trustList.issuerOf(it.subjectHash, keccak256("x")).authority == 0, "and by both only");
        check(trustList.consortium() == address(consortium), "whose list");
    }

    function test_rootsByVoteOnly() external {
        bytes memory content = rootContent(root());
        bytes memory expected = abi.encodeWithSelector(ITrustList.TrustListNotConsortium.selector, address(this));
        refused(address(trustList), abi.encodeCall(ITrustList.trustRootByVote, (content)), expected);
        content = abi.encode(idOfDraft(rootDraft()), uint8(1));
        refused(address(trustList), abi.encodeCall(ITrustList.withdrawByVote, (content)), expected);
    }

    function test_rootCertificates() external {
        Draft memory made = rootDraft();
        made.issuer = nameOf("Another");
        refusedRoot(made, "a root's issuer is not its subject");
        made = rootDraft();
        made.extensions = bytes.concat(made.extensions, aki("another"));
        refusedRoot(made, "a root's authorityKeyIdentifier is not its subjectKeyIdentifier");
        refusedRoot(
            rootContent(Build.buildBy(OTHER_KEY, rootDraft())),
            bad("the signature does not verify with the issuer's key")
        );
        made = rootDraft();
        made.extensions = bytes.concat(made.extensions, aki("root"));
        trust(rootContent(Build.buildBy(ROOT_KEY, made)));
    }

    function test_formOfAnAuthority() external {
        Draft memory made = rootDraft();
        made.trailer = hex"00";
        refusedRoot(made, "not one certificate in strict DER");
        made = rootDraft();
        made.version = hex"a003020101";
        refusedRoot(made, "not version 3");
        made = rootDraft();
        made.serialNumber = hex"020100";
        refusedRoot(made, "serialNumber is not positive, or too long");
        made = rootDraft();
        made.innerAlgorithm = hex"300a06082a8648ce3d040303";
        refusedRoot(made, "signed neither with ecdsa-with-SHA256 nor with sha256WithRSAEncryption");
        made.outerAlgorithm = made.innerAlgorithm;
        refusedRoot(made, "signed neither with ecdsa-with-SHA256 nor with sha256WithRSAEncryption");
        made = rootDraft();
        (made.subject, made.issuer) = (hex"3000", hex"3000");
        refusedRoot(made, "the subject is empty");
        made = rootDraft();
        made.validity = Build.validity("460101000000Z", "260101000000Z");
        refusedRoot(made, "the validity is not well formed");
        made = rootDraft();
        made.spki[60] ^= 0x01;
        refusedRoot(made, "the key is not a point on P-256");
        made = rootDraft();
        made.extensions = bytes.concat(made.extensions, Build.extension(hex"06022a03", false, new bytes(2048)));
        refusedRoot(made, "longer than 2,048 octets");
    }

    function test_extensionsOfAnAuthority() external {
        Draft memory made = rootDraft();
        made.extensions = bytes.concat(ski("root"), usage(CERT_AND_CRL_SIGN));
        refusedRoot(made, "basicConstraints does not say cA");
        made.extensions = bytes.concat(ski("root"), usage(CERT_AND_CRL_SIGN), basic(hex"3000"));
        refusedRoot(made, "basicConstraints does not say cA");
        made.extensions =
            bytes.concat(ski("root"), usage(CERT_AND_CRL_SIGN), Build.extension(Build.BASIC_CONSTRAINTS, false, CA));
        refusedRoot(made, "basicConstraints is not critical");
        made.extensions = bytes.concat(ski("root"), usage(CRL_SIGN), basic(CA));
        refusedRoot(made, "keyUsage lacks keyCertSign");
        made.extensions = bytes.concat(ski("root"), basic(CA));
        refusedRoot(made, "keyUsage is missing, or not critical");
        made.extensions =
            bytes.concat(ski("root"), basic(CA), Build.extension(Build.KEY_USAGE, false, CERT_AND_CRL_SIGN));
        refusedRoot(made, "keyUsage is missing, or not critical");
        made.extensions = bytes.concat(basic(CA), usage(CERT_AND_CRL_SIGN));
        refusedRoot(made, "subjectKeyIdentifier is missing");
        bytes memory usual = rootDraft().extensions;
        // Name constraints are critical, and we do not process them.
        made.extensions = bytes.concat(usual, Build.extension(hex"0603551d1e", true, hex"3000"));
        refusedRoot(made, "a critical extension that is not processed");
        made.extensions = bytes.concat(usual, usage(CERT_AND_CRL_SIGN));
        refusedRoot(made, "extensions are too many, or repeated");
        made.extensions = bytes.concat(usual, Build.extension(Build.SAN, true, Build.dnsNames("a.example")));
        refusedRoot(made, "an extension is critical that must not be");
        made.extensions = bytes.concat(usual, Build.extension(Build.AKI, false, hex"3000"));
        refusedRoot(made, "the value of an extension is not well formed");
    }

    function test_rootsOfRsa() external {
        uint64 until = START + 365 days;
        trust(abi.encode(AUTHORITY, RsaAuthority.ROOT, IKE, until));
        string memory reason = "the RSA key has not 2,048 to 4,096 bits and the exponent 65,537";
        refusedRoot(abi.encode(AUTHORITY, RsaAuthority.SMALL_ROOT, IKE, until), bad(reason));
        refusedRoot(abi.encode(AUTHORITY, RsaAuthority.EXPONENT_3, IKE, until), bad(reason));
        bytes memory spoilt = RsaAuthority.ROOT;
        spoilt[spoilt.length - 1] ^= 0x01;
        refusedRoot(
            abi.encode(AUTHORITY, spoilt, IKE, until), bad("the signature does not verify with the issuer's key")
        );
        // Name and key identifier of all of them are the same.
        ITrustList.Issuer memory issuer =
            trustList.issuerOf(keccak256(nameOf("North Trust RSA")), keccak256("rsa root............"));
        check(issuer.keyKind == ITrustList.KeyKind.Rsa && issuer.key.length == 256, "modulus");
        withdraw(issuer.authority, 4, AUTHORITY);
        trust(abi.encode(AUTHORITY, RsaAuthority.LARGE_ROOT, IKE, until));
        pass(1);
        issuer = trustList.issuerOf(keccak256(nameOf("North Trust RSA")), keccak256("rsa root............"));
        check(issuer.isLive && issuer.key.length == 512, "larger modulus");
    }

    function test_scopeAndTimeOfARoot() external {
        bytes memory der = root();
        refusedRoot(abi.encode(AUTHORITY, der, 0, rootUntil()), withScope(0));
        refusedRoot(abi.encode(AUTHORITY, der, 8, rootUntil()), withScope(8));
        refusedRoot(abi.encode(AUTHORITY, der, 3, now_ - 1), badTime(uint64(now_ - 1)));
        refusedRoot(abi.encode(AUTHORITY, der, 3, 2398377601), badTime(2398377601)); // a second past notAfter
        Draft memory made = rootDraft();
        made.validity = Build.validity("270101000000Z", "460101000000Z");
        refusedRoot(rootContent(Build.buildBy(ROOT_KEY, made)), badTime(rootUntil()));
        bytes memory expected = abi.encodeWithSelector(ITrustList.TrustListUnknownMember.selector, 5);
        refusedRoot(abi.encode(5, der, 3, rootUntil()), expected);
        trust(abi.encode(AUTHORITY, der, 7, 2398377600));
        refusedRoot(rootContent(der), known(idOfDraft(rootDraft())));
    }

    function test_extendedKeyUsageOfAnAuthority() external {
        Draft memory made = rootDraft();
        made.extensions = bytes.concat(made.extensions, eku(Build.SERVER_AND_CLIENT));
        bytes memory der = Build.buildBy(ROOT_KEY, made);
        refusedRoot(abi.encode(AUTHORITY, der, IKE, rootUntil()), withScope(IKE));
        refusedRoot(abi.encode(AUTHORITY, der, IKE | TLS, rootUntil()), withScope(IKE | TLS));
        trust(abi.encode(AUTHORITY, der, TLS, rootUntil()));
        made.extensions = bytes.concat(rootDraft().extensions, eku(hex"300a06082b06010505070301"));
        made.subject = nameOf("Another");
        made.issuer = made.subject;
        der = Build.buildBy(ROOT_KEY, made);
        refusedRoot(abi.encode(AUTHORITY, der, TLS, rootUntil()), withScope(TLS));
        made.extensions = bytes.concat(rootDraft().extensions, eku(hex"300a06082b06010505070311"));
        der = Build.buildBy(ROOT_KEY, made);
        refusedRoot(abi.encode(AUTHORITY, der, TLS, rootUntil()), withScope(TLS));
        trust(abi.encode(AUTHORITY, der, IKE, rootUntil()));
    }

    // Issuing CAs

    function test_issuingAuthority() external {
        (bytes32 rootId, bytes32 id) = trustBoth();
        ITrustList.Authority memory it = trustList.authority(id);
        check(it.parent == rootId && it.depth == 1 && it.pathLength == 0, "below the root");
        check(it.member == AUTHORITY && it.scope == 3 && it.trustedUntil == issuingUntil(), "terms");
        check(trustList.isLive(id), "live");
        refusedPublication(issuing(), known(id));
    }

    function test_issuingAuthorityOfAnotherMember() external {
        trust(rootContent(root()));
        bytes memory der = issuing();
        // A CA certificate is public: only who vouches for it puts it here.
        refused(address(trustList), publishCall(der, VENDOR, IKE, issuingUntil(), VENDOR), notAuthorised(VENDOR));
        refused(address(trustList), publishCall(der, AUTHORITY, IKE, issuingUntil(), VENDOR), notAuthorised(VENDOR));
        ok(address(trustList), publishCall(der, VENDOR, IKE, issuingUntil(), AUTHORITY));
        check(trustList.authority(idOfDraft(issuingDraft())).member == VENDOR, "the vendor's");
    }

    function test_orderOfAPublication() external {
        trust(rootContent(root()));
        bytes memory der = issuing();
        bytes memory call_ = publishCall(der, AUTHORITY, IKE, issuingUntil(), AUTHORITY);
        // The order's signature is on the other scope.
        bytes memory signature = publicationSignature(der, AUTHORITY, IKE, issuingUntil(), AUTHORITY);
        uint64 deadline = later();
        refused(
            address(trustList),
            abi.encodeCall(
                ITrustList.publishAuthority,
                (der, AUTHORITY, TLS, issuingUntil(), deadline, admin(AUTHORITY), signature)
            ),
            abi.encodeWithSelector(ITrustList.TrustListBadSignature.selector, admin(AUTHORITY))
        );
        pass(7 days + 1);
        refused(
            address(trustList), call_, abi.encodeWithSelector(ITrustList.TrustListDeadlinePassed.selector, deadline)
        );
    }

    function test_issuerOfAnAuthority() external {
        Draft memory made = issuingDraft();
        bytes32 rootIdentifier = keccak256(kid("root"));
        refusedPublication(made, unknownIssuer(made.issuer, rootIdentifier));
        trust(rootContent(root()));
        made.issuer = nameOf("Another");
        refusedPublication(made, unknownIssuer(made.issuer, rootIdentifier));
        made = issuingDraft();
        made.extensions = bytes.concat(ski("issuing"), aki("another"), basic(CA), usage(CERT_AND_CRL_SIGN));
        refusedPublication(made, unknownIssuer(made.issuer, keccak256(kid("another"))));
        made.extensions = bytes.concat(ski("issuing"), basic(CA), usage(CERT_AND_CRL_SIGN));
        refusedPublication(made, unknownIssuer(made.issuer, 0));
        refusedPublication(
            Build.buildBy(OTHER_KEY, issuingDraft()), bad("the signature does not verify with the issuer's key")
        );
        made = issuingDraft();
        made.extensions = bytes.concat(ski("issuing"), aki("root"), usage(CRL_SIGN), basic(CA));
        refusedPublication(made, bad("keyUsage lacks keyCertSign"));
        publish(issuing());
    }

    function test_issuerThatEnded() external {
        trust(rootContent(root()));
        bytes32 id = idOfDraft(rootDraft());
        bytes memory call_ = publishCall(issuing(), AUTHORITY, IKE, issuingUntil(), AUTHORITY);
        suspend(AUTHORITY);
        refused(address(trustList), call_, notLive(id));
        restore(AUTHORITY);
        goTo(rootUntil() + 1);
        refusedPublication(issuing(), notLive(id));
        goTo(START);
        withdraw(id, 1, AUTHORITY);
        refusedPublication(issuing(), notLive(id));
    }

    function test_insideOfTheParent() external {
        trust(abi.encode(AUTHORITY, root(), IKE, rootUntil()));
        bytes memory der = issuing();
        refused(address(trustList), publishCall(der, AUTHORITY, IKE | TLS, issuingUntil(), AUTHORITY), withScope(3));
        refused(address(trustList), publishCall(der, AUTHORITY, TLS, issuingUntil(), AUTHORITY), withScope(TLS));
        Draft memory made = issuingDraft();
        made.validity = rootDraft().validity;
        bytes memory longer = Build.buildBy(ROOT_KEY, made);
        refused(
            address(trustList),
            publishCall(longer, AUTHORITY, IKE, rootUntil() + 1, AUTHORITY),
            badTime(rootUntil() + 1)
        );
        // Inside of the parent's time, past its own notAfter.
        uint64 notAfter = 2082758400;
        refused(address(trustList), publishCall(der, AUTHORITY, IKE, notAfter + 1, AUTHORITY), badTime(notAfter + 1));
        ok(address(trustList), publishCall(longer, AUTHORITY, IKE, rootUntil(), AUTHORITY));
    }

    function test_pathLength() external {
        trustBoth();
        Draft memory made = below("issuing", OTHER_KEY, basic(CA));
        made.issuer = issuingDraft().subject;
        refusedPublication(Build.buildBy(ISSUING_KEY, made), bad("the path length above allows no CA below"));
    }

    /// @notice Without path lengths four on a path are the most.
    function test_depth() external {
        trust(rootContent(root()));
        Draft memory made = rootDraft();
        bytes memory name = made.subject;
        string[5] memory labels = ["root", "first", "second", "third", "fourth"];
        for (uint256 i = 1; i < 5; ++i) {
            made = below(labels[i - 1], ROOT_KEY + i, basic(CA));
            made.issuer = name;
            made.subject = nameOf(labels[i]);
            made.extensions = bytes.concat(ski(labels[i]), aki(labels[i - 1]), basic(CA), usage(CERT_AND_CRL_SIGN));
            name = made.subject;
            bytes memory der = Build.buildBy(ROOT_KEY + i - 1, made);
            if (i == 4) {
                refusedPublication(der, bad("the path length above allows no CA below"));
            } else {
                publish(der);
                ITrustList.Authority memory it = trustList.authority(idOfDraft(made));
                check(it.depth == i && it.pathLength == 3 - i, "deeper by one");
            }
        }
    }

    function test_pathLengthOfTheCertificate() external {
        Draft memory made = rootDraft();
        made.extensions = bytes.concat(ski("root"), withPathLength(1), usage(CERT_AND_CRL_SIGN));
        trust(rootContent(Build.buildBy(ROOT_KEY, made)));
        check(trustList.authority(idOfDraft(made)).pathLength == 1, "of the certificate");
        made = below("root", ISSUING_KEY, withPathLength(5));
        publish(Build.buildBy(ROOT_KEY, made));
        check(trustList.authority(idOfDraft(made)).pathLength == 0, "of the parent, less one");
    }

    function below(string memory parent, uint256 key, bytes memory constraints)
        private
        pure
        returns (Draft memory made)
    {
        made = issuingDraft();
        made.subject = nameOf("Below");
        made.spki = spki(key);
        made.extensions = bytes.concat(ski("below"), aki(parent), constraints, usage(CERT_AND_CRL_SIGN));
    }

    // One issuer for a name and key identifier

    function test_nameThatIsTaken() external {
        (, bytes32 id) = trustBoth();
        Draft memory made = issuingDraft();
        made.spki = spki(OTHER_KEY);
        bytes memory taken = abi.encodeWithSelector(ITrustList.TrustListIssuerTaken.selector, id);
        refusedPublication(made, taken);
        // Another root signs a certificate of the same name and even the same key, and calls it the authority's.
        Draft memory rival = rootDraft();
        rival.subject = nameOf("Rival");
        rival.issuer = rival.subject;
        rival.spki = spki(OTHER_KEY);
        rival.extensions = bytes.concat(ski("rival"), basic(CA), usage(CERT_AND_CRL_SIGN));
        trust(abi.encode(VENDOR, Build.buildBy(OTHER_KEY, rival), IKE | TLS, rootUntil()));
        made = issuingDraft();
        made.issuer = rival.subject;
        made.extensions = bytes.concat(ski("issuing"), aki("rival"), basic(CA), usage(CERT_AND_CRL_SIGN));
        bytes memory der = Build.buildBy(OTHER_KEY, made);
        refused(address(trustList), publishCall(der, AUTHORITY, IKE, issuingUntil(), VENDOR), taken);
        // Withdrawn, it leaves its name free.
        withdraw(id, 5, AUTHORITY);
        ok(address(trustList), publishCall(der, AUTHORITY, IKE, issuingUntil(), VENDOR));
    }

    function test_renewalOfAnAuthority() external {
        (, bytes32 id) = trustBoth();
        Draft memory made = issuingDraft();
        made.serialNumber = Build.integer(77);
        publish(Build.buildBy(ROOT_KEY, made));
        ITrustList.Issuer memory issuer = trustList.issuerOf(keccak256(made.subject), keccak256(kid("issuing")));
        check(issuer.authority == idOfDraft(made), "the newer one issues");
        check(!issuer.isLive && !trustList.isLive(idOfDraft(made)), "from the next second on");
        ITrustList.Authority memory newer = trustList.authority(idOfDraft(made));
        check(newer.trustedFrom == now_ + 1 && newer.replacedAt == 0, "as it says");
        check(trustList.authority(id).replacedAt == now_ + 1, "until then the older one issued");
        pass(1);
        issuer = trustList.issuerOf(keccak256(made.subject), keccak256(kid("issuing")));
        check(issuer.isLive, "begun");
        check(trustList.isLive(id), "and the older one is as it was");
    }

    function test_nameOfASuspendedMember() external {
        (, bytes32 id) = trustBoth();
        suspend(AUTHORITY);
        check(!trustList.isLive(id), "no rights");
        Draft memory made = rootDraft();
        made.spki = spki(OTHER_KEY);
        refusedRoot(
            abi.encode(VENDOR, Build.buildBy(OTHER_KEY, made), 3, rootUntil()),
            abi.encodeWithSelector(ITrustList.TrustListIssuerTaken.selector, idOfDraft(rootDraft()))
        );
        restore(AUTHORITY);
        check(trustList.isLive(id), "back");
    }

    // Delegations

    function test_delegations() external {
        (, bytes32 issuingId) = trustBoth();
        ok(address(trustList), delegateCall(Build.buildBy(ISSUING_KEY, ocspDraft())));
        bytes32 id = idOfDraft(ocspDraft());
        ITrustList.Delegation memory it = trustList.delegation(id);
        check(it.kind == ITrustList.DelegationKind.OcspSigning && it.authority == issuingId, "OCSP");
        check(it.validUntil == it.validFrom + 30 days && trustList.isLive(id), "time");
        refused(address(trustList), delegateCall(Build.buildBy(ISSUING_KEY, ocspDraft())), known(id));
        ok(address(trustList), delegateCall(Build.buildBy(ISSUING_KEY, crlDraft())));
        it = trustList.delegation(idOfDraft(crlDraft()));
        check(it.kind == ITrustList.DelegationKind.CrlSigning && trustList.isLive(idOfDraft(crlDraft())), "CRL");
        goTo(it.validFrom + 30 days + 1);
        check(!trustList.isLive(id), "over");
    }

    /// @notice A successor may be made known before its time.
    function test_delegationAhead() external {
        trustBoth();
        Draft memory made = ocspDraft();
        made.validity = Build.validity("261201000000Z", "261220000000Z");
        ok(address(trustList), delegateCall(Build.buildBy(ISSUING_KEY, made)));
        check(!trustList.isLive(idOfDraft(made)), "not yet");
        goTo(1796083200); // 2026-12-01
        check(trustList.isLive(idOfDraft(made)), "now");
    }

    function test_formOfADelegation() external {
        trustBoth();
        Draft memory made = ocspDraft();
        bytes memory start = bytes.concat(ski("ocsp"), aki("issuing"));
        made.extensions = bytes.concat(start, usage(DIGITAL_SIGNATURE), eku(OCSP_SIGNING));
        refusedDelegation(made, "id-pkix-ocsp-nocheck is missing");
        made.extensions = bytes.concat(start, usage(DIGITAL_SIGNATURE), eku(Build.SERVER_AND_CLIENT), noCheck());
        refusedDelegation(made, "extendedKeyUsage is not OCSPSigning alone");
        made.extensions = bytes.concat(
            start, usage(DIGITAL_SIGNATURE), eku(hex"301406082b0601050507030906082b06010505070301"), noCheck()
        );
        refusedDelegation(made, "extendedKeyUsage is not OCSPSigning alone");
        made.extensions = bytes.concat(start, usage(hex"03020182"), eku(OCSP_SIGNING), noCheck());
        refusedDelegation(made, "keyUsage of an OCSP signer has cRLSign");
        made.extensions = bytes.concat(start, usage(hex"03020640"), eku(OCSP_SIGNING), noCheck());
        refusedDelegation(made, "keyUsage lacks digitalSignature");
        made.extensions = bytes.concat(start, usage(DIGITAL_SIGNATURE), noCheck());
        refusedDelegation(made, "neither extendedKeyUsage OCSPSigning nor keyUsage cRLSign");
        made.extensions = bytes.concat(start, usage(hex"03020284"), eku(OCSP_SIGNING), noCheck());
        refusedDelegation(made, "keyUsage of a delegate has keyCertSign");
        made.extensions = bytes.concat(start, usage(DIGITAL_SIGNATURE), eku(OCSP_SIGNING), noCheck(), basic(CA));
        refusedDelegation(made, "basicConstraints says cA");
        made.extensions = bytes.concat(ski("ocsp"), usage(DIGITAL_SIGNATURE), eku(OCSP_SIGNING), noCheck());
        refusedDelegation(made, "authorityKeyIdentifier is missing");
        made = ocspDraft();
        made.validity = Build.validity("261120000000Z", "261221000001Z");
        refusedDelegation(made, "an OCSP signer's certificate lives longer than 31 days");
        made = crlDraft();
        made.subject = nameOf("North Trust Lists");
        refusedDelegation(made, "the subject of a CRL signer is not its CA's name");
        made = crlDraft();
        made.validity = Build.validity("261120000000Z", "271222000001Z");
        refusedDelegation(made, "a CRL signer's certificate lives longer than 397 days");
    }

    function test_issuerOfADelegation() external {
        (, bytes32 issuingId) = trustBoth();
        bytes memory signature = bad("the signature does not verify with the issuer's key");
        // By the CA above, which is not the one that it names; and by itself.
        refused(address(trustList), delegateCall(Build.buildBy(ROOT_KEY, ocspDraft())), signature);
        refused(address(trustList), delegateCall(Build.buildBy(SIGNER_KEY, crlDraft())), signature);
        Draft memory made = ocspDraft();
        made.issuer = nameOf("Another");
        bytes memory call_ = delegateCall(Build.buildBy(ISSUING_KEY, made));
        refused(address(trustList), call_, unknownIssuer(made.issuer, keccak256(kid("issuing"))));
        call_ = delegateCall(Build.buildBy(ISSUING_KEY, ocspDraft()));
        goTo(1797724801); // a second after notAfter
        refused(address(trustList), call_, badTime(1797724800));
        goTo(START);
        withdraw(issuingId, 4, AUTHORITY);
        refused(address(trustList), call_, notLive(issuingId));
    }

    /// @notice A delegate outlives no authority.
    function test_timeOfADelegation() external {
        trust(rootContent(root()));
        uint64 until = START + 300 days;
        ok(address(trustList), publishCall(issuing(), AUTHORITY, IKE, until, AUTHORITY));
        refused(address(trustList), delegateCall(Build.buildBy(ISSUING_KEY, crlDraft())), badTime(1826668800));
        ok(address(trustList), delegateCall(Build.buildBy(ISSUING_KEY, ocspDraft())));
    }

    // Withdrawal

    function test_withdrawal() external {
        (bytes32 rootId, bytes32 issuingId) = trustBoth();
        ok(address(trustList), delegateCall(Build.buildBy(ISSUING_KEY, ocspDraft())));
        bytes32 delegate = idOfDraft(ocspDraft());
        pass(60);
        uint256 first = now_;
        withdraw(delegate, 4, AUTHORITY);
        expectWithdrawal(delegate, first, 4, delegate);
        check(!trustList.isLive(delegate) && trustList.isLive(issuingId), "the delegate alone");
        pass(60);
        withdraw(issuingId, 1, AUTHORITY);
        expectWithdrawal(issuingId, now_, 1, issuingId);
        expectWithdrawal(delegate, first, 4, delegate);
        check(!trustList.isLive(issuingId) && trustList.isLive(rootId), "the CA, and not the root");
        uint256 second = now_;
        pass(60);
        withdraw(issuingId, 5, AUTHORITY);
        expectWithdrawal(issuingId, second, 1, issuingId);
        withdraw(rootId, 2, AUTHORITY);
        expectWithdrawal(rootId, now_, 2, rootId);
        expectWithdrawal(issuingId, second, 1, issuingId);
        check(trustList.authority(rootId).withdrawnAt == now_, "on record");
    }

    function test_withdrawalReachesDown() external {
        (bytes32 rootId, bytes32 issuingId) = trustBoth();
        ok(address(trustList), delegateCall(Build.buildBy(ISSUING_KEY, crlDraft())));
        expectWithdrawal(issuingId, 0, 0, 0);
        withdraw(rootId, 1, AUTHORITY);
        expectWithdrawal(idOfDraft(crlDraft()), now_, 1, rootId);
        expectWithdrawal(issuingId, now_, 1, rootId);
        check(!trustList.isLive(issuingId) && !trustList.isLive(idOfDraft(crlDraft())), "all below");
    }

    function expectWithdrawal(bytes32 id, uint256 since, uint8 reason, bytes32 which) private view {
        (uint40 givenSince, uint8 givenReason, bytes32 givenWhich) = trustList.withdrawalOf(id);
        check(givenSince == since && givenReason == reason && givenWhich == which, "another withdrawal");
    }

    function test_whoWithdraws() external {
        trust(rootContent(root()));
        ok(address(trustList), publishCall(issuing(), VENDOR, IKE, issuingUntil(), AUTHORITY));
        (bytes32 rootId, bytes32 id) = (idOfDraft(rootDraft()), idOfDraft(issuingDraft()));
        refused(address(trustList), withdrawCall(id, 1, OEM), notAuthorised(OEM));
        refused(address(trustList), withdrawCall(rootId, 1, VENDOR), notAuthorised(VENDOR));
        suspend(VENDOR);
        withdraw(id, 1, VENDOR);
        check(!trustList.isLive(id), "a suspended member may end something");
        withdraw(rootId, 9, AUTHORITY);
    }

    function test_withdrawalByTheMemberAbove() external {
        trust(rootContent(root()));
        ok(address(trustList), publishCall(issuing(), VENDOR, IKE, issuingUntil(), AUTHORITY));
        withdraw(idOfDraft(issuingDraft()), 1, AUTHORITY);
        check(trustList.authority(idOfDraft(issuingDraft())).reason == 1, "by who vouches for it");
    }

    function test_orderOfAWithdrawal() external {
        (bytes32 rootId, bytes32 id) = trustBoth();
        for (uint8 reason = 6; reason < 12; ++reason) {
            if (reason == 9) continue;
            bytes memory expected = abi.encodeWithSelector(ITrustList.TrustListBadReason.selector, reason);
            refused(address(trustList), withdrawCall(id, reason, AUTHORITY), expected);
        }
        bytes memory unknown = abi.encodeWithSelector(ITrustList.TrustListUnknown.selector, keccak256("none"));
        refused(address(trustList), withdrawCall(keccak256("none"), 1, AUTHORITY), unknown);
        bytes32 structHash =
            keccak256(abi.encode(keccak256("Withdraw(bytes32 id,uint8 reason,uint64 deadline)"), id, 1, later()));
        bytes memory signature = sign(keyOf(AUTHORITY, "administrator"), address(trustList), structHash);
        refused(
            address(trustList),
            abi.encodeCall(ITrustList.withdraw, (rootId, 1, later(), admin(AUTHORITY), signature)),
            abi.encodeWithSelector(ITrustList.TrustListBadSignature.selector, admin(AUTHORITY))
        );
        signature = sign(keyOf(AUTHORITY, "duty"), address(trustList), structHash);
        refused(
            address(trustList),
            abi.encodeCall(ITrustList.withdraw, (id, 1, later(), accountOf(AUTHORITY, "duty"), signature)),
            abi.encodeWithSelector(ITrustList.TrustListNotAuthorised.selector, accountOf(AUTHORITY, "duty"))
        );
        bytes memory late = withdrawCall(id, 1, AUTHORITY);
        uint64 deadline = later();
        pass(7 days + 1);
        refused(address(trustList), late, abi.encodeWithSelector(ITrustList.TrustListDeadlinePassed.selector, deadline));
    }

    function test_withdrawalByVote() external {
        (bytes32 rootId, bytes32 id) = trustBoth();
        decide(IConsortium.ProposalKind.WithdrawAuthority, abi.encode(rootId, uint8(2)), three());
        check(!trustList.isLive(id), "all below");
        expectWithdrawal(id, now_, 2, rootId);
        bytes memory content = abi.encode(keccak256("none"), uint8(2));
        vm.prank(address(consortium));
        refused(
            address(trustList),
            abi.encodeCall(ITrustList.withdrawByVote, (content)),
            abi.encodeWithSelector(ITrustList.TrustListUnknown.selector, keccak256("none"))
        );
    }

    /// @notice What ended does not begin again: the id stays on record.
    function test_withdrawnForGood() external {
        (bytes32 rootId, bytes32 id) = trustBoth();
        withdraw(id, 5, AUTHORITY);
        refusedPublication(issuing(), known(id));
        withdraw(rootId, 5, AUTHORITY);
        refusedRoot(rootContent(root()), known(rootId));
    }

    /// @notice Nor does its key in another certificate, where it is compromised.
    function test_compromisedKeyIsNotListedAgain() external {
        (bytes32 rootId, bytes32 id) = trustBoth();
        withdraw(id, 4, AUTHORITY);
        ok(address(trustList), publishCall(renewed(), AUTHORITY, IKE, issuingUntil(), AUTHORITY));
        withdraw(id, 1, AUTHORITY);
        check(trustList.authority(id).reason == 4, "the first withdrawal stays");
        Draft memory made = issuingDraft();
        made.serialNumber = Build.integer(79);
        refusedPublication(made, abi.encodeWithSelector(ITrustList.TrustListWithdrawn.selector, id));
        withdraw(rootId, 2, AUTHORITY);
        made = rootDraft();
        made.serialNumber = Build.integer(80);
        refusedRoot(
            rootContent(Build.buildBy(ROOT_KEY, made)),
            abi.encodeWithSelector(ITrustList.TrustListWithdrawn.selector, rootId)
        );
        made.spki = spki(OTHER_KEY);
        trust(rootContent(Build.buildBy(OTHER_KEY, made)));
    }

    /// @notice A root's new key under its old name, signed by the old one, comes by vote like any root.
    function test_selfIssued() external {
        trust(rootContent(root()));
        Draft memory made = issuingDraft();
        made.subject = made.issuer;
        refusedPublication(made, bad("it names itself as its issuer, and is no root"));
    }

    function test_nameConstraints() external {
        bytes memory oid = hex"0603551d1e";
        Draft memory made = rootDraft();
        made.extensions = bytes.concat(made.extensions, Build.extension(oid, false, hex"3000"));
        refusedRoot(made, "nameConstraints are not processed");
        made = rootDraft();
        made.extensions = bytes.concat(made.extensions, Build.extension(oid, true, hex"3000"));
        refusedRoot(made, "a critical extension that is not processed");
    }

    // Layout that proofs read

    function test_slots() external {
        (bytes32 rootId, bytes32 id) = trustBoth();
        pass(60);
        withdraw(id, 4, AUTHORITY);
        uint256 place = uint256(keccak256(abi.encode(id, uint256(0))));
        uint256 word = stored(place);
        check(uint16(word) == AUTHORITY, "member");
        check(uint8(word >> 16) == 3 && uint8(word >> 24) == 0 && uint8(word >> 32) == 1, "scope, path length, depth");
        check(uint8(word >> 40) == 1, "kind of key");
        check(uint40(word >> 48) == START && uint40(word >> 88) == issuingUntil(), "from and until");
        check(uint40(word >> 128) == now_ && uint8(word >> 168) == 4 && word >> 176 == 0, "withdrawal");
        check(stored(place + 1) == uint256(rootId), "parent");
        check(stored(place + 2) == uint256(keccak256(issuingDraft().subject)), "name");
        check(stored(place + 3) == uint256(keccak256(kid("issuing"))), "key identifier");
        check(stored(place + 4) == uint256(sha256(issuingDraft().spki)), "key");
        pass(60);
        ok(address(trustList), publishCall(renewed(), AUTHORITY, IKE, issuingUntil(), AUTHORITY));
        word = stored(place);
        check(uint40(word >> 128) == now_ - 60 && uint8(word >> 168) == 4, "withdrawal stays");
        check(uint40(word >> 176) == now_ + 1 && word >> 216 == 0, "replaced");
        pass(1);
        Draft memory made = ocspDraft();
        ok(address(trustList), delegateCall(Build.buildBy(ISSUING_KEY, made)));
        word = stored(uint256(keccak256(abi.encode(idOfDraft(made), uint256(1)))));
        check(uint8(word) == 1 && uint40(word >> 48) - uint40(word >> 8) == 30 days, "kind and time");
        check(word >> 88 == 0, "not withdrawn");
        place = uint256(keccak256(abi.encode(idOfDraft(made), uint256(1)))) + 1;
        check(bytes32(stored(place)) != id && stored(place) != 0, "by the renewed CA");
        bytes32 name = keccak256(abi.encode(keccak256(issuingDraft().subject), keccak256(kid("issuing"))));
        check(stored(uint256(keccak256(abi.encode(name, uint256(2))))) == stored(place), "issuer by name");
    }

    function renewed() private pure returns (bytes memory) {
        Draft memory made = issuingDraft();
        made.serialNumber = Build.integer(78);
        return Build.buildBy(ROOT_KEY, made);
    }

    function stored(uint256 place) private view returns (uint256) {
        return uint256(vm.load(address(trustList), bytes32(place)));
    }

    // Whatever the bytes

    function testFuzz_anyBytes(bytes calldata octets) external {
        (bool done, bytes memory answer) = address(trustList).call(delegateCall(octets));
        check(!done && answer.length >= 4, "refused with a reason");
    }

    /// @dev No changed octet of a delegation that the CA signed is accepted.
    function testFuzz_flippedOctet(uint256 place, uint8 flip) external {
        trustBoth();
        bytes memory octets = Build.buildBy(ISSUING_KEY, ocspDraft());
        octets[place % octets.length] ^= bytes1(flip == 0 ? 1 : flip);
        (bool done, bytes memory answer) = address(trustList).call(delegateCall(octets));
        check(!done && answer.length >= 4, "refused with a reason");
    }
}
