// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ICertificateRegistry} from "../interfaces/ICertificateRegistry.sol";
import {IConsortium} from "../interfaces/IConsortium.sol";
import {IDirectory} from "../interfaces/IDirectory.sol";
import {ITrustList} from "../interfaces/ITrustList.sol";
import {ProfileBits} from "../x509/ProfileBits.sol";
import {Cheats} from "./Cheats.sol";
import {CertificateBuilder, Draft} from "./x509/CertificateBuilder.sol";

/// @notice A founded consortium of four, and how its people sign. Texts are put together here once more, from the
/// documented types, so that the contracts' own encoding is checked and not merely repeated.
abstract contract LedgerTest {
    Cheats internal constant vm = Cheats(address(uint160(uint256(keccak256("hevm cheat code")))));

    uint64 internal constant START = 1795230000; // 2026-11-21
    bytes32 internal constant SALT = keccak256("salt of the test");
    uint16 internal constant OPERATOR = 1;
    uint16 internal constant VENDOR = 2;
    uint16 internal constant OEM = 3;
    uint16 internal constant AUTHORITY = 4;
    uint16 internal constant SMALL_CELL = 2;
    uint32 internal constant WINDOW = 24 hours;
    uint32 internal constant DELAY = 48 hours;
    uint32 internal constant GOVERNANCE_WINDOW = 30 days;

    // Deployed from artifacts: with `new` the compiler would build them again for every test contract.
    IConsortium internal consortium;
    IDirectory internal directory;
    ICertificateRegistry internal registry;
    ITrustList internal trustList;
    uint256 internal now_; // the optimizer keeps block.timestamp over a warp
    uint256 internal lastNonce;

    error Failed(string what);
    error NotRefused(bytes call_);
    error RefusedOtherwise(bytes expected, bytes given);

    event log_named_uint(string key, uint256 value);

    function setUp() public virtual {
        goTo(START);
        deploy(founders());
        IConsortium.Founding memory plan = founding();
        consortium.found(plan, foundingSignatures(plan));
    }

    function goTo(uint256 time) internal {
        now_ = time;
        vm.warp(time);
    }

    function pass(uint256 seconds_) internal {
        goTo(now_ + seconds_);
    }

    function deploy(address[] memory founders_) internal {
        bytes memory arguments = abi.encode(SALT, keccak256(abi.encode(founders_)));
        consortium = IConsortium(vm.deployCode("Consortium.sol:Consortium", arguments));
        arguments = abi.encode(consortium);
        directory = IDirectory(vm.deployCode("Directory.sol:Directory", arguments));
        registry = ICertificateRegistry(vm.deployCode("CertificateRegistry.sol:CertificateRegistry", arguments));
        trustList = ITrustList(vm.deployCode("TrustList.sol:TrustList", arguments));
    }

    // People

    function memberLabel(uint16 id) internal pure returns (string memory) {
        string[8] memory labels = ["", "operator", "vendor", "oem", "authority", "fifth", "sixth", "seventh"];
        return labels[id];
    }

    function keyOf(uint16 member, string memory role) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(memberLabel(member), role)));
    }

    function accountOf(uint16 member, string memory role) internal pure returns (address) {
        return vm.addr(keyOf(member, role));
    }

    function admin(uint16 member) internal pure returns (address) {
        return accountOf(member, "administrator");
    }

    function station(uint16 member) internal pure returns (address) {
        return accountOf(member, "station");
    }

    // Founding

    function founders() internal pure returns (address[] memory list) {
        list = new address[](4);
        for (uint16 i = 0; i < 4; ++i) {
            list[i] = admin(i + 1);
        }
    }

    function seed(uint16 id, IConsortium.MemberKind kind, string memory name)
        internal
        pure
        returns (IConsortium.MemberSeed memory made)
    {
        made.kind = kind;
        made.name = name;
        made.administrators = one(admin(id));
        made.dutyAccounts = one(accountOf(id, "duty"));
        made.endorsers = one(accountOf(id, "endorser"));
        made.stations = one(station(id));
    }

    function founding() internal view returns (IConsortium.Founding memory plan) {
        plan.members = new IConsortium.MemberSeed[](4);
        plan.members[0] = seed(OPERATOR, IConsortium.MemberKind.Operator, "Atlantic Mobile");
        plan.members[1] = seed(VENDOR, IConsortium.MemberKind.Vendor, string(CertificateBuilder.ORGANISATION));
        plan.members[2] = seed(OEM, IConsortium.MemberKind.Oem, "Delta Works");
        plan.members[3] = seed(AUTHORITY, IConsortium.MemberKind.CertificateAuthority, "North Trust");
        plan.members[1].spaces = new IConsortium.NameSpace[](4);
        plan.members[1].spaces[0] = space(IConsortium.NameKind.Dns, 0, "acme.example");
        plan.members[1].spaces[1] = space(IConsortium.NameKind.Urn, 0, "urn:acme:");
        plan.members[1].spaces[2] = space(IConsortium.NameKind.Oui, 28, hex"00aabbc0");
        plan.members[1].spaces[3] = space(IConsortium.NameKind.Ip, 20, hex"0a010000");
        plan.founders = founders();
        plan.profiles = new IConsortium.ProfileSeed[](1);
        plan.profiles[0] = IConsortium.ProfileSeed(SMALL_CELL, smallCell());
        plan.electorate = four();
        plan.quorum = 2;
        plan.parameters = IConsortium.Parameters({
            ageBoundSeconds: 30,
            cutOffSeconds: 60,
            emergencyHoldHours: 72,
            delaySeconds: DELAY,
            governanceWindowSeconds: GOVERNANCE_WINDOW
        });
        plan.directory = address(directory);
        plan.entries = new IConsortium.DirectorySeed[](2);
        plan.entries[0] =
            IConsortium.DirectorySeed(keccak256("CertificateRegistry"), address(registry), address(registry).codehash);
        plan.entries[1] =
            IConsortium.DirectorySeed(keccak256("TrustList"), address(trustList), address(trustList).codehash);
    }

    function smallCell() internal pure returns (IConsortium.Profile memory profile) {
        profile.name = "small-cell";
        profile.active = true;
        profile.keyAlgorithms = ProfileBits.KEY_P256;
        profile.signatureAlgorithms = ProfileBits.SIGNATURE_ECDSA_SHA256;
        profile.sanTypes = ProfileBits.SAN_DNS;
        profile.sanMaximum = 4;
        profile.ekuRequired = ProfileBits.EKU_SERVER_AUTH;
        profile.ekuAllowed = ProfileBits.EKU_SERVER_AUTH | ProfileBits.EKU_CLIENT_AUTH;
        profile.longestLifeDays = 3653;
        profile.skewSeconds = 300;
        profile.k = 2;
        profile.kPrime = 3;
        profile.windowSeconds = WINDOW;
        profile.overlapSeconds = 30 days;
    }

    function foundingSignatures(IConsortium.Founding memory plan) internal view returns (bytes[] memory signatures) {
        signatures = new bytes[](plan.founders.length);
        bytes32 structHash =
            keccak256(abi.encode(keccak256("Found(bytes32 foundingHash)"), keccak256(abi.encode(plan))));
        for (uint16 i = 0; i < signatures.length; ++i) {
            signatures[i] = sign(keyOf(i + 1, "administrator"), address(consortium), structHash);
        }
    }

    // Signing

    function domainSeparator(address verifier, uint256 chain, bytes32 salt) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)"
                ),
                keccak256("Tiger Tally"),
                keccak256("1"),
                chain,
                verifier,
                salt
            )
        );
    }

    function sign(uint256 key, address verifier, bytes32 structHash) internal view returns (bytes memory) {
        return signIn(key, domainSeparator(verifier, block.chainid, SALT), structHash);
    }

    function signIn(uint256 key, bytes32 separator, bytes32 structHash) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, keccak256(abi.encodePacked(hex"1901", separator, structHash)));
        return abi.encodePacked(r, s, v);
    }

    function nonce() internal returns (uint256) {
        return ++lastNonce;
    }

    function later() internal view returns (uint64) {
        return uint64(now_ + 7 days);
    }

    // Calls: made ready as bytes, so that the same one can be expected to pass or to be refused

    function ok(address target, bytes memory call_) internal returns (bytes memory) {
        (bool done, bytes memory answer) = target.call(call_);
        if (!done) {
            assembly ("memory-safe") {
                revert(add(answer, 32), mload(answer))
            }
        }
        return answer;
    }

    function refused(address target, bytes memory call_, bytes memory expected) internal {
        (bool done, bytes memory answer) = target.call(call_);
        if (done) revert NotRefused(call_);
        if (keccak256(answer) != keccak256(expected)) revert RefusedOtherwise(expected, answer);
    }

    function check(bool truth, string memory what) internal pure {
        if (!truth) revert Failed(what);
    }

    // Votes

    function contentHash(IConsortium.ProposalKind kind, bytes memory content) internal pure returns (bytes32) {
        return keccak256(bytes.concat(bytes1(uint8(kind)), content));
    }

    function proposeCall(uint16 member, IConsortium.ProposalKind kind, bytes memory content)
        internal
        returns (bytes memory)
    {
        uint256 number = nonce();
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("Propose(uint8 kind,bytes32 contentHash,uint256 nonce,uint64 deadline)"),
                kind,
                contentHash(kind, content),
                number,
                later()
            )
        );
        bytes memory signature = sign(keyOf(member, "administrator"), address(consortium), structHash);
        return abi.encodeCall(IConsortium.propose, (kind, content, admin(member), number, later(), signature));
    }

    function propose(uint16 member, IConsortium.ProposalKind kind, bytes memory content) internal returns (uint64) {
        return abi.decode(ok(address(consortium), proposeCall(member, kind, content)), (uint64));
    }

    function voteCall(uint16 member, uint64 proposal, bytes memory content, bool support)
        internal
        view
        returns (bytes memory)
    {
        return voteOnHash(member, proposal, contentHash(consortium.proposal(proposal).kind, content), support);
    }

    function voteOnHash(uint16 member, uint64 proposal, bytes32 hash, bool support)
        internal
        view
        returns (bytes memory)
    {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("Vote(uint64 proposal,bytes32 contentHash,bool support,uint64 deadline)"),
                proposal,
                hash,
                support,
                later()
            )
        );
        bytes memory signature = sign(keyOf(member, "administrator"), address(consortium), structHash);
        return abi.encodeCall(IConsortium.vote, (proposal, hash, support, admin(member), later(), signature));
    }

    function vote(uint16 member, uint64 proposal, bytes memory content) internal {
        ok(address(consortium), voteCall(member, proposal, content, true));
    }

    /// @notice Proposed by the operator and carried by `voters`, without delay.
    function decide(IConsortium.ProposalKind kind, bytes memory content, uint16[] memory voters)
        internal
        returns (uint64 id)
    {
        id = propose(voters[0], kind, content);
        for (uint256 i = 1; i < voters.length; ++i) {
            vote(voters[i], id, content);
        }
        consortium.execute(id, content);
    }

    function suspend(uint16 member) internal {
        uint16[] memory voters = new uint16[](3);
        uint256 filled = 0;
        for (uint16 id = 1; id <= 4; ++id) {
            if (id != member && filled < 3) voters[filled++] = id;
        }
        decide(IConsortium.ProposalKind.Suspend, abi.encode(member), voters);
    }

    /// @notice Of an account that the member has already: without its consent.
    function setAccountCall(uint16 member, address who, IConsortium.Role role, bool active, uint16 signer)
        internal
        returns (bytes memory)
    {
        return setAccountCall(member, who, role, active, signer, "");
    }

    /// @notice Of a new account, which consents by its key.
    function joinCall(uint16 member, uint256 key, IConsortium.Role role) internal returns (bytes memory) {
        return setAccountCall(member, vm.addr(key), role, true, member, consent(member, key, role));
    }

    function consent(uint16 member, uint256 key, IConsortium.Role role) internal view returns (bytes memory) {
        return sign(key, address(consortium), joinHash(member, vm.addr(key), role));
    }

    function joinHash(uint16 member, address who, IConsortium.Role role) internal pure returns (bytes32) {
        return keccak256(abi.encode(keccak256("Join(uint16 member,address account,uint8 role)"), member, who, role));
    }

    function setAccountCall(
        uint16 member,
        address who,
        IConsortium.Role role,
        bool active,
        uint16 signer,
        bytes memory consent_
    ) internal returns (bytes memory) {
        uint256 number = nonce();
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(
                    "SetAccount(uint16 member,address account,uint8 role,bool active,uint256 nonce,uint64 deadline)"
                ),
                member,
                who,
                role,
                active,
                number,
                later()
            )
        );
        bytes memory signature = sign(keyOf(signer, "administrator"), address(consortium), structHash);
        return abi.encodeCall(
            IConsortium.setAccount, (member, who, role, active, admin(signer), number, later(), signature, consent_)
        );
    }

    // Lots and submissions

    function cellTerms() internal view returns (ICertificateRegistry.LotTerms memory terms) {
        terms.owner = VENDOR;
        terms.profile = SMALL_CELL;
        terms.maximum = 1000;
        terms.closesAt = uint64(now_ + 365 days);
        terms.stations = one(station(VENDOR));
        terms.ranges = new ICertificateRegistry.NameRange[](1);
        terms.ranges[0].kind = ICertificateRegistry.RangeKind.Dns;
        terms.ranges[0].value = "cells.acme.example";
    }

    function openLotCall(ICertificateRegistry.LotTerms memory terms, uint16 signer) internal returns (bytes memory) {
        uint256 number = nonce();
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("OpenLot(bytes32 termsHash,uint256 nonce,uint64 deadline)"),
                keccak256(abi.encode(terms)),
                number,
                later()
            )
        );
        bytes memory signature = sign(keyOf(signer, "administrator"), address(registry), structHash);
        return abi.encodeCall(ICertificateRegistry.openLot, (terms, admin(signer), number, later(), signature));
    }

    function openLot() internal returns (uint40) {
        return abi.decode(ok(address(registry), openLotCall(cellTerms(), VENDOR)), (uint40));
    }

    function certificate(uint256 number) internal pure returns (bytes memory) {
        return CertificateBuilder.build(draft(number));
    }

    function draft(uint256 number) internal pure returns (Draft memory made) {
        made = CertificateBuilder.accepted();
        made.serialNumber = CertificateBuilder.integer(number + 1);
    }

    /// @return made `count` good certificates, numbered from `first`
    function certificates(uint256 first, uint256 count) internal pure returns (bytes[] memory made) {
        made = new bytes[](count);
        for (uint256 i = 0; i < count; ++i) {
            made[i] = certificate(first + i);
        }
    }

    function spkiHash() internal pure returns (bytes32) {
        return sha256(CertificateBuilder.accepted().spki);
    }

    function tbsHash(uint256 number) internal pure returns (bytes32) {
        return sha256(CertificateBuilder.tbs(draft(number)));
    }

    function idOf(uint256 number) internal pure returns (bytes32) {
        return keccak256(abi.encode(spkiHash(), tbsHash(number)));
    }

    function statusOf(uint256 number) internal view returns (ICertificateRegistry.CertificateStatus memory) {
        return registry.statusOf(spkiHash(), tbsHash(number));
    }

    function expectState(uint256 number, ICertificateRegistry.Status expected) internal view {
        check(statusOf(number).state == expected, "another state than expected");
    }

    function digestOf(bytes[] memory entries) internal pure returns (bytes32) {
        bytes memory hashes;
        for (uint256 i = 0; i < entries.length; ++i) {
            hashes = bytes.concat(hashes, keccak256(entries[i]));
        }
        return keccak256(hashes);
    }

    function submission(uint40 lot) internal returns (ICertificateRegistry.Submission memory) {
        return ICertificateRegistry.Submission(station(VENDOR), SMALL_CELL, lot, nonce(), later());
    }

    function submissionHash(ICertificateRegistry.Submission memory s, bytes[] memory entries)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(
            abi.encode(
                keccak256(
                    "Submission(address station,bytes32 batchDigest,uint16 profile,uint40 lot,uint256 nonce,uint64 deadline)"
                ),
                s.station,
                digestOf(entries),
                s.profile,
                s.lot,
                s.nonce,
                s.deadline
            )
        );
    }

    function submitCall(ICertificateRegistry.Submission memory s, bytes[] memory entries, uint256 key)
        internal
        view
        returns (bytes memory)
    {
        bytes memory signature = sign(key, address(registry), submissionHash(s, entries));
        return abi.encodeCall(ICertificateRegistry.submit, (s, entries, signature));
    }

    function submit(uint40 lot, bytes[] memory entries) internal returns (uint40) {
        bytes memory call_ = submitCall(submission(lot), entries, keyOf(VENDOR, "station"));
        return abi.decode(ok(address(registry), call_), (uint40));
    }

    // Endorsements

    function endorseAs(uint16 member, uint40 batch, uint256 accepts, uint256 abstains) internal {
        bytes memory call_ = endorseCall(batch, accepts, abstains);
        vm.prank(accountOf(member, "endorser"));
        ok(address(registry), call_);
    }

    function endorseCall(uint40 batch, uint256 accepts, uint256 abstains) internal view returns (bytes memory) {
        ICertificateRegistry.Batch memory judged = registry.batch(batch);
        bytes memory reasons = reasonsFor(judged.present, accepts, abstains);
        return abi.encodeCall(ICertificateRegistry.endorse, (batch, judged.digest, accepts, abstains, reasons));
    }

    function reasonsFor(uint256 present, uint256 accepts, uint256 abstains) internal pure returns (bytes memory made) {
        for (uint256 i = 0; i < 200; ++i) {
            uint256 bit = uint256(1) << i;
            if (present & bit == 0 || accepts & bit != 0) continue;
            made = bytes.concat(made, abi.encodePacked(uint8(i), uint16(abstains & bit == 0 ? 64 : 96)));
        }
    }

    /// @notice A lot, a batch of `count` good certificates from number 0, and two endorsements that accept all.
    function validBatch(uint256 count) internal returns (uint40 batch) {
        batch = submit(openLot(), certificates(0, count));
        uint256 all = (uint256(1) << count) - 1;
        endorseAs(OPERATOR, batch, all, 0);
        endorseAs(OEM, batch, all, 0);
    }

    // Orders

    function holdCall(bytes32 id, ICertificateRegistry.HoldKind kind, uint16 counter, uint16 member, string memory role)
        internal
        view
        returns (bytes memory)
    {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("Hold(bytes32 certificate,uint8 kind,uint8 reason,uint16 counter,uint64 deadline)"),
                id,
                kind,
                6,
                counter,
                later()
            )
        );
        bytes memory signature = sign(keyOf(member, role), address(registry), structHash);
        return
            abi.encodeCall(
                ICertificateRegistry.hold, (id, kind, 6, counter, later(), accountOf(member, role), signature)
            );
    }

    function releaseCall(
        bytes32 id,
        ICertificateRegistry.HoldKind kind,
        uint16 counter,
        uint16 member,
        string memory role
    ) internal view returns (bytes memory) {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("Release(bytes32 certificate,uint8 kind,uint8 reason,uint16 counter,uint64 deadline)"),
                id,
                kind,
                0,
                counter,
                later()
            )
        );
        bytes memory signature = sign(keyOf(member, role), address(registry), structHash);
        return abi.encodeCall(
            ICertificateRegistry.release, (id, kind, 0, counter, later(), accountOf(member, role), signature)
        );
    }

    function revokeCall(bytes32 id, uint8 reason, uint16 member, string memory role)
        internal
        view
        returns (bytes memory)
    {
        bytes32 structHash = keccak256(
            abi.encode(keccak256("Revoke(bytes32 certificate,uint8 reason,uint64 deadline)"), id, reason, later())
        );
        bytes memory signature = sign(keyOf(member, role), address(registry), structHash);
        return abi.encodeCall(ICertificateRegistry.revoke, (id, reason, later(), accountOf(member, role), signature));
    }

    // Small values

    function one(address only) internal pure returns (address[] memory list) {
        list = new address[](1);
        list[0] = only;
    }

    function four() internal pure returns (uint16[] memory list) {
        list = new uint16[](4);
        for (uint16 i = 0; i < 4; ++i) {
            list[i] = i + 1;
        }
    }

    function three() internal pure returns (uint16[] memory list) {
        list = new uint16[](3);
        for (uint16 i = 0; i < 3; ++i) {
            list[i] = i + 1;
        }
    }

    function space(IConsortium.NameKind kind, uint8 bits, bytes memory value)
        internal
        pure
        returns (IConsortium.NameSpace memory)
    {
        return IConsortium.NameSpace(kind, bits, value);
    }
}
