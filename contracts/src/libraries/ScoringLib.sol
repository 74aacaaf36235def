// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {MAX_BIDS, MAX_SCORE_PPM, UNAVAILABLE} from "./ConstantsLib.sol";
import {ErrorsLib} from "./ErrorsLib.sol";
import {Packed, PackedLib} from "./PackedLib.sol";

/// @dev What settling needs to know of the seats. `scores` is a table with a row for each seat and a column for each
/// leg; rows of seats that did not reveal mean nothing, nor do their `originals`.
struct Committee {
    address[] validators;
    uint256[] weights;
    int64[] scores;
    bytes32[] originals;
}

/// @dev What the committee said, worked out from the orders that the settler gave. `medians` has the score of each leg
/// by leg number, UNAVAILABLE for those without a child. `own` and `others` are tables with a row for each seat and a
/// column for each submitted leg in settlement order: the seat's scores, and beside them the medians of the *other*
/// seats. `others` is empty where fewer than two seats revealed.
struct Verdict {
    int64[] medians;
    int256[] own;
    int256[] others;
}

/// @title Scoring
/// @notice Checks what seats reveal, finds the medians, and tells how well a seat's scores fit those of the others.
library ScoringLib {
    using PackedLib for uint256;

    /// @dev Bits of a stored score; they hold ± MAX_SCORE_PPM.
    uint256 private constant SCORE_BITS = 27;

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
        bytes memory head = abi.encodePacked(model, uint256(round), uint256(uint160(validator)), salt);
        return sha256(abi.encodePacked(head, words(scores), originals));
    }

    /// @dev The list's words as they were sent; `store` tells whether they are scores.
    // Two parts of a slice in call data, not one after the other.
    // slither-disable-next-line write-after-write
    function words(int64[] calldata scores) internal pure returns (bytes calldata raw) {
        assembly ("memory-safe") {
            raw.offset := scores.offset
            raw.length := shl(5, scores.length)
        }
    }

    /* STORAGE */

    /// @dev Stores what a seat reveals, each score in 27 bits, the least number of which stands for UNAVAILABLE, below
    /// the leg's original in five. Reverts with BadScores unless there is one score for each leg, UNAVAILABLE for each
    /// that is not in the set `submitted`, and one original: the leg itself or, both being submitted, one before it.
    function store(
        uint256[MAX_BIDS / 8] storage target,
        int64[] calldata scores,
        bytes32 originals,
        uint256 legs,
        uint256 submitted
    ) internal {
        bool wrong = scores.length != legs || uint256(originals) << (8 * legs) != 0;
        (int256 unavailable, int256 most, uint256 bits) = (UNAVAILABLE, MAX_SCORE_PPM, SCORE_BITS);
        assembly ("memory-safe") {
            let word := 0
            for { let leg := 0 } lt(leg, legs) { leg := add(leg, 1) } {
                let original := byte(leg, originals)
                let there := and(shr(leg, submitted), 1)
                let score := calldataload(add(scores.offset, shl(5, leg)))
                // One, shifted by the number before it; so below.
                // slither-disable-next-line incorrect-shift
                let field := shl(sub(bits, 1), 1)
                if iszero(eq(score, unavailable)) {
                    // slither-disable-next-line incorrect-shift
                    field := and(score, sub(shl(bits, 1), 1))
                    wrong := or(wrong, or(iszero(there), gt(add(score, most), shl(1, most))))
                }
                if iszero(eq(original, leg)) {
                    there := and(there, and(lt(original, leg), shr(original, submitted)))
                    wrong := or(wrong, iszero(there))
                }
                word := or(word, shl(shl(5, and(leg, 7)), or(field, shl(bits, original))))
                if or(eq(and(leg, 7), 7), eq(add(leg, 1), legs)) {
                    sstore(add(target.slot, shr(3, leg)), word)
                    word := 0
                }
            }
        }
        if (wrong) revert ErrorsLib.BadScores();
    }

    /// @dev Reads the scores of the first `count` legs into the list from `first` on, and returns their originals.
    function unpack(uint256[MAX_BIDS / 8] storage source, uint256 count, int64[] memory scores, uint256 first)
        internal
        view
        returns (bytes32 originals)
    {
        int64 unavailable = UNAVAILABLE;
        uint256 bits = SCORE_BITS;
        assembly ("memory-safe") {
            let word := 0
            let target := add(add(scores, 0x20), shl(5, first))
            for { let i := 0 } lt(i, count) { i := add(i, 1) } {
                switch and(i, 7)
                case 0 { word := sload(add(source.slot, shr(3, i))) }
                default { word := shr(32, word) }
                // Extends the sign of the score to the left.
                let score := sar(sub(256, bits), shl(sub(256, bits), word))
                // One, shifted by the number before it.
                // slither-disable-next-line incorrect-shift
                if eq(add(score, shl(sub(bits, 1), 1)), 0) { score := unavailable }
                mstore(add(target, shl(5, i)), score)
                originals := or(originals, shl(sub(248, shl(3, i)), shr(bits, and(word, 0xffffffff))))
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
        bytes calldata legOrder,
        bytes calldata seatOrder
    ) internal pure returns (Verdict memory verdict) {
        (uint256 answers, uint256 count) = (revealed.size(), legOrder.length);
        if (count != submitted.size()) revert ErrorsLib.WrongOrder();
        if (seatOrder.length != count * answers) revert ErrorsLib.WrongSeatOrder();
        bool compared = answers > 1;
        verdict = _emptyVerdict(legs, compared ? committee.weights.length * count : 0);
        // One leg's revealed scores ascending, each with its seat in the lowest byte and followed by the weight so far.
        int256[] memory row = new int256[](2 * answers);
        for (uint256 i; i < count; ++i) {
            uint256 leg = PackedLib.byteAt(legOrder, i);
            if (!submitted.has(leg)) revert ErrorsLib.WrongOrder();
            bytes calldata order = seatOrder[i * answers:(i + 1) * answers];
            if (_read(row, committee, legs, leg, order) != revealed) revert ErrorsLib.WrongSeatOrder();
            uint256 middle = _middle(row);
            int64 median = int64(row[middle] >> 8);
            verdict.medians[leg] = median;
            if (i > 0) {
                uint256 above = PackedLib.byteAt(legOrder, i - 1);
                int64 best = verdict.medians[above];
                bool ranked = best > median || (best == median && above < leg);
                if (!ranked) revert ErrorsLib.WrongOrder();
            }
            if (compared) _compare(verdict, row, committee.weights, middle, count, i);
        }
    }

    /// @dev How much better a seat's scores fit the others' medians of their own legs than those of all legs:
    /// n · Σ_i closeness(s_i, c_i) - Σ_i Σ_j closeness(s_i, c_j), with closeness(a, b) = max(0, tolerance - |a - b|).
    /// UNAVAILABLE needs no case of its own: it is at no distance from itself and far from every other score.
    /// @param count Submitted legs. @param room Two lists of two numbers more.
    function agreement(Verdict memory verdict, uint256 seat, uint256 count, int64 tolerance, int256[] memory room)
        internal
        pure
        returns (int256 sum)
    {
        (int256[] memory own, int256[] memory others) = (verdict.own, verdict.others);
        // Cannot overflow: 2 · 32 · 32 summands below 2**25, and UNAVAILABLE is 2**63 below zero.
        assembly ("memory-safe") {
            let size := shl(5, count)
            own := add(add(own, 0x20), mul(seat, size))
            others := add(add(others, 0x20), mul(seat, size))
            for { let i := 0 } lt(i, size) { i := add(i, 0x20) } {
                let off := sub(mload(add(own, i)), mload(add(others, i)))
                if slt(off, 0) { off := sub(0, off) }
                if slt(off, tolerance) { sum := add(sum, sub(tolerance, off)) }
            }
            sum := mul(sum, count)
            // Both from high to low.
            let scores := add(room, 0x40)
            let medians := add(scores, add(size, 0x40))
            sort(own, scores, size)
            sort(others, medians, size)
            // As the scores fall, three bounds move on: before `high` are the medians too high to count, before `level`
            // those above the score, before `low` those that are not too low. Each between counts with tolerance +
            // score - median above the score, with tolerance - score + median below; `all` has the sums of the medians.
            let high := medians
            let level := medians
            let low := medians
            let all := 0
            for { let end := add(scores, size) } lt(scores, end) { scores := add(scores, 0x20) } {
                let score := mload(scores)
                let bound := sub(add(score, tolerance), 1)
                let median := mload(high)
                for {} sgt(median, bound) {} {
                    all := add(all, median)
                    high := add(high, 0x20)
                    median := mload(high)
                }
                median := mload(level)
                for {} sgt(median, score) {} {
                    all := sub(all, shl(1, median))
                    level := add(level, 0x20)
                    median := mload(level)
                }
                bound := sub(score, tolerance)
                median := mload(low)
                for {} sgt(median, bound) {} {
                    all := add(all, median)
                    low := add(low, 0x20)
                    median := mload(low)
                }
                // Each bound's share is the number before it times: -(tolerance + score), 2 score, tolerance - score.
                let numbers := sub(sub(shl(1, level), high), low)
                let wide := sub(low, high)
                sum := sub(sum, add(all, sar(5, add(mul(numbers, score), mul(wide, tolerance)))))
            }

            // From high to low, before an end that stops every search; before the list is one that stops this.
            function sort(from, to, length) {
                mstore(sub(to, 0x20), not(shl(255, 1)))
                for { let i := 0 } lt(i, length) { i := add(i, 0x20) } {
                    let entry := mload(add(from, i))
                    let place := add(to, i)
                    for {} 1 {} {
                        let before := mload(sub(place, 0x20))
                        if iszero(slt(before, entry)) { break }
                        mstore(place, before)
                        place := sub(place, 0x20)
                    }
                    mstore(place, entry)
                }
                mstore(add(to, length), shl(255, 1))
            }
        }
    }

    /// @dev For each leg the lowest number of its class. A leg's original is the one that more than half of the
    /// revealed weight names, else itself; its class is that of its original.
    function classify(Committee memory committee, uint256 legs, uint256 revealed)
        internal
        pure
        returns (Packed classes)
    {
        (bytes32 first, bytes32 contested) = _contested(committee, revealed);
        for (uint256 i; i < legs; ++i) {
            uint256 original = uint8(contested[i]) == 0 ? uint8(first[i]) : _original(committee, i, revealed);
            classes = classes.with(i, original == i ? uint8(i) : classes.get(original));
        }
    }

    /// @dev What the first of the seats that revealed says, and a byte that is not zero where another says otherwise.
    function _contested(Committee memory committee, uint256 revealed)
        private
        pure
        returns (bytes32 first, bytes32 contested)
    {
        bool known;
        for (uint256 i; i < committee.weights.length; ++i) {
            if (!revealed.has(i)) continue;
            if (!known) (first, known) = (committee.originals[i], true);
            contested |= committee.originals[i] ^ first;
        }
    }

    /// @dev What more than half of the revealed weight names, if there is such a leg, is what is left over when seats
    /// that name different legs cancel each other out.
    function _original(Committee memory committee, uint256 leg, uint256 revealed)
        private
        pure
        returns (uint256 candidate)
    {
        uint256 left;
        uint256 seats = committee.weights.length;
        for (uint256 i; i < seats; ++i) {
            if (!revealed.has(i)) continue;
            (uint256 named, uint256 weight) = (uint8(committee.originals[i][leg]), committee.weights[i]);
            if (left == 0) candidate = named;
            if (named == candidate) left += weight;
            else if (left >= weight) left -= weight;
            else (candidate, left) = (named, weight - left);
        }
        uint256 total;
        uint256 naming;
        for (uint256 i; i < seats; ++i) {
            if (!revealed.has(i)) continue;
            total += committee.weights[i];
            if (uint8(committee.originals[i][leg]) == candidate) naming += committee.weights[i];
        }
        if (2 * naming <= total) candidate = leg;
    }

    function _emptyVerdict(uint256 legs, uint256 entries) private pure returns (Verdict memory verdict) {
        verdict.medians = new int64[](legs);
        for (uint256 i; i < legs; ++i) {
            verdict.medians[i] = UNAVAILABLE;
        }
        verdict.own = new int256[](entries);
        verdict.others = new int256[](entries);
    }

    /// @dev Reads the leg's scores and adds up the weights in that order. There are as many entries as revealed seats,
    /// and they ascend: if they are of the revealed seats, none is missing.
    /// @return seen The set of these seats, or of more than there are where the entries do not ascend.
    function _read(int256[] memory row, Committee memory committee, uint256 legs, uint256 leg, bytes calldata order)
        private
        pure
        returns (uint256 seen)
    {
        (int64[] memory column, uint256[] memory weights) = (committee.scores, committee.weights);
        // Sums of fifteen weights of 128 bits cannot overflow. Whatever is read for a number that is no seat's does
        // not count.
        assembly ("memory-safe") {
            column := add(column, shl(5, leg))
            let sum := 0
            let before := shl(255, 1)
            let source := order.offset
            let end := add(source, order.length)
            for { let target := add(row, 0x20) } lt(source, end) { target := add(target, 0x40) } {
                let seat := byte(0, calldataload(source))
                // One, shifted by the seat.
                // slither-disable-next-line incorrect-shift
                seen := or(seen, shl(seat, 1))
                seat := add(and(seat, 0xf), 1)
                let key := add(shl(8, mload(add(column, shl(5, add(mul(sub(seat, 1), legs), 1))))), sub(seat, 1))
                if iszero(sgt(key, before)) { seen := not(0) }
                before := key
                sum := add(sum, mload(add(weights, shl(5, seat))))
                mstore(target, key)
                mstore(add(target, 0x20), sum)
                source := add(source, 1)
            }
        }
    }

    /// @dev The place of the weighted lower median: the first at which twice the weight so far reaches the total.
    function _middle(int256[] memory row) private pure returns (uint256 place) {
        assembly ("memory-safe") {
            let total := mload(add(row, shl(5, mload(row))))
            for {} lt(shl(1, mload(add(row, shl(5, add(place, 2))))), total) {} { place := add(place, 2) }
        }
    }

    /// @dev Notes the leg's scores and, beside each, the weighted lower median of the other seats' scores.
    function _compare(
        Verdict memory verdict,
        int256[] memory row,
        uint256[] memory weights,
        uint256 middle,
        uint256 count,
        uint256 column
    ) private pure {
        (int256[] memory own, int256[] memory others) = (verdict.own, verdict.others);
        // Nor do these.
        assembly ("memory-safe") {
            let size := shl(5, mload(row))
            let total := mload(add(row, size))
            row := add(row, 0x20)
            middle := add(row, shl(5, middle))
            for { let entry := row } lt(entry, add(row, size)) { entry := add(entry, 0x40) } {
                let seat := and(mload(entry), 0xff)
                // Without the seat, half of the rest is reached before it, or, as the places behind it have its weight
                // less below them, where twice the weight with it reaches total + weight: either is near the middle.
                let weight := mload(add(add(weights, 0x20), shl(5, seat)))
                let place := middle
                for {} gt(place, row) { place := sub(place, 0x40) } {
                    if lt(shl(1, mload(sub(place, 0x20))), sub(total, weight)) { break }
                }
                if iszero(lt(place, entry)) {
                    place := middle
                    for {} lt(shl(1, mload(add(place, 0x20))), add(total, weight)) {} { place := add(place, 0x40) }
                }
                seat := shl(5, add(add(mul(seat, count), column), 1))
                mstore(add(own, seat), sar(8, mload(entry)))
                mstore(add(others, seat), sar(8, mload(place)))
            }
        }
    }
}
