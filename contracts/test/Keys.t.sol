// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ICertificateRegistry} from "../interfaces/ICertificateRegistry.sol";
import {IConsortium} from "../interfaces/IConsortium.sol";
import {LedgerTest} from "./LedgerTest.sol";
import {CertificateBuilder} from "./x509/CertificateBuilder.sol";

contract KeysTest is LedgerTest {
    function setUp() public override {
        super.setUp();
        validBatch(3);
        pass(60);
    }

    function proofCall(uint256 key, bytes memory info, bool twin) private view returns (bytes memory) {
        bytes32 structHash = keccak256(abi.encode(keccak256("KeyCompromise(bytes32 spkiHash)"), sha256(info)));
        bytes32 separator = domainSeparator(address(registry), block.chainid, SALT);
        (bytes32 r, bytes32 s) = vm.signP256(key, sha256(abi.encodePacked(hex"1901", separator, structHash)));
        if (twin) s = bytes32(CertificateBuilder.N - uint256(s));
        return abi.encodeCall(ICertificateRegistry.blockKeyByProof, (info, r, s));
    }

    function spki() private pure returns (bytes memory) {
        return CertificateBuilder.accepted().spki;
    }

    function isRevoked(uint8 reason) private view returns (bool) {
        ICertificateRegistry.CertificateStatus memory status = statusOf(0);
        return status.state == ICertificateRegistry.Status.Revoked && status.reason == reason && status.since == now_;
    }

    function test_blockByProof() external {
        ok(address(registry), proofCall(CertificateBuilder.KEY, spki(), false));
        check(isRevoked(1), "every certificate of the key");
        (uint8 reason, uint40 since, bool byProof) = registry.keyBlock(spkiHash());
        check(reason == 1 && since == now_ && byProof, "on record");
    }

    function test_blockByProofWithTheOtherS() external {
        ok(address(registry), proofCall(CertificateBuilder.KEY, spki(), true));
        check(isRevoked(1), "low and high s alike");
    }

    function test_blockByProofAgain() external {
        ok(address(registry), proofCall(CertificateBuilder.KEY, spki(), false));
        uint256 first = now_;
        pass(60);
        ok(address(registry), proofCall(CertificateBuilder.KEY, spki(), false));
        check(statusOf(0).since == first, "since the first time");
    }

    function test_proofThatIsNone() external {
        bytes memory bad = abi.encodeWithSelector(ICertificateRegistry.RegistryBadKey.selector);
        refused(address(registry), proofCall(CertificateBuilder.KEY + 1, spki(), false), bad);
        refused(address(registry), proofCall(CertificateBuilder.KEY, bytes.concat(spki(), hex"00"), false), bad);
        refused(address(registry), proofCall(CertificateBuilder.KEY, hex"", false), bad);
        bytes memory otherHead = spki();
        otherHead[25] = 0x01;
        refused(address(registry), proofCall(CertificateBuilder.KEY, otherHead, false), bad);
        bytes memory elsewhere = proofCall(CertificateBuilder.KEY, spki(), false);
        vm.chainId(4242);
        refused(address(registry), elsewhere, bad);
        (, uint40 since,) = registry.keyBlock(spkiHash());
        check(since == 0, "not blocked");
    }

    /// @notice A key whose hash ends in the same octet as a blocked one's is not blocked.
    function test_blockOfAKeyThatLooksAlikeToTheFilter() external {
        bytes32 alike = spkiHash() ^ bytes32(uint256(1) << 8);
        decide(IConsortium.ProposalKind.BlockKey, abi.encode(alike, uint8(1)), three());
        submit(openLot(), certificates(20, 1));
        expectState(20, ICertificateRegistry.Status.Submitted);
        expectState(0, ICertificateRegistry.Status.Valid);
    }

    function test_blockByVote() external {
        decide(IConsortium.ProposalKind.BlockKey, abi.encode(spkiHash(), uint8(4)), three());
        check(isRevoked(4), "blocked");
        (,, bool byProof) = registry.keyBlock(spkiHash());
        check(!byProof, "by vote");
    }

    /// @notice One's own revocation came first and stays what is told.
    function test_revocationGoesBeforeTheBlock() external {
        ok(address(registry), revokeCall(idOf(0), 5, VENDOR, "administrator"));
        uint256 revokedAt = now_;
        pass(60);
        decide(IConsortium.ProposalKind.BlockKey, abi.encode(spkiHash(), uint8(1)), three());
        check(statusOf(0).reason == 5 && statusOf(0).since == revokedAt, "as revoked");
        check(statusOf(1).reason == 1 && statusOf(1).since == now_, "as blocked");
    }

    function test_unknownStaysUnknown() external {
        decide(IConsortium.ProposalKind.BlockKey, abi.encode(spkiHash(), uint8(1)), three());
        expectState(99, ICertificateRegistry.Status.Unknown);
    }

    function revokeKeyCall(bytes32[] memory tbsHashes, uint16 member, string memory role)
        private
        view
        returns (bytes memory)
    {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("RevokeKey(bytes32 spkiHash,uint8 reason,uint64 deadline)"), spkiHash(), uint8(1), later()
            )
        );
        bytes memory signature = sign(keyOf(member, role), address(registry), structHash);
        return abi.encodeCall(
            ICertificateRegistry.revokeByKey, (spkiHash(), tbsHashes, 1, later(), accountOf(member, role), signature)
        );
    }

    function test_revokeByKey() external {
        bytes32[] memory hashes = new bytes32[](3);
        hashes[0] = tbsHash(0);
        hashes[1] = keccak256("nobody's");
        hashes[2] = tbsHash(2);
        ok(address(registry), revokeKeyCall(hashes, OEM, "administrator"));
        expectState(0, ICertificateRegistry.Status.Valid);
        ok(address(registry), revokeKeyCall(hashes, VENDOR, "administrator"));
        expectState(0, ICertificateRegistry.Status.Revoked);
        expectState(1, ICertificateRegistry.Status.Valid);
        expectState(2, ICertificateRegistry.Status.Revoked);
        refused(
            address(registry),
            revokeKeyCall(hashes, VENDOR, "duty"),
            abi.encodeWithSelector(ICertificateRegistry.RegistryNotAuthorised.selector, accountOf(VENDOR, "duty"))
        );
    }
}
