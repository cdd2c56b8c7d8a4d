// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ICertificateRegistry} from "../interfaces/ICertificateRegistry.sol";
import {IConsortium} from "../interfaces/IConsortium.sol";
import {CertificateRules, CheckedCertificate} from "../x509/CertificateRules.sol";
import {ProfileBits} from "../x509/ProfileBits.sol";
import {Reasons} from "../x509/Reasons.sol";
import {TrustTest} from "./TrustTest.sol";
import {CertificateBuilder as Build, Draft} from "./x509/CertificateBuilder.sol";
import {ParserCaller} from "./x509/ParserTest.sol";
import {RsaAuthority} from "./x509/RsaAuthority.sol";

/// @notice Certificates that a CA of the list issued: what is asked of the issuer, and of the subject.
contract IssuedCertificatesTest is TrustTest {
    uint16 private constant CELL_CA = 4;
    bytes private constant IPSEC_IKE = hex"300a06082b06010505070311";
    bytes private constant ANY = hex"30060604551d2500";

    ParserCaller private parser = new ParserCaller();
    bytes private signed; // of the accepted device, for the fuzz tests

    error UnexpectedReason(uint16 expected, uint16 given);

    function setUp() public override {
        super.setUp();
        decide(IConsortium.ProposalKind.SetProfile, abi.encode(IConsortium.ProfileSeed(CELL_CA, cellCa())), three());
        signed = Build.buildBy(ISSUING_KEY, deviceDraft(0));
    }

    function cellCa() private pure returns (IConsortium.Profile memory profile) {
        profile = smallCell();
        profile.name = "cell-ca";
        profile.caIssued = true;
        profile.ekuMayBeAbsent = true;
        profile.ekuRequired = 0;
        profile.ekuAllowed = 0x800f;
        profile.signatureAlgorithms = ProfileBits.SIGNATURE_ECDSA_SHA256 | ProfileBits.SIGNATURE_RSA_SHA256;
        profile.longestLifeDays = 1095;
    }

    function rules() private view returns (CertificateRules memory made) {
        made.profile = cellCa();
        made.organisation = Build.ORGANISATION;
        made.ranges = cellTerms().ranges;
        made.blockTime = uint64(now_);
        made.trustList = address(trustList);
    }

    function reasonOf(bytes memory der) private view returns (uint16) {
        bytes[] memory certificates_ = new bytes[](1);
        certificates_[0] = der;
        return parser.check(certificates_, rules())[0].reason;
    }

    function expectReason(bytes memory der, uint16 expected) private view {
        uint16 given = reasonOf(der);
        if (given != expected) revert UnexpectedReason(expected, given);
    }

    function expectReason(Draft memory made, uint16 expected) private view {
        expectReason(Build.buildBy(ISSUING_KEY, made), expected);
    }

    // The issuer

    function test_knownIssuer() external {
        expectReason(signed, Reasons.UNKNOWN_ISSUER);
        trustBoth();
        expectReason(signed, Reasons.NONE);
        Draft memory made = deviceDraft(0);
        made.issuer = nameOf("Another");
        expectReason(made, Reasons.UNKNOWN_ISSUER);
        made = deviceDraft(0);
        made.extensions = deviceExtensions(aki("another"), Build.SERVER_AND_CLIENT);
        expectReason(made, Reasons.UNKNOWN_ISSUER);
        made.extensions = deviceExtensions("", Build.SERVER_AND_CLIENT);
        expectReason(made, Reasons.MISSING_EXTENSION);
    }

    function test_withoutTrustList() external {
        trustBoth();
        CertificateRules memory without = rules();
        without.trustList = address(0);
        bytes[] memory certificates_ = new bytes[](1);
        certificates_[0] = signed;
        check(parser.check(certificates_, without)[0].reason == Reasons.UNKNOWN_ISSUER, "no list, no issuer");
    }

    /// @notice A CA's own name is no device's: many a verifier would take the certificate for a self-signed one.
    function test_subjectIsTheIssuers() external {
        Draft memory ca = rootDraft();
        ca.subject = nameOf(string(Build.ORGANISATION));
        ca.issuer = ca.subject;
        trust(rootContent(Build.buildBy(ROOT_KEY, ca)));
        Draft memory made = deviceDraft(0);
        made.issuer = ca.subject;
        made.extensions = deviceExtensions(aki("root"), Build.SERVER_AND_CLIENT);
        expectReason(Build.buildBy(ROOT_KEY, made), Reasons.UNKNOWN_ISSUER);
        made.subject = Build.name(Build.ORGANISATION, "1", "");
        expectReason(Build.buildBy(ROOT_KEY, made), Reasons.NONE);
    }

    function test_signatureOfTheIssuer() external {
        trustBoth();
        expectReason(Build.buildBy(ROOT_KEY, deviceDraft(0)), Reasons.BAD_SIGNATURE);
        expectReason(Build.build(deviceDraft(0)), Reasons.BAD_SIGNATURE); // by the device's own key
        Draft memory made = deviceDraft(0);
        made.innerAlgorithm = hex"300d06092a864886f70d01010b0500";
        made.outerAlgorithm = made.innerAlgorithm;
        expectReason(made, Reasons.BAD_SIGNATURE);
        made.innerAlgorithm = hex"300a06082a8648ce3d040303";
        made.outerAlgorithm = made.innerAlgorithm;
        expectReason(made, Reasons.UNSUPPORTED_ALGORITHM);
        made.outerAlgorithm = Build.ECDSA_SHA256;
        expectReason(made, Reasons.ALGORITHM_MISMATCH);
    }

    function test_issuerOfRsa() external {
        trust(abi.encode(AUTHORITY, RsaAuthority.ROOT, IKE, START + 5 * 365 days));
        bytes[] memory entries = new bytes[](1);
        entries[0] = RsaAuthority.DEVICE;
        emit log_named_uint("gas of the check of one entry by RSA, 2,048 bits", parser.measure(entries, rules()));
        expectReason(RsaAuthority.DEVICE, Reasons.NONE);
        bytes memory spoilt = RsaAuthority.DEVICE;
        spoilt[spoilt.length - 1] ^= 0x01;
        expectReason(spoilt, Reasons.BAD_SIGNATURE);
        spoilt = RsaAuthority.DEVICE;
        spoilt[spoilt.length - 256] = 0xff; // not less than the modulus
        expectReason(spoilt, Reasons.BAD_SIGNATURE);
    }

    function test_issuerThatIsWithdrawn() external {
        (bytes32 rootId, bytes32 issuingId) = trustBoth();
        withdraw(issuingId, 4, AUTHORITY);
        expectReason(signed, Reasons.ISSUER_NOT_LIVE);
        Draft memory again = issuingDraft();
        again.serialNumber = Build.integer(55);
        publish(Build.buildBy(ROOT_KEY, again));
        expectReason(signed, Reasons.ISSUER_NOT_LIVE);
        pass(1);
        expectReason(signed, Reasons.NONE);
        withdraw(rootId, 1, AUTHORITY);
        expectReason(signed, Reasons.ISSUER_NOT_LIVE);
    }

    function test_issuerOutOfTime() external {
        trust(rootContent(root()));
        // notAfter of the certificate, and a second less.
        uint64 notAfter = 1888012800;
        uint64 until = notAfter - 1;
        ok(address(trustList), publishCall(issuing(), AUTHORITY, IKE | TLS, until, AUTHORITY));
        expectReason(signed, Reasons.ISSUER_NOT_LIVE);
        Draft memory again = issuingDraft();
        again.serialNumber = Build.integer(56);
        bytes memory der = Build.buildBy(ROOT_KEY, again);
        ok(address(trustList), publishCall(der, AUTHORITY, IKE | TLS, notAfter, AUTHORITY));
        pass(1);
        expectReason(signed, Reasons.NONE);
    }

    function test_issuerOfASuspendedMember() external {
        trustBoth();
        suspend(AUTHORITY);
        expectReason(signed, Reasons.ISSUER_NOT_LIVE);
        restore(AUTHORITY);
        expectReason(signed, Reasons.NONE);
    }

    function test_scope() external {
        trust(rootContent(root()));
        ok(address(trustList), publishCall(issuing(), AUTHORITY, IKE, issuingUntil(), AUTHORITY));
        expectPurposes(Build.SERVER_AND_CLIENT, Reasons.ISSUER_OUT_OF_SCOPE);
        expectPurposes(hex"300a06082b06010505070302", Reasons.ISSUER_OUT_OF_SCOPE);
        expectPurposes(hex"301406082b0601050507030106082b06010505070311", Reasons.ISSUER_OUT_OF_SCOPE);
        expectPurposes(hex"30053003060155", Reasons.MALFORMED_EXTENSION);
        expectPurposes(hex"300406022a03", Reasons.ISSUER_OUT_OF_SCOPE); // a purpose that we do not know
        expectPurposes(IPSEC_IKE, Reasons.NONE);
        expectPurposes(ANY, Reasons.NONE);
        Draft memory made = deviceDraft(0);
        made.extensions = bytes.concat(
            aki("issuing"),
            usage(DIGITAL_SIGNATURE),
            Build.extension(Build.SAN, false, Build.dnsNames(Build.DEVICE_NAME))
        );
        expectReason(made, Reasons.NONE);
    }

    function test_scopeOfTls() external {
        trust(rootContent(root()));
        ok(address(trustList), publishCall(issuing(), AUTHORITY, TLS, issuingUntil(), AUTHORITY));
        expectPurposes(Build.SERVER_AND_CLIENT, Reasons.NONE);
        expectPurposes(hex"301406082b0601050507030106082b06010505070311", Reasons.ISSUER_OUT_OF_SCOPE);
        expectPurposes(IPSEC_IKE, Reasons.ISSUER_OUT_OF_SCOPE);
        expectPurposes(ANY, Reasons.ISSUER_OUT_OF_SCOPE);
    }

    function expectPurposes(bytes memory purposes, uint16 reason) private view {
        Draft memory made = deviceDraft(0);
        made.extensions = deviceExtensions(aki("issuing"), purposes);
        expectReason(made, reason);
    }

    // The subject

    function test_emptySubject() external {
        trustBoth();
        Draft memory made = deviceDraft(0);
        made.subject = hex"3000";
        expectReason(made, Reasons.BAD_CRITICALITY); // SAN is not critical
        bytes memory rest = bytes.concat(aki("issuing"), usage(DIGITAL_SIGNATURE), eku(Build.SERVER_AND_CLIENT));
        bytes memory names = Build.extension(Build.SAN, true, Build.dnsNames(Build.DEVICE_NAME));
        made.extensions = bytes.concat(rest, names);
        expectReason(made, Reasons.NONE);
        made.extensions = rest;
        expectReason(made, Reasons.MISSING_EXTENSION);
        made.extensions = bytes.concat(rest, names);
        made.subject = deviceDraft(0).subject;
        expectReason(made, Reasons.BAD_CRITICALITY); // beside a subject it must not be
    }

    function test_subjectOfTheOwner() external {
        trustBoth();
        Draft memory made = deviceDraft(0);
        made.subject = nameOf("Delta Works");
        expectReason(made, Reasons.SUBJECT_NOT_OWNER);
        made.subject = Build.sequence(Build.rdn(hex"0603550406", 0x13, "IE"));
        expectReason(made, Reasons.BAD_SUBJECT);
        made = deviceDraft(0);
        made.extensions = bytes.concat(made.extensions, basic(CA));
        expectReason(made, Reasons.CA_CERTIFICATE);
        made.extensions = deviceExtensions(bytes.concat(aki("issuing"), usage(CRL_SIGN)), Build.SERVER_AND_CLIENT);
        expectReason(made, Reasons.DUPLICATE_EXTENSION);
        made = deviceDraft(0);
        made.validity = Build.validity("261101000000Z", "291030000001Z");
        expectReason(made, Reasons.NONE);
        made.validity = Build.validity("261101000000Z", "291101000000Z");
        expectReason(made, Reasons.LIFETIME_TOO_LONG);
    }

    /// @notice The other profiles ask for no issuer, and take none.
    function test_selfSignedProfile() external {
        trustBoth();
        CertificateRules memory made = rules();
        made.profile = smallCell();
        bytes[] memory certificates_ = new bytes[](2);
        (certificates_[0], certificates_[1]) = (certificate(0), signed);
        check(parser.check(certificates_, made)[0].reason == Reasons.NONE, "self-signed");
        check(parser.check(certificates_, made)[1].reason == Reasons.ISSUER_NOT_SUBJECT, "issued");
        Draft memory own = draft(0);
        own.validity = deviceDraft(0).validity;
        expectReason(Build.build(own), Reasons.UNKNOWN_ISSUER);
    }

    // Through the registry

    function test_submission() external {
        trustBoth();
        uint40 lot = openIssuedLot();
        bytes[] memory entries = new bytes[](3);
        entries[0] = signed;
        entries[1] = Build.buildBy(ROOT_KEY, deviceDraft(1));
        entries[2] = Build.buildBy(ISSUING_KEY, deviceDraft(2));
        uint40 batch = submitIssued(lot, entries);
        check(registry.batch(batch).present == 5, "all but the one with the wrong signature");
        bytes32 id = idOfDraft(deviceDraft(2));
        uint256 slot = registry.slotOf(id);
        check(uint8(slot >> 8) == 16, "flag: there is an issuer to ask about");
        endorseAs(OPERATOR, batch, 5, 0);
        endorseAs(OEM, batch, 5, 0);
        ok(address(registry), holdCall(id, ICertificateRegistry.HoldKind.Owner, 0, VENDOR, "duty"));
        ok(address(registry), releaseCall(id, ICertificateRegistry.HoldKind.Owner, 1, VENDOR, "administrator"));
        ICertificateRegistry.CertificateStatus memory status =
            registry.statusOf(sha256(deviceDraft(2).spki), sha256(Build.tbs(deviceDraft(2))));
        check(status.state == ICertificateRegistry.Status.Valid && status.flags == 16, "valid, flag kept");
        ok(address(registry), openLotCall(cellTerms(), VENDOR));
        submit(registry.lotCount(), certificates(7, 1));
        check(uint8(registry.slotOf(idOf(7)) >> 8) == 0, "no flag on a self-signed one");
    }

    function test_gasOfIssuedCertificates() external {
        trustBoth();
        uint40 lot = openIssuedLot();
        bytes[] memory entries = new bytes[](100);
        for (uint256 i = 0; i < entries.length; ++i) {
            entries[i] = Build.buildBy(ISSUING_KEY, deviceDraft(i));
        }
        ICertificateRegistry.Submission memory s =
            ICertificateRegistry.Submission(station(VENDOR), CELL_CA, lot, nonce(), later());
        bytes memory call_ = submitCall(s, entries, keyOf(VENDOR, "station"));
        uint256 before = gasleft();
        ok(address(registry), call_);
        emit log_named_uint("gas an entry, without calldata", (before - gasleft()) / 100);
        check(registry.batch(registry.batchCount()).present == (uint256(1) << 100) - 1, "all taken");
    }

    /// @dev An RSA root with 4,096 bits is the largest thing that a vote can put on the list.
    function test_gasOfALargeRoot() external {
        bytes memory content = abi.encode(AUTHORITY, RsaAuthority.LARGE_ROOT, IKE, START + 365 days);
        uint64 id = propose(OPERATOR, IConsortium.ProposalKind.TrustRoot, content);
        vote(VENDOR, id, content);
        vote(OEM, id, content);
        uint256 before = gasleft();
        consortium.execute(id, content);
        uint256 used = before - gasleft();
        emit log_named_uint("gas of the execution, without calldata", used);
        check(used < 1_500_000, "gas");
    }

    function openIssuedLot() private returns (uint40) {
        ICertificateRegistry.LotTerms memory terms = cellTerms();
        terms.profile = CELL_CA;
        return abi.decode(ok(address(registry), openLotCall(terms, VENDOR)), (uint40));
    }

    function submitIssued(uint40 lot, bytes[] memory entries) private returns (uint40) {
        ICertificateRegistry.Submission memory s =
            ICertificateRegistry.Submission(station(VENDOR), CELL_CA, lot, nonce(), later());
        bytes memory call_ = submitCall(s, entries, keyOf(VENDOR, "station"));
        return abi.decode(ok(address(registry), call_), (uint40));
    }

    // Whatever the bytes

    function testFuzz_anyBytes(bytes calldata octets) external view {
        check(reasonOf(octets) != Reasons.NONE, "refused");
    }

    function testFuzz_flippedOctet(uint256 place, uint8 flip) external {
        trustBoth();
        bytes memory octets = signed;
        octets[place % octets.length] ^= bytes1(flip == 0 ? 1 : flip);
        check(reasonOf(octets) != Reasons.NONE, "refused");
    }

    /// @dev Spoilt before the CA signs it: any answer will do, but there is one.
    function testFuzz_spoiltAndSigned(uint256 seed_) external {
        trustBoth();
        bytes memory text = Build.tbs(deviceDraft(0));
        for (uint256 i = 0; i < 2; ++i) {
            seed_ = uint256(keccak256(abi.encode(seed_)));
            text[4 + (seed_ >> 8) % (text.length - 4)] = bytes1(uint8(seed_));
        }
        bytes memory octets = Build.assemble(text, Build.ECDSA_SHA256, Build.signBy(ISSUING_KEY, text));
        check(reasonOf(octets) <= Reasons.ISSUER_OUT_OF_SCOPE, "a reason of the parser");
    }

    /// @dev Issuers come and go within a batch: whatever the entry before had, the next gets its own answer.
    function testFuzz_neighboursChangeNothing(uint256 seed_) external {
        trustBoth();
        trust(abi.encode(AUTHORITY, RsaAuthority.ROOT, IKE, START + 5 * 365 days));
        bytes[] memory entries = new bytes[](6);
        for (uint256 i = 0; i < entries.length; ++i) {
            seed_ = uint256(keccak256(abi.encode(seed_)));
            entries[i] = variant(seed_ % 6);
        }
        CheckedCertificate[] memory together = parser.check(entries, rules());
        for (uint256 i = 0; i < entries.length; ++i) {
            check(together[i].reason == reasonOf(entries[i]), "the same answer as alone");
        }
    }

    function variant(uint256 kind) private view returns (bytes memory) {
        if (kind == 0) return signed;
        if (kind == 1) return RsaAuthority.DEVICE;
        if (kind == 2) return Build.buildBy(ROOT_KEY, deviceDraft(1));
        Draft memory made = deviceDraft(2);
        if (kind == 3) made.issuer = nameOf("Another");
        if (kind == 4) made.extensions = deviceExtensions(aki("root"), IPSEC_IKE);
        if (kind == 5) return hex"3000";
        return Build.buildBy(ISSUING_KEY, made);
    }
}
