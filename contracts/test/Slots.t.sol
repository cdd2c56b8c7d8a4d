// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {CertificateSlot} from "../CertificateSlot.sol";
import {ICertificateRegistry} from "../interfaces/ICertificateRegistry.sol";
import {IConsortium} from "../interfaces/IConsortium.sol";
import {LedgerTest} from "./LedgerTest.sol";

/// @notice Freezes the layout that proofs read: slot 0 certificates, slot 1 batches, slot 2 key blocks.
contract SlotsTest is LedgerTest {
    using CertificateSlot for uint256;

    function stored(bytes32 place) private view returns (uint256) {
        return uint256(vm.load(address(registry), place));
    }

    function field(uint256 word, uint256 from, uint256 bits) private pure returns (uint256) {
        return (word >> from) & ((uint256(1) << bits) - 1);
    }

    function test_certificate() external {
        ok(address(registry), openLotCall(cellTerms(), VENDOR));
        submit(2 - 1, certificates(50, 1));
        uint40 lot = openLot();
        uint40 batch = submit(lot, certificates(0, 4));
        bytes32 id = idOf(3);
        pass(60);
        ok(address(registry), holdCall(id, ICertificateRegistry.HoldKind.Owner, 0, VENDOR, "duty"));
        ok(address(registry), holdCall(id, ICertificateRegistry.HoldKind.Emergency, 1, OEM, "duty"));
        uint256 word = stored(keccak256(abi.encode(id, uint256(0))));
        check(word == registry.slotOf(id), "slotOf is the slot");
        check(field(word, 0, 4) == 1, "state: recorded");
        check(field(word, 4, 4) == 1, "verifiedBy: contract");
        check(field(word, 8, 8) == 5, "flags: owner and emergency");
        check(field(word, 16, 16) == 2, "holdCounter");
        check(field(word, 32, 8) == 6, "reason: certificateHold");
        check(field(word, 40, 16) == SMALL_CELL, "profile");
        check(field(word, 56, 40) == batch && batch == 2, "batch");
        check(field(word, 96, 8) == 3, "entry");
        check(field(word, 104, 40) == lot && lot == 2, "lot");
        check(field(word, 144, 40) == statusOf(3).notAfter, "notAfter");
        check(field(word, 184, 40) == now_, "changedAt");
        check(field(word, 224, 24) == now_ / 3600 + 72, "emergencyUntil in hours");
        check(word >> 248 == 0, "248 bits");
        ok(address(registry), revokeCall(id, 9, VENDOR, "administrator"));
        word = stored(keccak256(abi.encode(id, uint256(0))));
        check(field(word, 0, 4) == 5 && field(word, 32, 8) == 9, "state and reason: revoked");
    }

    function test_batch() external {
        uint40 lot = openLot();
        bytes[] memory entries = certificates(0, 4);
        entries[2] = hex"30";
        uint40 batch = submit(lot, entries);
        pass(60);
        endorseAs(OPERATOR, batch, 1, 0);
        endorseAs(OEM, batch, 1, 0);
        uint256 place = uint256(keccak256(abi.encode(batch, uint256(1))));
        check(stored(bytes32(place)) == uint256(digestOf(entries)), "digest");
        uint256 header = stored(bytes32(place + 1));
        check(field(header, 0, 16) == VENDOR, "stationMember");
        check(field(header, 16, 16) == VENDOR, "lotOwner");
        check(field(header, 32, 24) == 1, "electorate");
        check(field(header, 56, 8) == 2, "k");
        check(field(header, 64, 8) == 3, "n");
        check(field(header, 72, 8) == 4, "count");
        check(field(header, 80, 40) == START, "submittedAt");
        check(field(header, 120, 40) == START + WINDOW, "windowEnd");
        check(field(header, 160, 40) == now_, "decidedAt");
        check(field(header, 200, 40) == lot, "lot");
        check(stored(bytes32(place + 2)) == 11, "present");
        check(stored(bytes32(place + 3)) == 1, "accepted");
        check(stored(bytes32(place + 4)) == 10, "rejected");
    }

    function test_keyBlock() external {
        decide(IConsortium.ProposalKind.BlockKey, abi.encode(spkiHash(), uint8(4)), three());
        uint256 word = stored(keccak256(abi.encode(spkiHash(), uint256(2))));
        check(field(word, 0, 8) == 4, "reason");
        check(field(word, 8, 40) == now_, "since");
        check(field(word, 48, 1) == 0, "byProof");
        check(word >> 49 == 0, "49 bits");
    }

    function test_oneSlotACertificate() external {
        validBatch(1);
        uint256 place = uint256(keccak256(abi.encode(idOf(0), uint256(0))));
        check(stored(bytes32(place + 1)) == 0, "nothing beside it");
    }

    function testFuzz_fields(uint16 profile, uint40 batch, uint40 lot, uint8 entry, uint40 notAfter, uint256 before)
        external
        view
    {
        uint256 slot = CertificateSlot.template(profile, batch, lot).record(before, entry, notAfter);
        check(slot.state() == CertificateSlot.RECORDED, "state");
        check(slot.profile() == profile && slot.batch() == batch && slot.lot() == lot, "where");
        check(slot.entry() == entry && slot.notAfter() == notAfter, "what");
        check(slot.changedAt() == block.timestamp, "when");
        check(slot.flags() == before.flags() && slot.holdCounter() == before.holdCounter(), "kept");
        check(slot.emergencyEnd() == before.emergencyEnd() && slot.reason() == before.reason(), "kept too");
        check(slot.revoked(9).flags() == slot.flags() && slot.revoked(9).reason() == 9, "revoked");
    }
}
