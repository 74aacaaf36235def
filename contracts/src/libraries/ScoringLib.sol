// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {MAX_BIDS, MAX_SCORE_PPM, UNAVAILABLE} from "./ConstantsLib.sol";
import {ErrorsLib} from "./ErrorsLib.sol";
import {Packed, PackedLib} from "./PackedLib.sol";

/// @dev What settling needs to know of the seats. `scores` are by seat and leg, empty where a seat did not reveal, as
/// are its `originals`.
struct Committee {
    address[] validators;
    uint256[] weights;
    int64[][] scores;
    bytes32[] originals;
}

/// @dev What the committee said, worked out from the orders that the settler gave. `medians` has the score of each leg
/// by leg number, UNAVAILABLE for those without a child. `own` has for each seat that revealed its scores of the
/// submitted legs in settlement order, `others` beside them the medians of the *other* seats.
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
        // No number here is large.
        unchecked {
            for (uint256 i; i < legs; ++i) {
                uint256 original = uint8(originals[i]);
                bool fits = original == i || (original < i && submitted.has(original) && submitted.has(i));
                if (!fits) revert ErrorsLib.BadScores();
                int256 score = _word(scores, i);
                if (score == UNAVAILABLE) continue;
                bool inBounds = -MAX_SCORE_PPM <= score && score <= MAX_SCORE_PPM;
                if (!inBounds || !submitted.has(i)) revert ErrorsLib.BadScores();
            }
        }
    }

    /* STORAGE */

    /// @dev Stores valid scores, each in 27 bits, the least number of which stands for UNAVAILABLE, below the leg's
    /// original in five.
    function pack(uint256[MAX_BIDS / 8] storage words, int64[] calldata scores, bytes32 originals) internal {
        uint256 word;
        uint256 count = scores.length;
        unchecked {
            for (uint256 i; i < count; ++i) {
                int256 stated = _word(scores, i);
                uint256 score = stated == UNAVAILABLE ? NOT_SCORED : uint256(stated) & SCORE_MASK;
                word |= (score | (uint256(uint8(originals[i])) << SCORE_BITS)) << (32 * (i % 8));
                if (i % 8 == 7 || i + 1 == count) {
                    words[i / 8] = word;
                    word = 0;
                }
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
        unchecked {
            for (uint256 i; i < count; ++i) {
                word = i % 8 == 0 ? words[i / 8] : word >> 32;
                uint256 score = word & SCORE_MASK;
                // Extends the sign of a number of 27 bits to the left.
                int256 signed = int256(score << (256 - SCORE_BITS)) >> (256 - SCORE_BITS);
                _put(scores, i, score == NOT_SCORED ? int256(UNAVAILABLE) : signed);
                originals |= bytes32(((word & type(uint32).max) >> SCORE_BITS) << (8 * (31 - i)));
            }
        }
    }

    /* JUDGING */

    /// @dev Reverts unless `legOrder` names all `submitted` legs, median score descending, then leg number ascending
    /// (else WrongOrder), and `seatOrder` for each of them all `revealed` seats, score ascending, then seat number
    /// ascending (else WrongSeatOrder). Each leg's seats are checked before its rank.
    /// @param legs The number of legs. @param submitted A set of them. @param revealed A set of seats.
    function judge(
        Committee memory committee,
        uint256 legs,
        uint256 submitted,
        uint256 revealed,
        uint8[] calldata legOrder,
        uint8[] calldata seatOrder
    ) internal pure returns (Verdict memory verdict) {
        uint256 answers = revealed.size();
        if (legOrder.length != submitted.size()) revert ErrorsLib.WrongOrder();
        if (seatOrder.length != legOrder.length * answers) revert ErrorsLib.WrongSeatOrder();
        verdict = _emptyVerdict(committee, legs, legOrder.length);
        Row memory row = Row(new int64[](answers), new uint256[](answers));
        for (uint256 i; i < legOrder.length; ++i) {
            uint256 leg = legOrder[i];
            if (!submitted.has(leg)) revert ErrorsLib.WrongOrder();
            uint8[] calldata order = seatOrder[i * answers:(i + 1) * answers];
            _read(row, committee, revealed, leg, order);
            uint256 middle = _middle(row.weights);
            verdict.medians[leg] = row.scores[middle];
            if (i > 0 && !_ranksBefore(legOrder[i - 1], leg, verdict.medians)) revert ErrorsLib.WrongOrder();
            if (answers > 1) _compare(verdict, row, committee.weights, order, middle, i);
        }
    }

    /// @dev How much better a seat's scores fit the others' medians of their own legs than those of all legs:
    /// n · Σ_i closeness(s_i, c_i) - Σ_i Σ_j closeness(s_i, c_j), with closeness(a, b) = max(0, tolerance - |a - b|).
    /// UNAVAILABLE needs no case of its own: it is at no distance from itself and far from every other score.
    function agreement(int64[] memory own, int64[] memory others, int64 tolerance) internal pure returns (int256 sum) {
        int256 wide = tolerance;
        (int256[] memory sorted, int256[] memory sums) = _sorted(others);
        uint256[3] memory places = [uint256(1), 1, 1];
        // Cannot overflow: 2 · 32 · 32 summands below 2**25, and UNAVAILABLE is 2**63 below zero.
        unchecked {
            for (uint256 i; i < own.length; ++i) {
                int256 score = _at(own, i);
                sum -= _closeness(sorted, sums, places, score, wide);
                int256 off = score - _at(others, i);
                if (off < 0) off = -off;
                if (off < wide) sum += int256(own.length) * (wide - off);
            }
        }
    }

    /// @dev The sum of a score's closeness to each of the others' medians. Of these, `places[0]` - 1 are too high to
    /// count, `places[1]` - 1 are above the score, and those from `places[2]` on are too low. Scores and medians run
    /// from high to low, more or less, so that the places move on by little from one leg to the next.
    function _closeness(
        int256[] memory sorted,
        int256[] memory sums,
        uint256[3] memory places,
        int256 score,
        int256 wide
    ) private pure returns (int256 sum) {
        unchecked {
            // Each median between counts with wide + score - median above the score, with wide - score + median below.
            uint256 place = places[0] = _place(sorted, places[0], score + wide - 1);
            sum = _at(sums, place) - int256(place) * (wide + score);
            place = places[1] = _place(sorted, places[1], score);
            sum += 2 * (int256(place) * score - _at(sums, place));
            place = places[2] = _place(sorted, places[2], score - wide);
            sum += _at(sums, place) + int256(place) * (wide - score);
        }
    }

    /// @dev The list from high to low between two ends that stop every search, and the sums of what is before each
    /// place.
    function _sorted(int64[] memory list) private pure returns (int256[] memory sorted, int256[] memory sums) {
        uint256 count = list.length;
        sorted = new int256[](count + 2);
        sums = new int256[](count + 2);
        // Sums of 32 numbers of 64 bits cannot overflow.
        unchecked {
            _put(sorted, 0, type(int256).max);
            for (uint256 i = 1; i <= count; ++i) {
                int256 entry = _at(list, i - 1);
                uint256 place = i;
                for (int256 before; (before = _at(sorted, place - 1)) < entry; --place) {
                    _put(sorted, place, before);
                }
                _put(sorted, place, entry);
            }
            _put(sorted, count + 1, type(int256).min);
            for (uint256 i = 1; i <= count; ++i) {
                _put(sums, i + 1, _at(sums, i) + _at(sorted, i));
            }
        }
    }

    /// @dev The first place whose entry is not above the bound, sought from `place` on.
    function _place(int256[] memory sorted, uint256 place, int256 bound) private pure returns (uint256) {
        unchecked {
            while (_at(sorted, place) > bound) ++place;
            while (_at(sorted, place - 1) <= bound) --place;
        }
        return place;
    }

    /// @dev For each leg the lowest number of its class. A leg's original is the one that more than half of the
    /// revealed weight names, else itself; its class is that of its original.
    function classify(Committee memory committee, uint256 legs) internal pure returns (Packed classes) {
        (bytes32 first, bytes32 contested) = _contested(committee);
        for (uint256 i; i < legs; ++i) {
            uint256 original = uint8(contested[i]) == 0 ? uint8(first[i]) : _original(committee, i);
            classes = classes.with(i, original == i ? uint8(i) : classes.get(original));
        }
    }

    /// @dev What the first of the seats that revealed says, and a byte that is not zero where another says otherwise.
    function _contested(Committee memory committee) private pure returns (bytes32 first, bytes32 contested) {
        bool known;
        for (uint256 i; i < committee.weights.length; ++i) {
            if (committee.scores[i].length == 0) continue;
            if (!known) (first, known) = (committee.originals[i], true);
            contested |= committee.originals[i] ^ first;
        }
    }

    /// @dev What more than half of the revealed weight names, if there is such a leg, is what is left over when seats
    /// that name different legs cancel each other out.
    function _original(Committee memory committee, uint256 leg) private pure returns (uint256 candidate) {
        uint256 left;
        uint256 seats = committee.weights.length;
        for (uint256 i; i < seats; ++i) {
            if (committee.scores[i].length == 0) continue;
            (uint256 named, uint256 weight) = (uint8(committee.originals[i][leg]), committee.weights[i]);
            if (left == 0) candidate = named;
            if (named == candidate) left += weight;
            else if (left >= weight) left -= weight;
            else (candidate, left) = (named, weight - left);
        }
        uint256 total;
        uint256 naming;
        for (uint256 i; i < seats; ++i) {
            if (committee.scores[i].length == 0) continue;
            total += committee.weights[i];
            if (uint8(committee.originals[i][leg]) == candidate) naming += committee.weights[i];
        }
        if (2 * naming <= total) candidate = leg;
    }

    function _emptyVerdict(Committee memory committee, uint256 legs, uint256 submitted)
        private
        pure
        returns (Verdict memory verdict)
    {
        verdict.medians = new int64[](legs);
        for (uint256 i; i < legs; ++i) {
            _put(verdict.medians, i, UNAVAILABLE);
        }
        uint256 seats = committee.weights.length;
        verdict.own = new int64[][](seats);
        verdict.others = new int64[][](seats);
        for (uint256 i; i < seats; ++i) {
            if (committee.scores[i].length == 0) continue;
            verdict.own[i] = new int64[](submitted);
            verdict.others[i] = new int64[](submitted);
        }
    }

    /// @dev Reads the leg's scores and adds up the weights in that order. There are as many entries as revealed seats,
    /// all different, each of a revealed seat: then none is missing.
    function _read(
        Row memory row,
        Committee memory committee,
        uint256 revealed,
        uint256 leg,
        uint8[] calldata order
    ) private pure {
        (int64[] memory scores, uint256[] memory weights) = (row.scores, row.weights);
        (int64[][] memory scored, uint256[] memory heavy) = (committee.scores, committee.weights);
        uint256 sum;
        int256 scoreBefore = type(int256).min;
        uint256 seatBefore;
        // Sums of fifteen weights of 128 bits cannot overflow.
        unchecked {
            for (uint256 i; i < order.length; ++i) {
                uint256 number = _word(order, i);
                if (!revealed.has(number)) revert ErrorsLib.WrongSeatOrder();
                int256 score = _at(_at(scored, number), leg);
                bool ascends = scoreBefore < score || (scoreBefore == score && seatBefore < number);
                if (!ascends) revert ErrorsLib.WrongSeatOrder();
                (scoreBefore, seatBefore) = (score, number);
                sum += _at(heavy, number);
                _put(scores, i, score);
                _put(weights, i, sum);
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
        uint256[] memory seatWeights,
        uint8[] calldata order,
        uint256 middle,
        uint256 index
    ) private pure {
        (int64[] memory scores, uint256[] memory weights) = (row.scores, row.weights);
        (int64[][] memory own, int64[][] memory others) = (verdict.own, verdict.others);
        uint256 total = weights[weights.length - 1];
        // Nor do these.
        unchecked {
            for (uint256 i; i < order.length; ++i) {
                uint256 seat = _word(order, i);
                // Without the seat, half of the rest is reached before it, or, as the places behind it have its weight
                // less below them, where twice the weight with it reaches total + weight: either is near the middle.
                uint256 weight = _at(seatWeights, seat);
                uint256 place = middle;
                while (place > 0 && 2 * _at(weights, place - 1) >= total - weight) --place;
                if (place >= i) {
                    place = middle;
                    while (2 * _at(weights, place) < total + weight) ++place;
                }
                _put(_at(own, seat), index, _at(scores, i));
                _put(_at(others, seat), index, _at(scores, place));
            }
        }
    }

    function _ranksBefore(uint256 a, uint256 b, int64[] memory medians) private pure returns (bool) {
        if (medians[a] != medians[b]) return medians[a] > medians[b];
        return a < b;
    }

    /* CALL DATA AND MEMORY */

    /// @dev The word at an index that is known to be within the list; whether it fits the list's type is for the caller to
    /// check, as it is in the other.
    function _word(int64[] calldata list, uint256 index) private pure returns (int256 word) {
        assembly ("memory-safe") {
            word := calldataload(add(list.offset, shl(5, index)))
        }
    }

    function _word(uint8[] calldata list, uint256 index) private pure returns (uint256 word) {
        assembly ("memory-safe") {
            word := calldataload(add(list.offset, shl(5, index)))
        }
    }

    /// @dev The entry at an index that is known to be within the list; so of the others.
    function _at(int64[] memory list, uint256 index) private pure returns (int256 entry) {
        assembly ("memory-safe") {
            entry := mload(add(add(list, 0x20), shl(5, index)))
        }
    }

    function _at(int256[] memory list, uint256 index) private pure returns (int256 entry) {
        assembly ("memory-safe") {
            entry := mload(add(add(list, 0x20), shl(5, index)))
        }
    }

    function _at(uint256[] memory list, uint256 index) private pure returns (uint256 entry) {
        assembly ("memory-safe") {
            entry := mload(add(add(list, 0x20), shl(5, index)))
        }
    }

    function _at(int64[][] memory lists, uint256 index) private pure returns (int64[] memory list) {
        assembly ("memory-safe") {
            list := mload(add(add(lists, 0x20), shl(5, index)))
        }
    }

    /// @dev Writes an entry at an index that is known to be within the list; so do the others.
    function _put(int64[] memory list, uint256 index, int256 entry) private pure {
        assembly ("memory-safe") {
            mstore(add(add(list, 0x20), shl(5, index)), entry)
        }
    }

    function _put(int256[] memory list, uint256 index, int256 entry) private pure {
        assembly ("memory-safe") {
            mstore(add(add(list, 0x20), shl(5, index)), entry)
        }
    }

    function _put(uint256[] memory list, uint256 index, uint256 entry) private pure {
        assembly ("memory-safe") {
            mstore(add(add(list, 0x20), shl(5, index)), entry)
        }
    }
}
