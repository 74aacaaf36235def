// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {IRelayLedger, Phase} from "../interfaces/IRelayLedger.sol";
import {MAX_BIDS} from "./ConstantsLib.sol";
import {ErrorsLib} from "./ErrorsLib.sol";
import {MarksLib} from "./MarksLib.sol";
import {PackedLib} from "./PackedLib.sol";
import {RoundLib} from "./RoundLib.sol";
import {ScoringLib} from "./ScoringLib.sol";
import {StoredBid, StoredModel, StoredRound, StoredSeat} from "./StoredTypes.sol";

/// @title Actions
/// @notice What a call and its signed form have in common: the action itself, once it is clear who acts and that it
/// may.
library ActionLib {
    using MarksLib for StoredRound;
    using RoundLib for StoredRound;
    using SafeCast for uint256;

    /// @dev Enters a bid that is paid for, to the `count` that there are. The first one starts the round's clock; in a
    /// full round the lowest one, which must be lower, returns.
    function placeBid(
        bytes32 id,
        StoredModel storage model,
        mapping(address account => uint256) storage freeOf,
        uint256 count,
        address trainer,
        uint8 segment,
        uint256 amount
    ) internal {
        StoredRound storage round = model.round;
        bool full = count == MAX_BIDS;
        uint256 place = full ? round.lowestBid(count) : count;
        StoredBid memory displaced = round.bids[place];
        round.bids[place] = StoredBid({trainer: trainer, amount: amount.toUint96()});
        round.markBid(place, count, trainer, segment);

        emit IRelayLedger.BidPlaced(id, round.number, trainer, segment, amount);
        if (full) {
            freeOf[displaced.trainer] += displaced.amount;
            emit IRelayLedger.BidDisplaced(id, round.number, displaced.trainer, trainer, displaced.amount);
        }
        if (count == 0) round.enter(id, Phase.BID, model.rules.bidSeconds);
    }

    /// @dev Takes the child of a leg; the last one ends the phase.
    function submit(bytes32 id, StoredModel storage model, uint8 leg, address trainer, bytes32 parent, bytes32 child)
        internal
    {
        StoredRound storage round = model.round;
        uint256 submitted = uint256(round.submitted) | (1 << leg);
        round.children[round.side][leg] = child;
        round.submitted = uint32(submitted);

        emit IRelayLedger.LegSubmitted(id, round.number, leg, trainer, parent, child);
        if (submitted == PackedLib.full(round.legCount)) round.enter(id, Phase.COMMIT, model.rules.commitSeconds);
    }

    /// @dev Seals the scores of a seat; the last one ends the phase.
    function commit(bytes32 id, StoredModel storage model, uint256 seat, bytes32 commitment) internal {
        StoredRound storage round = model.round;
        uint256 committed = uint256(round.committed) | (1 << seat);
        round.seats[seat].commitment = commitment;
        round.committed = uint16(committed);

        emit IRelayLedger.ScoresCommitted(id, round.number, round.seats[seat].validator, commitment);
        if (committed == PackedLib.full(round.seatCount)) round.enter(id, Phase.REVEAL, model.rules.revealSeconds);
    }

    /// @dev Opens a seal, after checking it, and stirs its salt into the next seed; the last one ends the phase.
    function reveal(
        bytes32 id,
        StoredModel storage model,
        uint256 seat,
        int64[] calldata scores,
        bytes32 originals,
        bytes32 salt
    ) internal {
        StoredRound storage round = model.round;
        StoredSeat storage stored = round.seats[seat];
        uint64 number = round.number;
        address validator = stored.validator;
        ScoringLib.store(stored.scores, scores, originals, round.legCount, round.submitted);
        bytes32 commitment = ScoringLib.commitment(id, number, validator, salt, scores, originals);
        if (commitment != stored.commitment) revert ErrorsLib.CommitMismatch();

        uint256 revealed = uint256(round.revealed) | (1 << seat);
        model.nextSeed = sha256(abi.encode(model.nextSeed, salt));
        round.revealed = uint16(revealed);

        _emitScoresRevealed(id, number, validator, scores, originals, salt);
        if (revealed == round.committed) round.enter(id, Phase.SETTLE, 0);
    }

    /// @dev Emits the event with the words of the scores as they were sent: they are checked.
    function _emitScoresRevealed(
        bytes32 id,
        uint64 round,
        address validator,
        int64[] calldata scores,
        bytes32 originals,
        bytes32 salt
    ) private {
        // As abi.encode would have it: where the list is, the two words, the list.
        bytes memory data = abi.encodePacked(uint256(0x60), originals, salt, scores.length, ScoringLib.words(scores));
        bytes32 name = IRelayLedger.ScoresRevealed.selector;
        assembly ("memory-safe") {
            log4(add(data, 0x20), mload(data), name, id, round, validator)
        }
    }
}
