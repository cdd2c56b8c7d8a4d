// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Base64} from "@openzeppelin/contracts/utils/Base64.sol";
import {IConsortium} from "../interfaces/IConsortium.sol";
import {IIdentityRegistry} from "../interfaces/IIdentityRegistry.sol";
import {Log} from "./Cheats.sol";
import {LedgerTest} from "./LedgerTest.sol";

/// @notice The consortium with an identity registry, and cards. What cards and accounts sign is put together here once
/// more, from the documents.
abstract contract IdentityTest is LedgerTest {
    IIdentityRegistry internal identities;

    uint32 internal constant REPLACEMENT_DELAY = 24 hours;
    uint256 internal constant N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551;
    string internal constant ADMINISTRATOR = "administrator";
    string internal constant REGISTRAR = "registrar";
    string internal constant DUTY = "duty";

    IIdentityRegistry.Purpose internal constant REGISTER = IIdentityRegistry.Purpose.Register;
    IIdentityRegistry.Purpose internal constant ACTIVATE = IIdentityRegistry.Purpose.Activate;
    IIdentityRegistry.Purpose internal constant REPLACE = IIdentityRegistry.Purpose.Replace;
    IIdentityRegistry.Purpose internal constant CANCEL = IIdentityRegistry.Purpose.Cancel;

    function setUp() public virtual override {
        super.setUp();
        bytes memory arguments = abi.encode(consortium, REPLACEMENT_DELAY);
        identities = IIdentityRegistry(vm.deployCode("IdentityRegistry.sol:IdentityRegistry", arguments));
        addAccount(OPERATOR, REGISTRAR, IConsortium.Role.Registrar);
    }

    function addAccount(uint16 member, string memory label, IConsortium.Role role) internal {
        ok(address(consortium), joinCall(member, keyOf(member, label), role));
    }

    // Cards

    /// @return The private key of the card with this number.
    function card(uint256 number) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode("card", number))) % (N - 1) + 1;
    }

    function pointOf(uint256 key) internal pure returns (bytes32, bytes32) {
        (uint256 x, uint256 y) = vm.publicKeyP256(key);
        return (bytes32(x), bytes32(y));
    }

    function person(uint256 number) internal pure returns (bytes32) {
        return keccak256(abi.encode("person", number));
    }

    function possessionDigest(
        uint16 operator,
        bytes32 identity,
        bytes32 x,
        bytes32 y,
        IIdentityRegistry.Purpose purpose,
        uint64 deadline
    ) internal view returns (bytes32) {
        return possessionIn(
            domainSeparator(address(identities), block.chainid, SALT), operator, identity, x, y, purpose, deadline
        );
    }

    function possessionIn(
        bytes32 separator,
        uint16 operator,
        bytes32 identity,
        bytes32 x,
        bytes32 y,
        IIdentityRegistry.Purpose purpose,
        uint64 deadline
    ) internal pure returns (bytes32) {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(
                    "Possession(uint16 operator,bytes32 identity,bytes32 x,bytes32 y,uint8 purpose,uint64 deadline)"
                ),
                operator,
                identity,
                x,
                y,
                purpose,
                deadline
            )
        );
        return keccak256(abi.encodePacked(hex"1901", separator, structHash));
    }

    function jws(string memory header, bytes memory payload) internal pure returns (bytes memory) {
        return abi.encodePacked(Base64.encodeURL(bytes(header)), ".", Base64.encodeURL(payload));
    }

    /// @notice As a card does it: ES256 over header and payload.
    function signOnCard(uint256 key, bytes32 digest) internal pure returns (bytes32 r, bytes32 s) {
        bytes memory text = jws("{\"alg\":\"ES256\",\"typ\":\"tally-possession+jws\"}", abi.encodePacked(digest));
        return vm.signP256(key, sha256(text));
    }

    /// @notice An entry with the proof that `key` belongs to this identity at this operator.
    function entryOf(uint16 operator, bytes32 identity, uint256 key, IIdentityRegistry.Purpose purpose)
        internal
        view
        returns (IIdentityRegistry.Registration memory made)
    {
        made.identity = identity;
        (made.x, made.y) = pointOf(key);
        made.cardEnforced = true;
        made.deadline = later();
        prove(made, operator, key, purpose);
    }

    function prove(
        IIdentityRegistry.Registration memory made,
        uint16 operator,
        uint256 key,
        IIdentityRegistry.Purpose purpose
    ) internal view {
        (made.r, made.s) = signOnCard(
            key, possessionDigest(operator, made.identity, made.x, made.y, purpose, made.deadline)
        );
    }

    function entry(uint256 number) internal view returns (IIdentityRegistry.Registration memory) {
        return entryOf(OPERATOR, person(number), card(number), REGISTER);
    }

    function replacementOf(uint256 number, uint256 newCard)
        internal
        view
        returns (IIdentityRegistry.Registration memory)
    {
        return entryOf(OPERATOR, person(number), card(newCard), REPLACE);
    }

    /// @notice The word of a card over a key, of this purpose.
    function wordOf(uint256 cardNumber, bytes32 identity, uint256 about, IIdentityRegistry.Purpose purpose)
        internal
        view
        returns (IIdentityRegistry.Activation memory made)
    {
        (bytes32 x, bytes32 y) = pointOf(card(about));
        made.identity = identity;
        made.deadline = uint64(now_ + 1 hours);
        bytes32 digest = purpose == ACTIVATE
            ? possessionDigest(OPERATOR, identity, x, y, purpose, made.deadline)
            : wordDigest(identity, x, y, purpose, identities.identityOf(identity).activatedAt, made.deadline);
        (made.r, made.s) = signOnCard(card(cardNumber), digest);
    }

    function wordDigest(
        bytes32 identity,
        bytes32 x,
        bytes32 y,
        IIdentityRegistry.Purpose purpose,
        uint40 activatedAt,
        uint64 deadline
    ) internal view returns (bytes32) {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(
                    "Word(uint16 operator,bytes32 identity,bytes32 x,bytes32 y,uint8 purpose,uint40 activatedAt,uint64 deadline)"
                ),
                OPERATOR,
                identity,
                x,
                y,
                purpose,
                activatedAt,
                deadline
            )
        );
        bytes32 separator = domainSeparator(address(identities), block.chainid, SALT);
        return keccak256(abi.encodePacked(hex"1901", separator, structHash));
    }

    function activation(uint256 number) internal view returns (IIdentityRegistry.Activation memory) {
        return wordOf(number, person(number), number, ACTIVATE);
    }

    function only(IIdentityRegistry.Registration memory made)
        internal
        pure
        returns (IIdentityRegistry.Registration[] memory list)
    {
        list = new IIdentityRegistry.Registration[](1);
        list[0] = made;
    }

    function only(IIdentityRegistry.Activation memory made)
        internal
        pure
        returns (IIdentityRegistry.Activation[] memory list)
    {
        list = new IIdentityRegistry.Activation[](1);
        list[0] = made;
    }

    // Orders

    function order(uint16 member, string memory role, bytes32 structHash) internal view returns (bytes memory) {
        return sign(keyOf(member, role), address(identities), structHash);
    }

    function registerCall(IIdentityRegistry.Registration[] memory entries, uint16 member, string memory role)
        internal
        view
        returns (bytes memory)
    {
        bytes32 entriesHash = keccak256(abi.encode(entries));
        bytes memory signature = order(
            member,
            role,
            keccak256(abi.encode(keccak256("Register(bytes32 entriesHash,uint64 deadline)"), entriesHash, later()))
        );
        return abi.encodeCall(IIdentityRegistry.register, (entries, later(), accountOf(member, role), signature));
    }

    function activateCall(IIdentityRegistry.Activation[] memory entries, uint16 member, string memory role)
        internal
        view
        returns (bytes memory)
    {
        bytes32 entriesHash = keccak256(abi.encode(entries));
        bytes memory signature = order(
            member,
            role,
            keccak256(abi.encode(keccak256("Activate(bytes32 entriesHash,uint64 deadline)"), entriesHash, later()))
        );
        return abi.encodeCall(IIdentityRegistry.activate, (entries, later(), accountOf(member, role), signature));
    }

    function counted(string memory type_, bytes32 identity, uint16 counter, uint16 member, string memory role)
        private
        view
        returns (bytes memory)
    {
        return order(member, role, keccak256(abi.encode(keccak256(bytes(type_)), identity, counter, later())));
    }

    function holdCall(bytes32 identity, uint16 counter, uint16 member, string memory role)
        internal
        view
        returns (bytes memory)
    {
        bytes memory signature = counted(
            "HoldIdentity(bytes32 identity,uint16 counter,uint64 deadline)", identity, counter, member, role
        );
        return abi.encodeCall(IIdentityRegistry.hold, (identity, counter, later(), accountOf(member, role), signature));
    }

    function releaseCall(bytes32 identity, uint16 counter, uint16 member, string memory role)
        internal
        view
        returns (bytes memory)
    {
        bytes memory signature = counted(
            "ReleaseIdentity(bytes32 identity,uint16 counter,uint64 deadline)", identity, counter, member, role
        );
        return
            abi.encodeCall(IIdentityRegistry.release, (identity, counter, later(), accountOf(member, role), signature));
    }

    function cancelCall(bytes32 identity, uint16 counter, uint16 member, string memory role)
        internal
        view
        returns (bytes memory)
    {
        bytes memory signature = counted(
            "CancelReplacement(bytes32 identity,uint16 counter,uint64 deadline)", identity, counter, member, role
        );
        return abi.encodeCall(
            IIdentityRegistry.cancelReplacement, (identity, counter, later(), accountOf(member, role), signature)
        );
    }

    function revokeIdentityCall(bytes32 identity, uint8 reason, uint16 member, string memory role)
        internal
        view
        returns (bytes memory)
    {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("RevokeIdentity(bytes32 identity,uint8 reason,uint64 deadline)"), identity, reason, later()
            )
        );
        bytes memory signature = order(member, role, structHash);
        return abi.encodeCall(IIdentityRegistry.revoke, (identity, reason, later(), accountOf(member, role), signature));
    }

    function keyed(
        string memory type_,
        IIdentityRegistry.Registration memory made,
        uint16 counter,
        uint16 member,
        string memory role
    ) private view returns (bytes memory) {
        bytes32 entryHash = keccak256(abi.encode(made));
        return order(member, role, keccak256(abi.encode(keccak256(bytes(type_)), entryHash, counter, later())));
    }

    function replaceCall(
        IIdentityRegistry.Registration memory made,
        IIdentityRegistry.Activation memory agreement,
        uint16 counter,
        uint16 member,
        string memory role
    ) internal view returns (bytes memory) {
        bytes memory signature = keyed(
            "ReplaceKey(bytes32 entryHash,uint16 counter,uint64 deadline)", made, counter, member, role
        );
        return abi.encodeCall(
            IIdentityRegistry.replaceKey, (made, agreement, counter, later(), accountOf(member, role), signature)
        );
    }

    function startCall(IIdentityRegistry.Registration memory made, uint16 counter, uint16 member, string memory role)
        internal
        view
        returns (bytes memory)
    {
        bytes memory signature =
            keyed("StartReplacement(bytes32 entryHash,uint16 counter,uint64 deadline)", made, counter, member, role);
        return abi.encodeCall(
            IIdentityRegistry.startReplacement, (made, counter, later(), accountOf(member, role), signature)
        );
    }

    function confirmCall(bytes32 identity, uint256 newCard, uint16 counter, uint16 member, string memory role)
        internal
        view
        returns (bytes memory)
    {
        (bytes32 x, bytes32 y) = pointOf(card(newCard));
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("ConfirmReplacement(bytes32 identity,bytes32 x,bytes32 y,uint16 counter,uint64 deadline)"),
                identity,
                x,
                y,
                counter,
                later()
            )
        );
        bytes memory signature = order(member, role, structHash);
        return abi.encodeCall(
            IIdentityRegistry.confirmReplacement, (identity, x, y, counter, later(), accountOf(member, role), signature)
        );
    }

    // Acts and answers

    function passes(bytes memory call_) internal {
        ok(address(identities), call_);
    }

    function isRefused(bytes memory call_, bytes memory expected) internal {
        refused(address(identities), call_, expected);
    }

    function registerOne(uint256 number) internal {
        passes(registerCall(only(entry(number)), OPERATOR, REGISTRAR));
        check(identities.stateOf(person(number)) == IIdentityRegistry.State.Registered, "registered");
    }

    function activeOne(uint256 number) internal {
        registerOne(number);
        passes(activateCall(only(activation(number)), OPERATOR, REGISTRAR));
        check(identities.stateOf(person(number)) == IIdentityRegistry.State.Active, "active");
    }

    /// @notice Makes the call, and expects that exactly one entry was refused, for this reason.
    function entryRefused(bytes memory call_, IIdentityRegistry.Refusal expected) internal {
        vm.recordLogs();
        passes(call_);
        Log[] memory logs = vm.getRecordedLogs();
        uint256 found = 0;
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] != IIdentityRegistry.IdentityEntryRefused.selector) continue;
            ++found;
            (, uint8 refusal) = abi.decode(logs[i].data, (bytes32, uint8));
            check(refusal == uint8(expected), "another reason than expected");
        }
        check(found == 1, "one entry is refused");
    }

    function leavesNothing(bytes memory call_) internal {
        vm.recordLogs();
        passes(call_);
        check(vm.getRecordedLogs().length == 0, "no event");
    }

    function expectIdentity(uint256 number, IIdentityRegistry.State expected) internal view {
        check(identities.stateOf(person(number)) == expected, "another state than expected");
        check(identities.identityOf(person(number)).state == expected, "both answers are the same");
    }
}
