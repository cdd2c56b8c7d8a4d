// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Settlement} from "../Settlement.sol";
import {Verdicts} from "../Verdicts.sol";
import {ICertificateRegistry} from "../interfaces/ICertificateRegistry.sol";
import {IConsortium} from "../interfaces/IConsortium.sol";
import {BatchRecord, RegistryBase} from "./RegistryBase.sol";

/// @title Endorsement: members decide on the entries of a batch
abstract contract Endorsements is RegistryBase {
    // Word of an endorsement: map of acceptances 200, flags 8, time 40.
    uint256 private constant MAP = (1 << 200) - 1;
    uint256 private constant HAS_ABSTENTIONS = 1 << 200;
    uint256 private constant ENDORSED_AT = 208;

    mapping(uint40 id => mapping(uint16 member => uint256 map)) private _endorsements;
    mapping(uint40 id => mapping(uint16 member => uint256 map)) private _abstentions;

    /// @inheritdoc ICertificateRegistry
    function endorse(uint40 id, bytes32 digest, uint256 accepts, uint256 abstains, bytes calldata reasons) external {
        BatchRecord memory judged = _batches[id];
        if (judged.digest == 0) revert RegistryUnknownBatch(id);
        if (judged.digest != digest) revert RegistryBatchDigest(id, judged.digest);
        uint16[] memory members = CONSORTIUM.electorate(judged.electorate).members;
        uint16 endorser = CONSORTIUM.actingMember(msg.sender, IConsortium.Role.Endorser);
        if (!_mayEndorse(judged, members, endorser)) revert RegistryNotEndorser(msg.sender);
        if (block.timestamp > judged.windowEnd) revert RegistryWindowOver(id);
        if (_endorsements[id][endorser] != 0) revert RegistryAlreadyEndorsed(id, endorser);
        _requireRights(id, judged);
        Verdicts.requireForm(id, judged.present, accepts, abstains, reasons);

        uint256 word = accepts | (block.timestamp << ENDORSED_AT);
        if (abstains != 0) {
            word |= HAS_ABSTENTIONS;
            _abstentions[id][endorser] = abstains;
        }
        _endorsements[id][endorser] = word;

        uint256 before = judged.accepted | judged.rejected;
        _settle(id, judged, members);
        uint256 decided = judged.accepted | judged.rejected;
        if (decided != before) {
            BatchRecord storage kept = _batches[id];
            kept.accepted = judged.accepted;
            kept.rejected = judged.rejected;
            kept.decidedAt = uint40(block.timestamp);
        }
        emit BatchEndorsed(
            id,
            endorser,
            msg.sender,
            accepts,
            abstains,
            reasons,
            judged.accepted,
            judged.rejected,
            decided == judged.present
        );
    }

    /// @inheritdoc ICertificateRegistry
    function endorsement(uint40 batchId, uint16 member)
        external
        view
        returns (uint256 accepts, uint256 abstains, uint40 endorsedAt)
    {
        uint256 word = _endorsements[batchId][member];
        return (word & MAP, _abstentions[batchId][member], uint40(word >> ENDORSED_AT));
    }

    /// @inheritdoc ICertificateRegistry
    function batch(uint40 id) external view returns (Batch memory) {
        BatchRecord memory b = _batches[id];
        return Batch({
            digest: b.digest,
            stationMember: b.stationMember,
            lotOwner: b.lotOwner,
            electorate: b.electorate,
            k: b.k,
            n: b.n,
            count: b.count,
            submittedAt: b.submittedAt,
            windowEnd: b.windowEnd,
            settledAt: (b.accepted | b.rejected) == b.present ? b.decidedAt : 0,
            lot: b.lot,
            present: b.present,
            accepted: b.accepted,
            rejected: b.rejected
        });
    }

    /// @dev Who lost its rights since, gets no certificate by them: what is undecided lapses.
    function _requireRights(uint40 id, BatchRecord memory judged) private view {
        if (
            !CONSORTIUM.isActive(judged.stationMember)
                || _hasOwnerChanged(_lots[judged.lot], CONSORTIUM.member(judged.lotOwner))
        ) revert RegistryBatchVoid(id);
    }

    function _mayEndorse(BatchRecord memory judged, uint16[] memory members, uint16 endorser)
        private
        pure
        returns (bool)
    {
        if (endorser == 0 || endorser == judged.stationMember || endorser == judged.lotOwner) return false;
        for (uint256 i = 0; i < members.length; ++i) {
            if (members[i] == endorser) return true;
        }
        return false;
    }

    /// @dev Recomputed from what every member that is active now endorsed: a member suspended since does not count,
    /// but what was decided before stays so.
    function _settle(uint40 id, BatchRecord memory judged, uint16[] memory members) private view {
        Settlement.Count memory accepting;
        Settlement.Count memory rejecting;
        for (uint256 i = 0; i < members.length; ++i) {
            uint256 word = _endorsements[id][members[i]];
            if (word == 0 || !CONSORTIUM.isActive(members[i])) continue;
            uint256 accepts = word & MAP;
            uint256 abstains = word & HAS_ABSTENTIONS == 0 ? 0 : _abstentions[id][members[i]];
            Settlement.add(accepting, accepts);
            Settlement.add(rejecting, judged.present & ~accepts & ~abstains);
        }
        judged.accepted |= Settlement.atLeast(accepting, judged.k) & ~judged.rejected;
        judged.rejected |= Settlement.atLeast(rejecting, uint256(judged.n) - judged.k + 1) & ~judged.accepted;
    }
}
