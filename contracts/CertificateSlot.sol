// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title The one slot of a certificate
/// @notice Fields from the least significant bit: state 4, verifiedBy 4, flags 8, holdCounter 16, reason 8, profile 16,
/// batch 40, entry 8, lot 40, notAfter 40, changedAt 40, emergencyUntil 24 (hours since 1970). Proofs read it: the
/// layout is frozen by a test. Submitted, valid, rejected, lapsed and expired follow from the batch and the time.
library CertificateSlot {
    uint256 internal constant RECORDED = 1;
    uint256 internal constant SUPERSEDED = 4;
    uint256 internal constant REVOKED = 5;

    uint256 internal constant BY_CONTRACT = 1;

    uint8 internal constant OWNER_HOLD = 1;
    uint8 internal constant CONSORTIUM_HOLD = 2;
    uint8 internal constant EMERGENCY_HOLD = 4;
    uint8 internal constant RENEWAL = 8;
    uint8 internal constant CA_ISSUED = 16; // its issuer's withdrawal ends it too: ITrustList.withdrawalOf
    uint8 internal constant HOLDS = 7;

    /// @notice certificateHold, RFC 5280 §5.3.1
    uint8 internal constant HOLD_REASON = 6;

    uint256 private constant FLAGS = 8;
    uint256 private constant HOLD_COUNTER = 16;
    uint256 private constant REASON = 32;
    uint256 private constant PROFILE = 40;
    uint256 private constant BATCH = 56;
    uint256 private constant ENTRY = 96;
    uint256 private constant LOT = 104;
    uint256 private constant NOT_AFTER = 144;
    uint256 private constant CHANGED_AT = 184;
    uint256 private constant EMERGENCY_UNTIL = 224;

    // What outlives a lapse: flags, counter, reason and the end of the emergency hold.
    uint256 private constant KEPT = (uint256(0xff) << FLAGS) | (uint256(0xffff) << HOLD_COUNTER)
        | (uint256(0xff) << REASON) | (uint256(0xffffff) << EMERGENCY_UNTIL);

    /// @notice What the certificates of one batch have in common.
    function template(uint16 profileId, uint40 batchId, uint40 lotId) internal view returns (uint256) {
        return RECORDED | (BY_CONTRACT << 4) | (uint256(profileId) << PROFILE) | (uint256(batchId) << BATCH)
            | (uint256(lotId) << LOT) | (block.timestamp << CHANGED_AT);
    }

    /// @notice The same of certificates that a CA issued.
    function caIssued(uint256 common) internal pure returns (uint256) {
        return common | (uint256(CA_ISSUED) << FLAGS);
    }

    /// @param before The slot as it is: 0, or that of a lapsed entry.
    function record(uint256 common, uint256 before, uint256 entryIndex, uint40 notAfter_)
        internal
        pure
        returns (uint256)
    {
        return common | (before & KEPT) | (entryIndex << ENTRY) | (uint256(notAfter_) << NOT_AFTER);
    }

    function state(uint256 slot) internal pure returns (uint256) {
        return slot & 0xf;
    }

    function flags(uint256 slot) internal pure returns (uint8) {
        return uint8(slot >> FLAGS);
    }

    function holdCounter(uint256 slot) internal pure returns (uint16) {
        return uint16(slot >> HOLD_COUNTER);
    }

    function reason(uint256 slot) internal pure returns (uint8) {
        return uint8(slot >> REASON);
    }

    function profile(uint256 slot) internal pure returns (uint16) {
        return uint16(slot >> PROFILE);
    }

    function batch(uint256 slot) internal pure returns (uint40) {
        return uint40(slot >> BATCH);
    }

    function entry(uint256 slot) internal pure returns (uint8) {
        return uint8(slot >> ENTRY);
    }

    function lot(uint256 slot) internal pure returns (uint40) {
        return uint40(slot >> LOT);
    }

    function notAfter(uint256 slot) internal pure returns (uint40) {
        return uint40(slot >> NOT_AFTER);
    }

    function changedAt(uint256 slot) internal pure returns (uint40) {
        return uint40(slot >> CHANGED_AT);
    }

    /// @return Seconds since 1970.
    function emergencyEnd(uint256 slot) internal pure returns (uint256) {
        return uint256(uint24(slot >> EMERGENCY_UNTIL)) * 1 hours;
    }

    /// @notice The flags as they hold now: an emergency hold ends by itself.
    function effectiveFlags(uint256 slot) internal view returns (uint8) {
        uint8 stored = flags(slot);
        return block.timestamp < emergencyEnd(slot) ? stored : stored & ~EMERGENCY_HOLD;
    }

    /// @notice A hold placed or lifted: the counter rises, but stays at its highest value.
    function withFlags(uint256 slot, uint8 flags_) internal view returns (uint256) {
        uint256 counter = holdCounter(slot);
        if (counter != type(uint16).max) ++counter;
        uint8 reason_ = flags_ & HOLDS == 0 ? 0 : HOLD_REASON;
        slot = _put(slot, FLAGS, 0xff, flags_);
        slot = _put(slot, HOLD_COUNTER, 0xffff, counter);
        slot = _put(slot, REASON, 0xff, reason_);
        return _put(slot, CHANGED_AT, 0xffffffffff, block.timestamp);
    }

    function withEmergencyUntil(uint256 slot, uint256 hour) internal pure returns (uint256) {
        return _put(slot, EMERGENCY_UNTIL, 0xffffff, hour);
    }

    function revoked(uint256 slot, uint8 reason_) internal view returns (uint256) {
        slot = _put(slot, 0, 0xf, REVOKED);
        slot = _put(slot, REASON, 0xff, reason_);
        return _put(slot, CHANGED_AT, 0xffffffffff, block.timestamp);
    }

    function _put(uint256 slot, uint256 shift, uint256 mask, uint256 value) private pure returns (uint256) {
        return (slot & ~(mask << shift)) | ((value & mask) << shift);
    }
}
