// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Leg, Seat} from "../interfaces/IRelayLedger.sol";
import {MAX_SCORE_PPM, UNAVAILABLE} from "./ConstantsLib.sol";
import {ErrorsLib} from "./ErrorsLib.sol";

/// @title Scoring
/// @notice Checks what seats reveal, what the settler calls the medians, and who agreed with them.
library ScoringLib {
    /// @dev What a seat commits to; bound to model, round, validator and salt, so that a copy cannot be revealed.
    function commitment(bytes32 model, uint64 round, address validator, bytes32 salt, int64[] calldata scores)
        internal
        pure
        returns (bytes32)
    {
        return sha256(abi.encodePacked(model, uint256(round), uint256(uint160(validator)), salt, scores));
    }

    /// @dev Reverts with BadScores unless there is one score for each leg, and UNAVAILABLE for each without a child.
    function checkScores(int64[] calldata scores, bytes32[] storage children) internal view {
        if (scores.length != children.length) revert ErrorsLib.BadScores();
        for (uint256 i; i < scores.length; ++i) {
            if (scores[i] == UNAVAILABLE) continue;
            bool inBounds = -MAX_SCORE_PPM <= scores[i] && scores[i] <= MAX_SCORE_PPM;
            if (!inBounds || children[i] == 0) revert ErrorsLib.BadScores();
        }
    }

    /// @dev Reverts with WrongOrder unless `order` names `submitted` different legs with a child, median score
    /// descending, then leg number ascending; then with WrongMedian unless each of `named` is a seat with the median of
    /// the leg beside it.
    /// @return medians One for each leg in leg order, UNAVAILABLE for those without a child.
    function checkMedians(
        Leg[] memory legs,
        Seat[] memory seats,
        uint256 submitted,
        uint8[] calldata order,
        uint8[] calldata named
    ) internal pure returns (int64[] memory medians) {
        if (order.length != submitted) revert ErrorsLib.WrongOrder();
        medians = new int64[](legs.length);
        for (uint256 i; i < legs.length; ++i) {
            medians[i] = UNAVAILABLE;
        }
        bool allNamed = named.length == submitted;
        for (uint256 i; i < submitted; ++i) {
            uint256 leg = order[i];
            if (leg >= legs.length || legs[leg].child == 0) revert ErrorsLib.WrongOrder();
            uint256 seat = allNamed ? named[i] : seats.length;
            if (!_isMedian(seats, leg, seat)) {
                // The order is judged first, by the true medians, so that the reason given is the same however both are
                // wrong.
                allNamed = false;
                for (seat = 0; !_isMedian(seats, leg, seat);) ++seat;
            }
            medians[leg] = seats[seat].scores[leg];
            if (i > 0 && !_ranksBefore(order[i - 1], leg, medians)) revert ErrorsLib.WrongOrder();
        }
        if (!allNamed) revert ErrorsLib.WrongMedian();
    }

    /// @dev The number of submitted legs on which the seat was within `tolerance` of the median.
    function agreements(Seat memory seat, Leg[] memory legs, int64[] memory medians, int64 tolerance)
        internal
        pure
        returns (uint8 count)
    {
        if (!seat.revealed) return 0;
        for (uint256 i; i < legs.length; ++i) {
            if (legs[i].child != 0 && _agree(seat.scores[i], medians[i], tolerance)) ++count;
        }
    }

    /// @dev Whether that seat's score is the weighted lower median: the smallest revealed value x such that twice the
    /// weight of the scores <= x is at least the total weight. Some seat's is, as at least one has revealed.
    function _isMedian(Seat[] memory seats, uint256 leg, uint256 seat) private pure returns (bool) {
        if (seat >= seats.length || !seats[seat].revealed) return false;
        int64 score = seats[seat].scores[leg];
        uint256 total;
        uint256 below;
        uint256 equal;
        for (uint256 i; i < seats.length; ++i) {
            if (!seats[i].revealed) continue;
            uint256 weight = seats[i].weight;
            int64 other = seats[i].scores[leg];
            total += weight;
            if (other < score) below += weight;
            else if (other == score) equal += weight;
        }
        return 2 * below < total && total <= 2 * (below + equal);
    }

    function _ranksBefore(uint256 a, uint256 b, int64[] memory medians) private pure returns (bool) {
        if (medians[a] != medians[b]) return medians[a] > medians[b];
        return a < b;
    }

    function _agree(int64 score, int64 median, int64 tolerance) private pure returns (bool) {
        if (score == UNAVAILABLE || median == UNAVAILABLE) return score == median;
        int64 distance = score > median ? score - median : median - score;
        return distance <= tolerance;
    }
}
