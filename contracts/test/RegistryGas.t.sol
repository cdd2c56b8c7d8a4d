// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {LedgerTest} from "./LedgerTest.sol";
import {CertificateBuilder, Draft} from "./x509/CertificateBuilder.sol";

/// @notice What a full batch costs, as the sender of the transactions pays it; run with -vv to see the figures.
contract RegistryGasTest is LedgerTest {
    uint256 private constant TRANSACTION_CAP = 1 << 24;
    uint256 private constant BOUND = 70_000;

    function test_batchesOfEverySize() external {
        uint40 lot = openLot();
        uint256[4] memory sizes = [uint256(1), 10, 100, 194];
        uint256 first = 0;
        for (uint256 i = 0; i < sizes.length; ++i) {
            bytes[] memory entries = cells(first, sizes[i]);
            first += sizes[i];
            uint256 used = measure(lot, entries, sizes[i]);
            if (sizes[i] == 194) check(used / 194 <= BOUND, "gas of a certificate in a full batch");
        }
    }

    /// @notice Certificates with a key each, as in a factory.
    function cells(uint256 first, uint256 count) private pure returns (bytes[] memory made) {
        made = new bytes[](count);
        for (uint256 i = 0; i < count; ++i) {
            uint256 key = CertificateBuilder.KEY + first + i + 1;
            (uint256 x, uint256 y) = vm.publicKeyP256(key);
            Draft memory cell = draft(0x4000 + i);
            cell.spki = CertificateBuilder.spkiOf(x, y);
            (bytes32 r, bytes32 s) = vm.signP256(key, sha256(CertificateBuilder.tbs(cell)));
            cell.signature = CertificateBuilder.signatureOf(r, s);
            made[i] = CertificateBuilder.build(cell);
        }
    }

    function measure(uint40 lot, bytes[] memory entries, uint256 count) private returns (uint256 used) {
        bytes memory call_ = submitCall(submission(lot), entries, keyOf(VENDOR, "station"));
        uint256 submitting = transaction(address(this), call_);
        check(submitting <= TRANSACTION_CAP, "a submission fits one transaction");
        uint40 batch = registry.batchCount();
        uint256 all = (uint256(1) << count) - 1;
        uint256 endorsing = transaction(accountOf(OPERATOR, "endorser"), endorseCall(batch, all, 0));
        endorsing += transaction(accountOf(OEM, "endorser"), endorseCall(batch, all, 0));
        check(registry.batch(batch).settledAt != 0, "settled by two");
        endorsing += transaction(accountOf(AUTHORITY, "endorser"), endorseCall(batch, all, 0));
        used = submitting + endorsing;
        emit log_named_uint("entries", count);
        emit log_named_uint("octets of the first certificate", entries[0].length);
        emit log_named_uint("gas of the submission", submitting);
        emit log_named_uint("gas of three endorsements", endorsing);
        emit log_named_uint("gas a certificate", used / count);
    }

    /// @dev In one test the accounts are warm from the second transaction on, which leaves out some 2,500 gas for each,
    /// a few hundred for a certificate of a full batch at most.
    function transaction(address sender, bytes memory call_) private returns (uint256 used) {
        used = 21_000;
        for (uint256 i = 0; i < call_.length; ++i) {
            used += call_[i] == 0 ? 4 : 16;
        }
        vm.prank(sender);
        uint256 before = gasleft();
        (bool done,) = address(registry).call(call_);
        used += before - gasleft();
        check(done, "the transaction succeeds");
    }
}
