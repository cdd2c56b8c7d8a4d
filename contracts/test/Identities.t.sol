// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IConsortium} from "../interfaces/IConsortium.sol";
import {IIdentityRegistry} from "../interfaces/IIdentityRegistry.sol";
import {IdentityTest} from "./IdentityTest.sol";

/// @notice Registration and activation: what a card proves, who may order, and that entries stand for themselves.
contract IdentitiesTest is IdentityTest {
    IIdentityRegistry.State private constant NONE = IIdentityRegistry.State.None;
    IIdentityRegistry.State private constant REGISTERED = IIdentityRegistry.State.Registered;
    IIdentityRegistry.State private constant ACTIVE = IIdentityRegistry.State.Active;
    IIdentityRegistry.Refusal private constant BAD_PROOF = IIdentityRegistry.Refusal.BadProof;

    function registerRefused(IIdentityRegistry.Registration memory made, IIdentityRegistry.Refusal expected) private {
        entryRefused(registerCall(only(made), OPERATOR, REGISTRAR), expected);
        check(identities.stateOf(made.identity) == NONE, "nothing is registered");
    }

    function activateRefused(IIdentityRegistry.Activation memory made, IIdentityRegistry.Refusal expected) private {
        entryRefused(activateCall(only(made), OPERATOR, REGISTRAR), expected);
    }

    function notAuthorised(bytes memory call_, address who) private {
        isRefused(call_, abi.encodeWithSelector(IIdentityRegistry.IdentityNotAuthorised.selector, who));
    }

    // The way of an identity

    function test_registerAndActivate() external {
        IIdentityRegistry.Registration memory made = entry(1);
        made.attestation = IIdentityRegistry.Attestation.Personaliser;
        passes(registerCall(only(made), OPERATOR, REGISTRAR));
        IIdentityRegistry.Identity memory stands = identities.identityOf(person(1));
        check(stands.state == REGISTERED && stands.operator == OPERATOR && stands.keyCount == 1, "registered");
        check(stands.attestation == IIdentityRegistry.Attestation.Personaliser, "attested");
        check(stands.cardEnforced && !stands.emulator && !stands.held && !stands.replacing, "flags");
        check(stands.x == made.x && stands.y == made.y, "key");
        check(stands.registeredAt == now_ && stands.keySince == now_ && stands.activatedAt == 0, "times");
        check(identities.identityOfKey(made.x) == person(1), "the key's identity");
        pass(60);
        passes(activateCall(only(activation(1)), OPERATOR, REGISTRAR));
        stands = identities.identityOf(person(1));
        check(stands.state == ACTIVE && stands.activatedAt == now_ && stands.registeredAt == now_ - 60, "active");
    }

    function test_whatNobodyRegistered() external view {
        IIdentityRegistry.Identity memory nothing;
        check(keccak256(abi.encode(identities.identityOf(person(1)))) == keccak256(abi.encode(nothing)), "all is zero");
        check(identities.keyCount(person(1)) == 0 && identities.keyAt(person(1), 0).x == 0, "no key");
        check(identities.identityOfKey(entry(1).x) == 0, "nobody's key");
    }

    function test_administratorsToo() external {
        passes(registerCall(only(entry(1)), OPERATOR, ADMINISTRATOR));
        passes(activateCall(only(activation(1)), OPERATOR, ADMINISTRATOR));
        expectIdentity(1, ACTIVE);
    }

    function test_theDigestIsThatOfTheDocuments() external view {
        (bytes32 x, bytes32 y) = pointOf(card(1));
        check(
            identities.possessionDigest(OPERATOR, person(1), x, y, REPLACE, 77)
                == possessionDigest(OPERATOR, person(1), x, y, REPLACE, 77),
            "the same digest"
        );
    }

    // Proofs

    function test_proofOfAnotherOperator() external {
        registerRefused(entryOf(VENDOR, person(1), card(1), REGISTER), BAD_PROOF);
    }

    function test_proofOfAnotherIdentity() external {
        IIdentityRegistry.Registration memory made = entry(1);
        made.identity = person(2);
        registerRefused(made, BAD_PROOF);
    }

    function test_proofOfAnotherPurpose() external {
        registerRefused(entryOf(OPERATOR, person(1), card(1), ACTIVATE), BAD_PROOF);
        registerRefused(entryOf(OPERATOR, person(1), card(1), REPLACE), BAD_PROOF);
        registerOne(1);
        activateRefused(wordOf(1, person(1), 1, REGISTER), BAD_PROOF);
        activateRefused(wordOf(1, person(1), 1, CANCEL), BAD_PROOF);
        expectIdentity(1, REGISTERED);
    }

    function test_proofOfAnotherDeadline() external {
        IIdentityRegistry.Registration memory made = entry(1);
        made.deadline += 1;
        registerRefused(made, BAD_PROOF);
    }

    function inDomain(bytes32 separator) private view returns (IIdentityRegistry.Registration memory made) {
        made = entry(1);
        bytes32 digest = possessionIn(separator, OPERATOR, made.identity, made.x, made.y, REGISTER, made.deadline);
        (made.r, made.s) = signOnCard(card(1), digest);
    }

    function test_proofOfAnotherRegistryChainOrConsortium() external {
        registerRefused(inDomain(domainSeparator(address(registry), block.chainid, SALT)), BAD_PROOF);
        registerRefused(inDomain(domainSeparator(address(identities), block.chainid + 1, SALT)), BAD_PROOF);
        registerRefused(inDomain(domainSeparator(address(identities), block.chainid, ~SALT)), BAD_PROOF);
        passes(
            registerCall(only(inDomain(domainSeparator(address(identities), block.chainid, SALT))), OPERATOR, REGISTRAR)
        );
        expectIdentity(1, REGISTERED);
    }

    function test_proofOfAnotherKey() external {
        IIdentityRegistry.Registration memory made = entry(1);
        (made.x, made.y) = pointOf(card(2));
        registerRefused(made, BAD_PROOF);
    }

    function test_proofPastItsDeadline() external {
        IIdentityRegistry.Registration memory made = entry(1);
        goTo(made.deadline);
        passes(registerCall(only(made), OPERATOR, REGISTRAR));
        made = entry(2);
        goTo(uint256(made.deadline) + 1);
        registerRefused(made, IIdentityRegistry.Refusal.DeadlinePassed);
        IIdentityRegistry.Activation memory late = activation(1);
        goTo(uint256(late.deadline) + 1);
        activateRefused(late, IIdentityRegistry.Refusal.DeadlinePassed);
    }

    /// @notice (r, n - s) verifies too, and is the same proof: nothing goes by the signature's bytes.
    function test_twinSignature() external {
        IIdentityRegistry.Registration memory made = entry(1);
        made.s = bytes32(N - uint256(made.s));
        passes(registerCall(only(made), OPERATOR, REGISTRAR));
        expectIdentity(1, REGISTERED);
        leavesNothing(registerCall(only(entry(1)), OPERATOR, REGISTRAR));
        IIdentityRegistry.Activation memory word = activation(1);
        passes(activateCall(only(word), OPERATOR, REGISTRAR));
        word.s = bytes32(N - uint256(word.s));
        leavesNothing(activateCall(only(word), OPERATOR, REGISTRAR));
        expectIdentity(1, ACTIVE);
    }

    function test_numbersThatAreNoSignature() external {
        IIdentityRegistry.Registration memory made = entry(1);
        (bytes32 r, bytes32 s) = (made.r, made.s);
        bytes32[4] memory bad = [bytes32(0), bytes32(N), bytes32(type(uint256).max), bytes32(uint256(1))];
        for (uint256 i = 0; i < bad.length; ++i) {
            (made.r, made.s) = (bad[i], s);
            registerRefused(made, BAD_PROOF);
            (made.r, made.s) = (r, bad[i]);
            registerRefused(made, BAD_PROOF);
        }
    }

    /// @notice What a card signs for a login is no proof of possession, whatever it says.
    function test_anApprovalIsNoProof() external {
        IIdentityRegistry.Registration memory made = entry(1);
        bytes32 digest = possessionDigest(OPERATOR, made.identity, made.x, made.y, REGISTER, made.deadline);
        string[3] memory headers = [
            "{\"alg\":\"ES256\",\"typ\":\"tally-approval+jwt\"}",
            "{\"alg\":\"ES256\",\"typ\":\"tally-agent+jwt\"}",
            "{\"typ\":\"tally-possession+jws\",\"alg\":\"ES256\"}"
        ];
        for (uint256 i = 0; i < headers.length; ++i) {
            (made.r, made.s) = vm.signP256(card(1), sha256(jws(headers[i], abi.encodePacked(digest))));
            registerRefused(made, BAD_PROOF);
        }
        (made.r, made.s) = vm.signP256(card(1), digest);
        registerRefused(made, BAD_PROOF);
    }

    /// @notice The point with the other y has the private key n - d: whoever has one has both.
    function test_theMirroredKey() external {
        IIdentityRegistry.Registration memory made = entryOf(OPERATOR, person(2), N - card(1), REGISTER);
        registerOne(1);
        check(made.x == entry(1).x && made.y != entry(1).y, "mirrored at the x axis");
        registerRefused(made, IIdentityRegistry.Refusal.KeyTaken);
    }

    // Entries

    function test_sentTwice() external {
        bytes memory call_ = registerCall(only(entry(1)), OPERATOR, REGISTRAR);
        passes(call_);
        IIdentityRegistry.Identity memory before = identities.identityOf(person(1));
        pass(60);
        leavesNothing(call_);
        bytes memory activating = activateCall(only(activation(1)), OPERATOR, REGISTRAR);
        passes(activating);
        leavesNothing(activating);
        leavesNothing(call_);
        check(identities.identityOf(person(1)).registeredAt == before.registeredAt, "as before");
    }

    function test_idsThatAreNone() external {
        registerRefused(entryOf(OPERATOR, 0, card(1), REGISTER), IIdentityRegistry.Refusal.BadIdentity);
        registerRefused(entryOf(OPERATOR, ~bytes32(0), card(1), REGISTER), IIdentityRegistry.Refusal.BadIdentity);
        activateRefused(wordOf(1, 0, 1, ACTIVATE), IIdentityRegistry.Refusal.UnknownIdentity);
    }

    function test_anIdIsTakenOnce() external {
        registerOne(1);
        bytes memory again = registerCall(only(entryOf(OPERATOR, person(1), card(2), REGISTER)), OPERATOR, REGISTRAR);
        entryRefused(again, IIdentityRegistry.Refusal.IdentityTaken);
        check(identities.identityOf(person(1)).x == entry(1).x, "the key stays");
    }

    function test_aKeyHasOneIdentityForEver() external {
        activeOne(1);
        registerRefused(entryOf(OPERATOR, person(2), card(1), REGISTER), IIdentityRegistry.Refusal.KeyTaken);
        passes(revokeIdentityCall(person(1), 1, OPERATOR, ADMINISTRATOR));
        registerRefused(entryOf(OPERATOR, person(2), card(1), REGISTER), IIdentityRegistry.Refusal.KeyTaken);
    }

    function test_pointsThatAreNone() external {
        bytes32 p = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffff;
        (bytes32 x, bytes32 y) = pointOf(card(1));
        bytes32[2][5] memory points =
            [[x, bytes32(uint256(y) ^ 1)], [bytes32(0), bytes32(0)], [x, bytes32(0)], [p, y], [x, p]];
        for (uint256 i = 0; i < points.length; ++i) {
            IIdentityRegistry.Registration memory made = entry(1);
            (made.x, made.y) = (points[i][0], points[i][1]);
            prove(made, OPERATOR, card(1), REGISTER);
            registerRefused(made, IIdentityRegistry.Refusal.BadKey);
        }
    }

    function test_anEmulatorIsNotAttested() external {
        IIdentityRegistry.Registration memory made = entry(1);
        made.emulator = true;
        made.attestation = IIdentityRegistry.Attestation.Personaliser;
        registerRefused(made, IIdentityRegistry.Refusal.BadAttestation);
        made.attestation = IIdentityRegistry.Attestation.VendorCertificate;
        registerRefused(made, IIdentityRegistry.Refusal.BadAttestation);
        made.attestation = IIdentityRegistry.Attestation.None;
        passes(registerCall(only(made), OPERATOR, REGISTRAR));
        IIdentityRegistry.Identity memory stands = identities.identityOf(person(1));
        check(stands.emulator && stands.attestation == IIdentityRegistry.Attestation.None, "marked");
        made = entry(2);
        made.attestation = IIdentityRegistry.Attestation.VendorCertificate;
        passes(registerCall(only(made), OPERATOR, REGISTRAR));
        check(
            identities.identityOf(person(2)).attestation == IIdentityRegistry.Attestation.VendorCertificate, "attested"
        );
    }

    function test_oneBadEntryHindersNoOther() external {
        IIdentityRegistry.Registration[] memory entries = new IIdentityRegistry.Registration[](5);
        for (uint256 i = 0; i < 5; ++i) {
            entries[i] = entry(i);
        }
        entries[2].s = ~entries[2].s;
        entryRefused(registerCall(entries, OPERATOR, REGISTRAR), BAD_PROOF);
        for (uint256 i = 0; i < 5; ++i) {
            expectIdentity(i, i == 2 ? NONE : REGISTERED);
        }
        IIdentityRegistry.Activation[] memory words = new IIdentityRegistry.Activation[](5);
        for (uint256 i = 0; i < 5; ++i) {
            words[i] = activation(i);
        }
        entryRefused(activateCall(words, OPERATOR, REGISTRAR), IIdentityRegistry.Refusal.UnknownIdentity);
        expectIdentity(4, ACTIVE);
        entries[2] = entry(2);
        passes(registerCall(entries, OPERATOR, REGISTRAR));
        expectIdentity(2, REGISTERED);
        expectIdentity(4, ACTIVE);
    }

    function test_twiceInOneBatch() external {
        IIdentityRegistry.Registration[] memory entries = new IIdentityRegistry.Registration[](2);
        entries[0] = entry(1);
        entries[1] = entryOf(OPERATOR, person(2), card(1), REGISTER);
        entryRefused(registerCall(entries, OPERATOR, REGISTRAR), IIdentityRegistry.Refusal.KeyTaken);
        expectIdentity(1, REGISTERED);
        expectIdentity(2, NONE);
    }

    function test_sizes() external {
        IIdentityRegistry.Registration[] memory entries = new IIdentityRegistry.Registration[](0);
        bytes memory size = abi.encodeWithSelector(IIdentityRegistry.IdentityBatchSize.selector, 0);
        isRefused(registerCall(entries, OPERATOR, REGISTRAR), size);
        isRefused(activateCall(new IIdentityRegistry.Activation[](0), OPERATOR, REGISTRAR), size);
        size = abi.encodeWithSelector(IIdentityRegistry.IdentityBatchSize.selector, 101);
        isRefused(registerCall(new IIdentityRegistry.Registration[](101), OPERATOR, REGISTRAR), size);
        isRefused(activateCall(new IIdentityRegistry.Activation[](101), OPERATOR, REGISTRAR), size);
    }

    // Orders

    function test_whoMayOrder() external {
        notAuthorised(registerCall(only(entry(1)), OPERATOR, DUTY), accountOf(OPERATOR, DUTY));
        notAuthorised(registerCall(only(entry(1)), OPERATOR, "stranger"), accountOf(OPERATOR, "stranger"));
        notAuthorised(registerCall(only(entry(1)), OPERATOR, "station"), station(OPERATOR));
        registerOne(1);
        notAuthorised(activateCall(only(activation(1)), OPERATOR, DUTY), accountOf(OPERATOR, DUTY));
    }

    function test_onlyOperatorsAndServicesHaveUsers() external {
        IIdentityRegistry.Registration memory made = entryOf(VENDOR, person(1), card(1), REGISTER);
        notAuthorised(registerCall(only(made), VENDOR, ADMINISTRATOR), admin(VENDOR));
        uint16[] memory voters = new uint16[](3);
        (voters[0], voters[1], voters[2]) = (1, 2, 3);
        decide(
            IConsortium.ProposalKind.Admit, abi.encode(seed(5, IConsortium.MemberKind.Service, "Harbour Bank")), voters
        );
        made = entryOf(5, person(1), card(1), REGISTER);
        passes(registerCall(only(made), 5, ADMINISTRATOR));
        check(identities.identityOf(person(1)).operator == 5, "a service's user");
    }

    function test_anotherMembersIdentity() external {
        registerOne(1);
        bytes memory call_ = activateCall(only(activation(1)), VENDOR, ADMINISTRATOR);
        entryRefused(call_, IIdentityRegistry.Refusal.UnknownIdentity);
        expectIdentity(1, REGISTERED);
    }

    function test_aSuspendedOperator() external {
        registerOne(1);
        suspend(OPERATOR);
        notAuthorised(registerCall(only(entry(2)), OPERATOR, REGISTRAR), accountOf(OPERATOR, REGISTRAR));
        notAuthorised(activateCall(only(activation(1)), OPERATOR, ADMINISTRATOR), admin(OPERATOR));
        expectIdentity(1, REGISTERED);
    }

    function test_aSuspendedAccount() external {
        address who = accountOf(OPERATOR, REGISTRAR);
        ok(address(consortium), setAccountCall(OPERATOR, who, IConsortium.Role.Registrar, false, OPERATOR));
        notAuthorised(registerCall(only(entry(1)), OPERATOR, REGISTRAR), who);
    }

    function test_ordersAreSignedByWhomTheyName() external {
        (bool done,) = address(identities).call(registerCall(only(entry(1)), OPERATOR, REGISTRAR));
        check(done, "the order itself is good");
        bytes memory signature = sign(keyOf(OPERATOR, REGISTRAR), address(registry), keccak256("another contract's"));
        bytes memory call_ = abi.encodeCall(
            IIdentityRegistry.register, (only(entry(2)), later(), accountOf(OPERATOR, REGISTRAR), signature)
        );
        isRefused(
            call_,
            abi.encodeWithSelector(IIdentityRegistry.IdentityBadSignature.selector, accountOf(OPERATOR, REGISTRAR))
        );
    }

    /// @notice An order is over its entries: nobody exchanges one, or its attestation, on the way.
    function test_ordersAreBoundToTheirEntries() external {
        IIdentityRegistry.Registration[] memory entries = only(entry(1));
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("Register(bytes32 entriesHash,uint64 deadline)"), keccak256(abi.encode(entries)), later()
            )
        );
        bytes memory signature = order(OPERATOR, REGISTRAR, structHash);
        address who = accountOf(OPERATOR, REGISTRAR);
        bytes memory bad = abi.encodeWithSelector(IIdentityRegistry.IdentityBadSignature.selector, who);
        entries[0].attestation = IIdentityRegistry.Attestation.VendorCertificate;
        isRefused(abi.encodeCall(IIdentityRegistry.register, (entries, later(), who, signature)), bad);
        isRefused(abi.encodeCall(IIdentityRegistry.register, (only(entry(2)), later(), who, signature)), bad);
        entries[0].attestation = IIdentityRegistry.Attestation.None;
        isRefused(abi.encodeCall(IIdentityRegistry.register, (entries, later() + 1, who, signature)), bad);
        passes(abi.encodeCall(IIdentityRegistry.register, (entries, later(), who, signature)));
    }

    function test_ordersPastTheirDeadline() external {
        uint64 deadline = later();
        bytes memory call_ = registerCall(only(entry(1)), OPERATOR, REGISTRAR);
        goTo(uint256(deadline) + 1);
        isRefused(call_, abi.encodeWithSelector(IIdentityRegistry.IdentityDeadlinePassed.selector, deadline));
    }

    function test_whatItStandsOn() external view {
        check(identities.consortium() == address(consortium), "its consortium");
        check(identities.replacementDelaySeconds() == REPLACEMENT_DELAY, "its delay");
    }
}
