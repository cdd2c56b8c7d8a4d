// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IConsortium} from "../interfaces/IConsortium.sol";
import {IIdentityRegistry} from "../interfaces/IIdentityRegistry.sol";
import {IdentityTest} from "./IdentityTest.sol";
import {CertificateBuilder} from "./x509/CertificateBuilder.sol";

/// @notice Hold, release, revocation; another key with the old card's word, or by two accounts after a delay.
contract ReplacementTest is IdentityTest {
    IIdentityRegistry.State private constant REGISTERED = IIdentityRegistry.State.Registered;
    IIdentityRegistry.State private constant ACTIVE = IIdentityRegistry.State.Active;
    IIdentityRegistry.State private constant HELD = IIdentityRegistry.State.Held;
    IIdentityRegistry.State private constant REPLACING = IIdentityRegistry.State.Replacing;
    IIdentityRegistry.State private constant REVOKED = IIdentityRegistry.State.Revoked;

    bytes32 private id;

    function setUp() public override {
        super.setUp();
        id = person(1);
        activeOne(1);
        addAccount(OPERATOR, "second", IConsortium.Role.Administrator);
        pass(60);
    }

    function notAuthorised(bytes memory call_, uint16 member, string memory role) private {
        address who = accountOf(member, role);
        isRefused(call_, abi.encodeWithSelector(IIdentityRegistry.IdentityNotAuthorised.selector, who));
    }

    function wrongState(bytes memory call_, IIdentityRegistry.State state) private {
        isRefused(call_, abi.encodeWithSelector(IIdentityRegistry.IdentityWrongState.selector, id, state));
    }

    function keyRefused(bytes memory call_, IIdentityRegistry.Refusal refusal) private {
        isRefused(call_, abi.encodeWithSelector(IIdentityRegistry.IdentityKeyRefused.selector, id, refusal));
    }

    function counter() private view returns (uint16) {
        return identities.identityOf(id).counter;
    }

    function agreement(uint256 newCard) private view returns (IIdentityRegistry.Activation memory) {
        return wordOf(1, id, newCard, REPLACE);
    }

    function start(uint256 newCard) private {
        passes(startCall(replacementOf(1, newCard), counter(), OPERATOR, REGISTRAR));
    }

    function confirm(uint256 newCard) private view returns (bytes memory) {
        return confirmCall(id, newCard, counter(), OPERATOR, ADMINISTRATOR);
    }

    function cardBlocked(uint256 number) private {
        (bytes32 x, bytes32 y) = pointOf(card(number));
        bytes memory info = CertificateBuilder.spkiOf(uint256(x), uint256(y));
        bytes32 structHash = keccak256(abi.encode(keccak256("KeyCompromise(bytes32 spkiHash)"), sha256(info)));
        bytes32 separator = domainSeparator(address(registry), block.chainid, SALT);
        (bytes32 r, bytes32 s) = vm.signP256(card(number), sha256(abi.encodePacked(hex"1901", separator, structHash)));
        registry.blockKeyByProof(info, r, s);
    }

    // Hold, release, revocation

    function test_holdAndRelease() external {
        passes(holdCall(id, 0, OPERATOR, REGISTRAR));
        expectIdentity(1, HELD);
        check(identities.identityOf(id).held && identities.identityOf(id).changedAt == now_, "held");
        wrongState(holdCall(id, 1, OPERATOR, DUTY), HELD);
        notAuthorised(releaseCall(id, 1, OPERATOR, REGISTRAR), OPERATOR, REGISTRAR);
        notAuthorised(releaseCall(id, 1, OPERATOR, DUTY), OPERATOR, DUTY);
        passes(releaseCall(id, 1, OPERATOR, ADMINISTRATOR));
        expectIdentity(1, ACTIVE);
        wrongState(releaseCall(id, 2, OPERATOR, ADMINISTRATOR), ACTIVE);
        passes(holdCall(id, 2, OPERATOR, DUTY));
        expectIdentity(1, HELD);
    }

    function test_anOrderIsGoodOnce() external {
        bytes memory hold = holdCall(id, 0, OPERATOR, DUTY);
        bytes memory release = releaseCall(id, 1, OPERATOR, ADMINISTRATOR);
        isRefused(release, abi.encodeWithSelector(IIdentityRegistry.IdentityWrongState.selector, id, ACTIVE));
        passes(hold);
        passes(release);
        isRefused(hold, abi.encodeWithSelector(IIdentityRegistry.IdentityCounter.selector, id, uint16(2), uint16(0)));
        passes(holdCall(id, 2, OPERATOR, DUTY));
        isRefused(release, abi.encodeWithSelector(IIdentityRegistry.IdentityCounter.selector, id, uint16(3), uint16(1)));
    }

    function test_othersMayNot() external {
        string[3] memory roles = [ADMINISTRATOR, DUTY, "stranger"];
        for (uint256 i = 0; i < roles.length; ++i) {
            notAuthorised(holdCall(id, 0, VENDOR, roles[i]), VENDOR, roles[i]);
            notAuthorised(revokeIdentityCall(id, 1, VENDOR, roles[i]), VENDOR, roles[i]);
        }
        notAuthorised(holdCall(id, 0, OPERATOR, "station"), OPERATOR, "station");
        notAuthorised(revokeIdentityCall(id, 1, OPERATOR, REGISTRAR), OPERATOR, REGISTRAR);
        notAuthorised(revokeIdentityCall(id, 1, OPERATOR, DUTY), OPERATOR, DUTY);
    }

    function test_unknownIdentities() external {
        bytes32 nobody = person(9);
        bytes memory unknown = abi.encodeWithSelector(IIdentityRegistry.IdentityUnknown.selector, nobody);
        isRefused(holdCall(nobody, 0, OPERATOR, DUTY), unknown);
        isRefused(revokeIdentityCall(nobody, 1, OPERATOR, ADMINISTRATOR), unknown);
        isRefused(startCall(replacementOf(9, 2), 0, OPERATOR, REGISTRAR), unknown);
        isRefused(abi.encodeCall(IIdentityRegistry.holdBlocked, (nobody)), unknown);
    }

    function test_aHoldBeforeActivation() external {
        registerOne(2);
        passes(holdCall(person(2), 0, OPERATOR, DUTY));
        entryRefused(activateCall(only(activation(2)), OPERATOR, REGISTRAR), IIdentityRegistry.Refusal.WrongState);
        passes(releaseCall(person(2), 1, OPERATOR, ADMINISTRATOR));
        expectIdentity(2, REGISTERED);
        passes(activateCall(only(activation(2)), OPERATOR, REGISTRAR));
        expectIdentity(2, ACTIVE);
    }

    function test_revocationIsFinal() external {
        passes(revokeIdentityCall(id, 1, OPERATOR, ADMINISTRATOR));
        IIdentityRegistry.Identity memory stands = identities.identityOf(id);
        check(stands.state == REVOKED && stands.reason == 1 && stands.x == entry(1).x, "revoked, and still readable");
        pass(60);
        leavesNothing(revokeIdentityCall(id, 4, OPERATOR, ADMINISTRATOR));
        wrongState(holdCall(id, 0, OPERATOR, DUTY), REVOKED);
        wrongState(releaseCall(id, 0, OPERATOR, ADMINISTRATOR), REVOKED);
        wrongState(startCall(replacementOf(1, 2), 0, OPERATOR, REGISTRAR), REVOKED);
        wrongState(replaceCall(replacementOf(1, 2), agreement(2), 0, OPERATOR, REGISTRAR), REVOKED);
        entryRefused(
            registerCall(only(entryOf(OPERATOR, id, card(2), REGISTER)), OPERATOR, REGISTRAR),
            IIdentityRegistry.Refusal.IdentityTaken
        );
        entryRefused(
            activateCall(only(wordOf(2, person(2), 2, ACTIVATE)), OPERATOR, REGISTRAR),
            IIdentityRegistry.Refusal.UnknownIdentity
        );
        registerOne(2);
        passes(revokeIdentityCall(person(2), 0, OPERATOR, ADMINISTRATOR));
        entryRefused(activateCall(only(activation(2)), OPERATOR, REGISTRAR), IIdentityRegistry.Refusal.WrongState);
        check(keccak256(abi.encode(identities.identityOf(id))) == keccak256(abi.encode(stands)), "as it was revoked");
    }

    function test_reasons() external {
        for (uint256 reason = 0; reason < 256; ++reason) {
            bool good = reason == 0 || reason == 1 || (reason >= 3 && reason <= 5) || reason == 9;
            if (good) continue;
            isRefused(
                revokeIdentityCall(id, uint8(reason), OPERATOR, ADMINISTRATOR),
                abi.encodeWithSelector(IIdentityRegistry.IdentityBadReason.selector, uint8(reason))
            );
        }
        passes(revokeIdentityCall(id, 9, OPERATOR, ADMINISTRATOR));
        check(identities.identityOf(id).reason == 9, "a reason of RFC 5280");
    }

    function test_aSuspendedOperatorMayHoldAndRevoke() external {
        start(2);
        passes(holdCall(id, counter(), OPERATOR, DUTY));
        passes(releaseCall(id, counter(), OPERATOR, ADMINISTRATOR));
        start(2);
        suspend(OPERATOR);
        pass(REPLACEMENT_DELAY);
        notAuthorised(confirm(2), OPERATOR, ADMINISTRATOR);
        passes(cancelCall(id, counter(), OPERATOR, DUTY));
        notAuthorised(startCall(replacementOf(1, 2), counter(), OPERATOR, REGISTRAR), OPERATOR, REGISTRAR);
        notAuthorised(
            replaceCall(replacementOf(1, 2), agreement(2), counter(), OPERATOR, REGISTRAR), OPERATOR, REGISTRAR
        );
        passes(holdCall(id, counter(), OPERATOR, DUTY));
        notAuthorised(releaseCall(id, counter(), OPERATOR, ADMINISTRATOR), OPERATOR, ADMINISTRATOR);
        passes(revokeIdentityCall(id, 5, OPERATOR, ADMINISTRATOR));
        expectIdentity(1, REVOKED);
    }

    function test_aRemovedOperator() external {
        uint16[] memory voters = new uint16[](3);
        (voters[0], voters[1], voters[2]) = (VENDOR, OEM, AUTHORITY);
        decide(IConsortium.ProposalKind.Remove, abi.encode(OPERATOR), voters);
        expectIdentity(1, ACTIVE);
        notAuthorised(holdCall(id, 0, OPERATOR, DUTY), OPERATOR, DUTY);
        notAuthorised(revokeIdentityCall(id, 1, OPERATOR, ADMINISTRATOR), OPERATOR, ADMINISTRATOR);
    }

    function test_counterAtItsEnd() external {
        setCounter(type(uint16).max - 2);
        passes(holdCall(id, type(uint16).max - 2, OPERATOR, DUTY));
        passes(releaseCall(id, type(uint16).max - 1, OPERATOR, ADMINISTRATOR));
        bytes memory exhausted = abi.encodeWithSelector(IIdentityRegistry.IdentityCounterExhausted.selector, id);
        isRefused(startCall(replacementOf(1, 2), type(uint16).max, OPERATOR, REGISTRAR), exhausted);
        isRefused(
            holdCall(id, 0, OPERATOR, DUTY),
            abi.encodeWithSelector(IIdentityRegistry.IdentityCounter.selector, id, type(uint16).max, uint16(0))
        );
        passes(holdCall(id, type(uint16).max, OPERATOR, DUTY));
        check(counter() == type(uint16).max, "stays at its end");
        expectIdentity(1, HELD);
        isRefused(releaseCall(id, type(uint16).max, OPERATOR, ADMINISTRATOR), exhausted);
        passes(revokeIdentityCall(id, 1, OPERATOR, ADMINISTRATOR));
        expectIdentity(1, REVOKED);
    }

    function test_aBlockedKeyAtTheCountersEnd() external {
        setCounter(type(uint16).max);
        cardBlocked(1);
        identities.holdBlocked(id);
        check(counter() == type(uint16).max, "stays at its end");
        expectIdentity(1, HELD);
    }

    /// @dev The counter lies 48 bits up in the first word of slot 0: docs/ledger.md.
    function setCounter(uint16 value) private {
        bytes32 place = keccak256(abi.encode(id, uint256(0)));
        uint256 word = uint256(vm.load(address(identities), place));
        word = (word & ~(uint256(0xffff) << 48)) | (uint256(value) << 48);
        vm.store(address(identities), place, bytes32(word));
    }

    // Blocked keys

    function test_aBlockedKeyIsNotTaken() external {
        cardBlocked(2);
        entryRefused(registerCall(only(entry(2)), OPERATOR, REGISTRAR), IIdentityRegistry.Refusal.KeyBlocked);
        keyRefused(startCall(replacementOf(1, 2), 0, OPERATOR, REGISTRAR), IIdentityRegistry.Refusal.KeyBlocked);
        start(3);
        cardBlocked(3);
        pass(REPLACEMENT_DELAY);
        keyRefused(confirm(3), IIdentityRegistry.Refusal.KeyBlocked);
    }

    function test_aBlockedKeyIsNotActivated() external {
        registerOne(4);
        registerOne(5);
        cardBlocked(4);
        entryRefused(activateCall(only(activation(4)), OPERATOR, REGISTRAR), IIdentityRegistry.Refusal.KeyBlocked);
        expectIdentity(4, REGISTERED);
        passes(activateCall(only(activation(5)), OPERATOR, REGISTRAR));
        expectIdentity(5, ACTIVE);
    }

    function test_anyoneHoldsWhatHasABlockedKey() external {
        bytes memory call_ = abi.encodeCall(IIdentityRegistry.holdBlocked, (id));
        isRefused(call_, abi.encodeWithSelector(IIdentityRegistry.IdentityKeyNotBlocked.selector, id));
        start(2);
        cardBlocked(1);
        passes(call_);
        expectIdentity(1, HELD);
        wrongState(call_, HELD);
        check(identities.identityOf(id).replacing, "the way out stays open");
        bytes memory blocked = abi.encodeWithSelector(IIdentityRegistry.IdentityKeyBlocked.selector, id);
        isRefused(releaseCall(id, counter(), OPERATOR, ADMINISTRATOR), blocked);
        isRefused(abi.encodeCall(IIdentityRegistry.cancelByCard, (wordOf(1, id, 2, CANCEL))), blocked);
        isRefused(replaceCall(replacementOf(1, 3), agreement(3), counter(), OPERATOR, REGISTRAR), blocked);
        pass(REPLACEMENT_DELAY);
        passes(confirm(2));
        expectIdentity(1, HELD);
        passes(releaseCall(id, counter(), OPERATOR, ADMINISTRATOR));
        expectIdentity(1, REGISTERED);
    }

    // With the old card

    function test_replacedAtOnce() external {
        IIdentityRegistry.Registration memory made = replacementOf(1, 2);
        made.attestation = IIdentityRegistry.Attestation.Personaliser;
        made.cardEnforced = false;
        uint256 since = identities.identityOf(id).keySince;
        passes(replaceCall(made, agreement(2), 0, OPERATOR, REGISTRAR));
        IIdentityRegistry.Identity memory stands = identities.identityOf(id);
        check(stands.state == REGISTERED && stands.activatedAt == 0 && stands.keySince == now_, "not yet active");
        check(stands.x == made.x && stands.y == made.y && stands.keyCount == 2, "the new key");
        check(stands.attestation == made.attestation && !stands.cardEnforced, "the new card");
        IIdentityRegistry.Key memory old = identities.keyAt(id, 0);
        check(old.x == entry(1).x && old.y == entry(1).y && old.cardEnforced, "the old key");
        check(old.since == since && old.until == now_, "its times");
        IIdentityRegistry.Key memory current = identities.keyAt(id, 1);
        check(current.x == made.x && current.since == now_ && current.until == 0, "the current key");
        check(identities.keyAt(id, 2).x == 0, "no more");
        entryRefused(activateCall(only(activation(1)), OPERATOR, REGISTRAR), IIdentityRegistry.Refusal.BadProof);
        passes(activateCall(only(wordOf(2, id, 2, ACTIVATE)), OPERATOR, REGISTRAR));
        expectIdentity(1, ACTIVE);
        // The registration of old finds its effect still there.
        leavesNothing(registerCall(only(entry(1)), OPERATOR, REGISTRAR));
    }

    function test_sentTwice() external {
        bytes memory call_ = replaceCall(replacementOf(1, 2), agreement(2), 0, OPERATOR, REGISTRAR);
        passes(call_);
        isRefused(call_, abi.encodeWithSelector(IIdentityRegistry.IdentityCounter.selector, id, uint16(1), uint16(0)));
    }

    function test_theOldCardsWord() external {
        bytes memory bad = abi.encodeWithSelector(IIdentityRegistry.IdentityBadProof.selector, id);
        IIdentityRegistry.Registration memory made = replacementOf(1, 2);
        isRefused(replaceCall(made, agreement(3), 0, OPERATOR, REGISTRAR), bad);
        isRefused(replaceCall(made, wordOf(3, id, 2, REPLACE), 0, OPERATOR, REGISTRAR), bad);
        isRefused(replaceCall(made, wordOf(2, id, 2, REPLACE), 0, OPERATOR, REGISTRAR), bad);
        isRefused(replaceCall(made, wordOf(1, id, 2, CANCEL), 0, OPERATOR, REGISTRAR), bad);
        isRefused(replaceCall(made, wordOf(1, id, 2, ACTIVATE), 0, OPERATOR, REGISTRAR), bad);
        activeOne(5);
        isRefused(replaceCall(made, wordOf(5, person(5), 2, REPLACE), 0, OPERATOR, REGISTRAR), bad);
        IIdentityRegistry.Activation memory twin = agreement(2);
        twin.s = bytes32(N - uint256(twin.s));
        passes(replaceCall(made, twin, 0, OPERATOR, REGISTRAR));
    }

    function test_theOldCardsWordIsFresh() external {
        IIdentityRegistry.Activation memory word;
        (bytes32 x, bytes32 y) = pointOf(card(2));
        word.identity = id;
        word.deadline = uint64(now_ + 24 hours + 1);
        uint40 activatedAt = identities.identityOf(id).activatedAt;
        (word.r, word.s) = signOnCard(card(1), wordDigest(id, x, y, REPLACE, activatedAt, word.deadline));
        bytes memory far = abi.encodeWithSelector(IIdentityRegistry.IdentityDeadlineTooFar.selector, word.deadline);
        isRefused(replaceCall(replacementOf(1, 2), word, 0, OPERATOR, REGISTRAR), far);
        goTo(uint256(word.deadline) + 1);
        bytes memory late = abi.encodeWithSelector(IIdentityRegistry.IdentityDeadlinePassed.selector, word.deadline);
        isRefused(replaceCall(replacementOf(1, 2), word, 0, OPERATOR, REGISTRAR), late);
        goTo(word.deadline);
        passes(replaceCall(replacementOf(1, 2), word, 0, OPERATOR, REGISTRAR));
    }

    /// @notice Who personalises cards has them sign without PIN, also for a day to come; the second of the activation is
    /// what the fresh card could not be told.
    function test_aWordOfTheFreshCard() external {
        (bytes32 x, bytes32 y) = pointOf(card(2));
        IIdentityRegistry.Activation memory word;
        word.identity = person(4);
        word.deadline = uint64(now_ + 180 days);
        (word.r, word.s) = signOnCard(card(4), wordDigest(person(4), x, y, REPLACE, 0, word.deadline));
        IIdentityRegistry.Activation memory possession;
        (possession.identity, possession.deadline) = (word.identity, word.deadline);
        (possession.r, possession.s) =
            signOnCard(card(4), possessionDigest(OPERATOR, person(4), x, y, REPLACE, word.deadline));
        registerOne(4);
        goTo(word.deadline - 1 hours);
        IIdentityRegistry.Registration memory made = replacementOf(4, 2);
        isRefused(
            replaceCall(made, word, 0, OPERATOR, REGISTRAR),
            abi.encodeWithSelector(IIdentityRegistry.IdentityWrongState.selector, person(4), REGISTERED)
        );
        passes(activateCall(only(activation(4)), OPERATOR, REGISTRAR));
        bytes memory bad = abi.encodeWithSelector(IIdentityRegistry.IdentityBadProof.selector, person(4));
        isRefused(replaceCall(made, word, 0, OPERATOR, REGISTRAR), bad);
        isRefused(replaceCall(made, possession, 0, OPERATOR, REGISTRAR), bad);
        passes(replaceCall(made, wordOf(4, person(4), 2, REPLACE), 0, OPERATOR, REGISTRAR));
    }

    function test_theDigestOfAWord() external view {
        (bytes32 x, bytes32 y) = pointOf(card(2));
        uint40 activatedAt = identities.identityOf(id).activatedAt;
        check(activatedAt == START, "activated");
        check(
            identities.wordDigest(id, x, y, CANCEL, later()) == wordDigest(id, x, y, CANCEL, activatedAt, later()),
            "as the documents have it"
        );
    }

    function test_theNewKeysProof() external {
        IIdentityRegistry.Registration memory made = entryOf(OPERATOR, id, card(2), REGISTER);
        keyRefused(replaceCall(made, agreement(2), 0, OPERATOR, REGISTRAR), IIdentityRegistry.Refusal.BadProof);
        keyRefused(startCall(made, 0, OPERATOR, REGISTRAR), IIdentityRegistry.Refusal.BadProof);
        made = replacementOf(1, 1);
        keyRefused(replaceCall(made, agreement(1), 0, OPERATOR, REGISTRAR), IIdentityRegistry.Refusal.KeyTaken);
        made = replacementOf(1, 2);
        made.emulator = true;
        made.attestation = IIdentityRegistry.Attestation.VendorCertificate;
        keyRefused(startCall(made, 0, OPERATOR, REGISTRAR), IIdentityRegistry.Refusal.BadAttestation);
        registerOne(4);
        made = replacementOf(1, 4);
        keyRefused(startCall(made, 0, OPERATOR, REGISTRAR), IIdentityRegistry.Refusal.KeyTaken);
        made = replacementOf(1, 2);
        made.deadline = uint64(now_ - 1);
        prove(made, OPERATOR, card(2), REPLACE);
        keyRefused(startCall(made, 0, OPERATOR, REGISTRAR), IIdentityRegistry.Refusal.DeadlinePassed);
    }

    function test_aHoldStays() external {
        passes(holdCall(id, 0, OPERATOR, DUTY));
        passes(replaceCall(replacementOf(1, 2), agreement(2), 1, OPERATOR, REGISTRAR));
        expectIdentity(1, HELD);
        passes(releaseCall(id, 2, OPERATOR, ADMINISTRATOR));
        expectIdentity(1, REGISTERED);
    }

    // Without the old card

    function test_replacedByTwoAfterADelay() external {
        start(2);
        uint256 executableAt = now_ + REPLACEMENT_DELAY;
        expectIdentity(1, REPLACING);
        IIdentityRegistry.Replacement memory waiting = identities.replacementOf(id);
        check(waiting.x == replacementOf(1, 2).x && waiting.executableAt == executableAt, "waits");
        check(waiting.startedBy == accountOf(OPERATOR, REGISTRAR) && waiting.cardEnforced, "by whom");
        check(identities.identityOf(id).x == entry(1).x, "the key is still the old one");
        bytes memory call_ = confirm(2);
        bytes memory early =
            abi.encodeWithSelector(IIdentityRegistry.IdentityTooEarly.selector, id, uint40(executableAt));
        isRefused(call_, early);
        goTo(executableAt - 1);
        isRefused(call_, early);
        goTo(executableAt);
        notAuthorised(confirmCall(id, 2, 1, OPERATOR, REGISTRAR), OPERATOR, REGISTRAR);
        notAuthorised(confirmCall(id, 2, 1, VENDOR, ADMINISTRATOR), VENDOR, ADMINISTRATOR);
        isRefused(
            confirmCall(id, 3, 1, OPERATOR, ADMINISTRATOR),
            abi.encodeWithSelector(IIdentityRegistry.IdentityOtherKey.selector, id)
        );
        passes(call_);
        expectIdentity(1, REGISTERED);
        check(identities.replacementOf(id).startedBy == address(0), "nothing waits");
        check(identities.keyCount(id) == 2 && identities.identityOfKey(waiting.x) == id, "the new key");
        isRefused(call_, abi.encodeWithSelector(IIdentityRegistry.IdentityNoReplacement.selector, id));
        passes(activateCall(only(wordOf(2, id, 2, ACTIVATE)), OPERATOR, REGISTRAR));
        expectIdentity(1, ACTIVE);
    }

    function test_twoAccounts() external {
        passes(startCall(replacementOf(1, 2), 0, OPERATOR, ADMINISTRATOR));
        pass(REPLACEMENT_DELAY);
        isRefused(confirm(2), abi.encodeWithSelector(IIdentityRegistry.IdentitySameAccount.selector, admin(OPERATOR)));
        passes(confirmCall(id, 2, 1, OPERATOR, "second"));
    }

    /// @notice What a stolen registrar's key began is not confirmed once that account is suspended.
    function test_begunByAnAccountSuspendedSince() external {
        start(2);
        pass(REPLACEMENT_DELAY);
        address registrar = accountOf(OPERATOR, REGISTRAR);
        IConsortium.Role role = IConsortium.Role.Registrar;
        ok(address(consortium), setAccountCall(OPERATOR, registrar, role, false, OPERATOR));
        notAuthorised(confirm(2), OPERATOR, REGISTRAR);
        ok(address(consortium), setAccountCall(OPERATOR, registrar, role, true, OPERATOR));
        passes(confirm(2));
    }

    function test_oneAtATime() external {
        start(2);
        wrongState(startCall(replacementOf(1, 3), counter(), OPERATOR, REGISTRAR), REPLACING);
        entryRefused(
            registerCall(only(entryOf(OPERATOR, person(3), card(2), REGISTER)), OPERATOR, REGISTRAR),
            IIdentityRegistry.Refusal.KeyTaken
        );
    }

    function test_theCardRefuses() external {
        start(2);
        IIdentityRegistry.Activation memory veto = wordOf(1, id, 2, CANCEL);
        bytes memory bad = abi.encodeWithSelector(IIdentityRegistry.IdentityBadProof.selector, id);
        isRefused(abi.encodeCall(IIdentityRegistry.cancelByCard, (wordOf(2, id, 2, CANCEL))), bad);
        isRefused(abi.encodeCall(IIdentityRegistry.cancelByCard, (wordOf(1, id, 3, CANCEL))), bad);
        isRefused(abi.encodeCall(IIdentityRegistry.cancelByCard, (wordOf(1, id, 2, REPLACE))), bad);
        passes(abi.encodeCall(IIdentityRegistry.cancelByCard, (veto)));
        expectIdentity(1, ACTIVE);
        isRefused(
            abi.encodeCall(IIdentityRegistry.cancelByCard, (veto)),
            abi.encodeWithSelector(IIdentityRegistry.IdentityNoReplacement.selector, id)
        );
        keyRefused(startCall(replacementOf(1, 2), counter(), OPERATOR, REGISTRAR), IIdentityRegistry.Refusal.KeyTaken);
        check(identities.identityOfKey(replacementOf(1, 2).x) == ~bytes32(0), "never taken");
        start(3);
        expectIdentity(1, REPLACING);
    }

    function test_theOperatorCancels() external {
        start(2);
        notAuthorised(cancelCall(id, 1, VENDOR, ADMINISTRATOR), VENDOR, ADMINISTRATOR);
        passes(cancelCall(id, 1, OPERATOR, DUTY));
        expectIdentity(1, ACTIVE);
        isRefused(
            cancelCall(id, 2, OPERATOR, DUTY),
            abi.encodeWithSelector(IIdentityRegistry.IdentityNoReplacement.selector, id)
        );
        start(2);
        expectIdentity(1, REPLACING);
        pass(REPLACEMENT_DELAY - 1);
        bytes memory early = abi.encodeWithSelector(IIdentityRegistry.IdentityTooEarly.selector, id, uint40(now_ + 1));
        isRefused(confirm(2), early);
    }

    function test_aHoldEndsAWaitingReplacement() external {
        start(2);
        bytes memory confirming = confirm(2);
        passes(holdCall(id, 1, OPERATOR, DUTY));
        check(!identities.identityOf(id).replacing && identities.identityOfKey(replacementOf(1, 2).x) == 0, "ended");
        pass(REPLACEMENT_DELAY);
        isRefused(confirming, abi.encodeWithSelector(IIdentityRegistry.IdentityNoReplacement.selector, id));
        start(2);
        expectIdentity(1, HELD);
        isRefused(
            confirming, abi.encodeWithSelector(IIdentityRegistry.IdentityCounter.selector, id, uint16(3), uint16(1))
        );
    }

    function test_aRevocationEndsAWaitingReplacement() external {
        start(2);
        passes(revokeIdentityCall(id, 1, OPERATOR, ADMINISTRATOR));
        pass(REPLACEMENT_DELAY);
        isRefused(confirm(2), abi.encodeWithSelector(IIdentityRegistry.IdentityNoReplacement.selector, id));
        expectIdentity(1, REVOKED);
    }

    function test_theOldCardTurnsUp() external {
        start(2);
        passes(replaceCall(replacementOf(1, 2), agreement(2), 1, OPERATOR, REGISTRAR));
        expectIdentity(1, REGISTERED);
        check(!identities.identityOf(id).replacing && identities.keyCount(id) == 2, "at once after all");
        pass(REPLACEMENT_DELAY);
        isRefused(confirm(2), abi.encodeWithSelector(IIdentityRegistry.IdentityNoReplacement.selector, id));
    }

    function test_noActivationMeanwhile() external {
        registerOne(4);
        passes(startCall(replacementOf(4, 2), 0, OPERATOR, REGISTRAR));
        entryRefused(activateCall(only(activation(4)), OPERATOR, REGISTRAR), IIdentityRegistry.Refusal.WrongState);
    }

    function test_delaysThatAreTooShortOrTooLong() external {
        uint32[4] memory delays = [uint32(0), 1 hours - 1, 30 days + 1, type(uint32).max];
        for (uint256 i = 0; i < delays.length; ++i) {
            try vm.deployCode("IdentityRegistry.sol:IdentityRegistry", abi.encode(consortium, delays[i])) {
                check(false, "deployed");
            } catch {}
        }
        vm.deployCode("IdentityRegistry.sol:IdentityRegistry", abi.encode(consortium, uint32(1 hours)));
        vm.deployCode("IdentityRegistry.sol:IdentityRegistry", abi.encode(consortium, uint32(30 days)));
    }
}
