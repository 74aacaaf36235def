// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Leg, Seat} from "../interfaces/IRelayLedger.sol";
import {MAX_BIDS, MAX_SCORE_PPM, UNAVAILABLE} from "./ConstantsLib.sol";
import {ErrorsLib} from "./ErrorsLib.sol";
import {Packed, PackedLib} from "./PackedLib.sol";

/// @dev What the committee said, worked out from the orders that the settler gave.
/// `medians` has the score of each leg by leg number, UNAVAILABLE for those without a child. `own` has for each seat
/// that revealed its scores of the submitted legs in settlement order, `others` beside them the medians of the *other*
/// seats. `classes` has for each leg the lowest number of those that duplicate one another, in effect the leg's own
/// where it duplicates none.
struct Verdict {
    Packed classes;
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

    /// @dev Bits of a stored score; they hold ± MAX_SCORE_PPM.
    uint256 private constant SCORE_BITS = 27;
    uint256 private constant SCORE_MASK = (1 << SCORE_BITS) - 1;
    /// @dev The stored score that stands for UNAVAILABLE: the least.
    uint256 private constant NOT_SCORED = 1 << (SCORE_BITS - 1);

    /* SEALS */

    /// @dev What a seat commits to; bound to model, round, validator and salt, so that a copy cannot be revealed.
    function commitment(
        bytes32 model,
        uint64 round,
        address validator,
        bytes32 salt,
        int64[] calldata scores,
        bytes32 originals
    ) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(model, uint256(round), uint256(uint160(validator)), salt, scores, originals));
    }

    /// @dev Reverts with BadScores unless there is one score for each leg, UNAVAILABLE for each that is not in the set
    /// `submitted`, and one original: the leg itself or, both being submitted, one before it.
    function check(int64[] calldata scores, bytes32 originals, uint256 legs, uint256 submitted) internal pure {
        if (scores.length != legs || uint256(originals) << (8 * legs) != 0) revert ErrorsLib.BadScores();
        for (uint256 i; i < legs; ++i) {
            uint256 original = uint8(originals[i]);
            bool fits = original == i || (original < i && submitted.has(original) && submitted.has(i));
            if (!fits) revert ErrorsLib.BadScores();
            if (scores[i] == UNAVAILABLE) continue;
            bool inBounds = -MAX_SCORE_PPM <= scores[i] && scores[i] <= MAX_SCORE_PPM;
            if (!inBounds || !submitted.has(i)) revert ErrorsLib.BadScores();
        }
    }

    /* STORAGE */

    /// @dev Stores valid scores, each in 27 bits, the least number of which stands for UNAVAILABLE, below the leg's
    /// original in five.
    function pack(uint256[MAX_BIDS / 8] storage words, int64[] calldata scores, bytes32 originals) internal {
        uint256 word;
        for (uint256 i; i < scores.length; ++i) {
            uint256 score = scores[i] == UNAVAILABLE ? NOT_SCORED : uint64(scores[i]) & SCORE_MASK;
            uint256 entry = score | (uint256(uint8(originals[i])) << SCORE_BITS);
            word |= entry << (32 * (i % 8));
            if (i % 8 == 7 || i + 1 == scores.length) {
                words[i / 8] = word;
                word = 0;
            }
        }
    }

    /// @dev Scores and originals of the first `count` legs.
    function unpack(uint256[MAX_BIDS / 8] storage words, uint256 count)
        internal
        view
        returns (int64[] memory scores, bytes32 originals)
    {
        scores = new int64[](count);
        uint256 word;
        for (uint256 i; i < count; ++i) {
            if (i % 8 == 0) word = words[i / 8];
            uint256 entry = uint32(word >> (32 * (i % 8)));
            uint256 score = entry & SCORE_MASK;
            // Extends the sign of a number of 27 bits to the left.
            int256 signed = int256(score << (256 - SCORE_BITS)) >> (256 - SCORE_BITS);
            scores[i] = score == NOT_SCORED ? UNAVAILABLE : int64(signed);
            originals |= bytes32((entry >> SCORE_BITS) << (8 * (31 - i)));
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

    /// @dev For each leg the lowest number of its class, `duplicates` telling whether legs can duplicate others at all.
    /// A leg's original is the one that more than half of the revealed weight names, else itself; its class is that of
    /// its original.
    function classify(Seat[] memory seats, uint256 legs, bool duplicates) internal pure returns (Packed classes) {
        for (uint256 i; i < legs; ++i) {
            uint256 original = duplicates ? _original(seats, i) : i;
            classes = classes.with(i, original == i ? uint8(i) : classes.get(original));
        }
    }

    /// @dev What more than half of the revealed weight names, if there is such a leg, is what is left over when seats
    /// that name different legs cancel each other out.
    function _original(Seat[] memory seats, uint256 leg) private pure returns (uint256 candidate) {
        uint256 left;
        for (uint256 i; i < seats.length; ++i) {
            if (!seats[i].revealed) continue;
            (uint256 named, uint256 weight) = (uint8(seats[i].originals[leg]), seats[i].weight);
            if (left == 0) candidate = named;
            if (named == candidate) left += weight;
            else if (left >= weight) left -= weight;
            else (candidate, left) = (named, weight - left);
        }
        uint256 total;
        uint256 naming;
        for (uint256 i; i < seats.length; ++i) {
            if (!seats[i].revealed) continue;
            total += seats[i].weight;
            if (uint8(seats[i].originals[leg]) == candidate) naming += seats[i].weight;
        }
        if (2 * naming <= total) candidate = leg;
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
