// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Leg, Seat} from "../interfaces/IRelayLedger.sol";
import {MAX_BIDS, MAX_SCORE_PPM, UNAVAILABLE} from "./ConstantsLib.sol";
import {ErrorsLib} from "./ErrorsLib.sol";
import {PackedLib} from "./PackedLib.sol";

/// @dev What the committee said, worked out from the orders that the settler gave.
/// `medians` has the score of each leg by leg number, UNAVAILABLE for those without a child. `own` has for each seat
/// that revealed its scores of the submitted legs in settlement order, `others` beside them the medians of the *other*
/// seats.
struct Verdict {
    int64[] medians;
    int64[][] own;
    int64[][] others;
}

/// @dev One leg's revealed scores ascending, and beside each the weight of the seats up to there.
struct Row {
    int64[] scores;
    uint256[] weights;
}

/// @title Scoring
/// @notice Checks what seats reveal, finds the medians, and tells how well a seat's scores fit those of the others.
library ScoringLib {
    using PackedLib for uint256;

    /* SEALS */

    /// @dev What a seat commits to; bound to model, round, validator and salt, so that a copy cannot be revealed.
    function commitment(bytes32 model, uint64 round, address validator, bytes32 salt, int64[] calldata scores)
        internal
        pure
        returns (bytes32)
    {
        return sha256(abi.encodePacked(model, uint256(round), uint256(uint160(validator)), salt, scores));
    }

    /// @dev Reverts with BadScores unless there is one score for each leg, and UNAVAILABLE for each that is not in the
    /// set `submitted`.
    function check(int64[] calldata scores, uint256 legs, uint256 submitted) internal pure {
        if (scores.length != legs) revert ErrorsLib.BadScores();
        for (uint256 i; i < legs; ++i) {
            if (scores[i] == UNAVAILABLE) continue;
            bool inBounds = -MAX_SCORE_PPM <= scores[i] && scores[i] <= MAX_SCORE_PPM;
            if (!inBounds || !submitted.has(i)) revert ErrorsLib.BadScores();
        }
    }

    /* STORAGE */

    /// @dev Stores valid scores; the least number of 32 bits stands for UNAVAILABLE.
    function pack(uint256[MAX_BIDS / 8] storage words, int64[] calldata scores) internal {
        uint256 word;
        for (uint256 i; i < scores.length; ++i) {
            int32 score = scores[i] == UNAVAILABLE ? type(int32).min : int32(scores[i]);
            word |= uint256(uint32(score)) << (32 * (i % 8));
            if (i % 8 == 7 || i + 1 == scores.length) {
                words[i / 8] = word;
                word = 0;
            }
        }
    }

    /// @dev The scores of the first `count` legs.
    function unpack(uint256[MAX_BIDS / 8] storage words, uint256 count) internal view returns (int64[] memory scores) {
        scores = new int64[](count);
        uint256 word;
        for (uint256 i; i < count; ++i) {
            if (i % 8 == 0) word = words[i / 8];
            int32 score = int32(uint32(word >> (32 * (i % 8))));
            scores[i] = score == type(int32).min ? UNAVAILABLE : int64(score);
        }
    }

    /* JUDGING */

    /// @dev Reverts unless `legOrder` names all `submitted` legs, median score descending, then leg number ascending
    /// (else WrongOrder), and `seatOrder` for each of them all `revealed` seats, score ascending, then seat number
    /// ascending (else WrongSeatOrder). Each leg's seats are checked before its rank.
    function judge(
        Leg[] memory legs,
        Seat[] memory seats,
        uint256 submitted,
        uint256 revealed,
        uint8[] calldata legOrder,
        uint8[] calldata seatOrder
    ) internal pure returns (Verdict memory verdict) {
        if (legOrder.length != submitted) revert ErrorsLib.WrongOrder();
        if (seatOrder.length != submitted * revealed) revert ErrorsLib.WrongSeatOrder();
        verdict = _emptyVerdict(legs.length, seats, submitted);
        Row memory row = Row(new int64[](revealed), new uint256[](revealed));
        for (uint256 i; i < submitted; ++i) {
            uint256 leg = legOrder[i];
            if (leg >= legs.length || legs[leg].child == 0) revert ErrorsLib.WrongOrder();
            uint8[] calldata order = seatOrder[i * revealed:(i + 1) * revealed];
            _read(row, seats, leg, order);
            uint256 middle = _middle(row.weights);
            verdict.medians[leg] = row.scores[middle];
            if (i > 0 && !_ranksBefore(legOrder[i - 1], leg, verdict.medians)) revert ErrorsLib.WrongOrder();
            _compare(verdict, row, seats, order, middle, i);
        }
    }

    /// @dev How much better a seat's scores fit the others' medians of their own legs than those of all legs:
    /// n · Σ_i closeness(s_i, c_i) - Σ_i Σ_j closeness(s_i, c_j), with closeness(a, b) = max(0, tolerance - |a - b|).
    /// UNAVAILABLE needs no case of its own: it is at no distance from itself and far from every other score.
    function agreement(int64[] memory own, int64[] memory others, int64 tolerance) internal pure returns (int256 sum) {
        uint256 count = own.length;
        int256 wide = tolerance;
        // Cannot overflow: 2 · 32 · 32 summands below 2**25. This is the ledger's dearest loop: 15,360 times at most.
        unchecked {
            for (uint256 i; i < count; ++i) {
                int256 score = _at(own, i);
                for (uint256 j; j < count; ++j) {
                    int256 distance = score - _at(others, j);
                    if (distance < 0) distance = -distance;
                    if (distance < wide) sum -= wide - distance;
                }
                int256 off = score - _at(others, i);
                if (off < 0) off = -off;
                if (off < wide) sum += int256(count) * (wide - off);
            }
        }
    }

    function _emptyVerdict(uint256 legs, Seat[] memory seats, uint256 submitted)
        private
        pure
        returns (Verdict memory verdict)
    {
        verdict.medians = new int64[](legs);
        for (uint256 i; i < legs; ++i) {
            verdict.medians[i] = UNAVAILABLE;
        }
        verdict.own = new int64[][](seats.length);
        verdict.others = new int64[][](seats.length);
        for (uint256 i; i < seats.length; ++i) {
            if (!seats[i].revealed) continue;
            verdict.own[i] = new int64[](submitted);
            verdict.others[i] = new int64[](submitted);
        }
    }

    /// @dev Reads the leg's scores and adds up the weights in that order. There are as many entries as revealed seats,
    /// all different, each of a revealed seat: then none is missing.
    function _read(Row memory row, Seat[] memory seats, uint256 leg, uint8[] calldata order) private pure {
        uint256 sum;
        int64 scoreBefore;
        uint256 seatBefore;
        // Sums of fifteen weights of 128 bits cannot overflow.
        unchecked {
            for (uint256 i; i < order.length; ++i) {
                uint256 number = order[i];
                if (number >= seats.length || !seats[number].revealed) revert ErrorsLib.WrongSeatOrder();
                Seat memory seat = seats[number];
                int64 score = seat.scores[leg];
                bool ascends = scoreBefore < score || (scoreBefore == score && seatBefore < number);
                if (i > 0 && !ascends) revert ErrorsLib.WrongSeatOrder();
                (scoreBefore, seatBefore) = (score, number);
                sum += seat.weight;
                row.scores[i] = score;
                row.weights[i] = sum;
            }
        }
    }

    /// @dev The place of the weighted lower median: the first at which twice the weight so far reaches the total.
    function _middle(uint256[] memory weights) private pure returns (uint256 place) {
        uint256 total = weights[weights.length - 1];
        while (2 * weights[place] < total) ++place;
    }

    /// @dev Notes the leg's scores and, beside each, the weighted lower median of the other seats' scores.
    function _compare(
        Verdict memory verdict,
        Row memory row,
        Seat[] memory seats,
        uint8[] calldata order,
        uint256 middle,
        uint256 index
    ) private pure {
        uint256[] memory weights = row.weights;
        uint256 total = weights[weights.length - 1];
        // Nor do these.
        unchecked {
            for (uint256 i; i < order.length; ++i) {
                uint256 seat = order[i];
                verdict.own[seat][index] = row.scores[i];
                if (order.length == 1) continue;
                // Without the seat, half of the rest is reached before it, or, as the places behind it have its weight
                // less below them, where twice the weight with it reaches total + weight: either is near the middle.
                uint256 weight = seats[seat].weight;
                uint256 place = middle;
                while (place > 0 && 2 * weights[place - 1] >= total - weight) --place;
                if (place >= i) {
                    place = middle;
                    while (2 * weights[place] < total + weight) ++place;
                }
                verdict.others[seat][index] = row.scores[place];
            }
        }
    }

    function _ranksBefore(uint256 a, uint256 b, int64[] memory medians) private pure returns (bool) {
        if (medians[a] != medians[b]) return medians[a] > medians[b];
        return a < b;
    }

    /// @dev The entry at an index that is known to be within the list.
    function _at(int64[] memory list, uint256 index) private pure returns (int256 entry) {
        assembly ("memory-safe") {
            entry := mload(add(add(list, 0x20), shl(5, index)))
        }
    }
}
