// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Bid, RoundView, Seat, Tip} from "../../src/interfaces/IRelayLedger.sol";

/// @title The orders that callers sort
/// @notice Written from the text of docs/PROTOCOL.md section 4, apart from the contract.
library Orders {
    /// @notice Indices of all bids: amount descending, then SHA-256(seed ‖ trainer) ascending.
    function bids(RoundView memory round) internal pure returns (uint8[] memory order) {
        order = new uint8[](round.bids.length);
        for (uint256 i; i < order.length; ++i) {
            order[i] = uint8(i);
            for (uint256 j = i; j > 0 && _before(round, round.bids[order[j]], round.bids[order[j - 1]]); --j) {
                (order[j], order[j - 1]) = (order[j - 1], order[j]);
            }
        }
    }

    /// @notice Indices of all tips: stalled last, then offered first, then score descending, then SHA-256(seed ‖ root)
    /// ascending.
    function tips(RoundView memory round) internal pure returns (uint8[] memory order) {
        order = new uint8[](round.tips.length);
        for (uint256 i; i < order.length; ++i) {
            order[i] = uint8(i);
            for (uint256 j = i; j > 0 && _before(round, round.tips[order[j]], round.tips[order[j - 1]]); --j) {
                (order[j], order[j - 1]) = (order[j - 1], order[j]);
            }
        }
    }

    /// @notice The submitted legs: score descending, then leg number ascending.
    function legs(RoundView memory round) internal pure returns (uint8[] memory order) {
        order = new uint8[](round.legs.length);
        int64[] memory scores = new int64[](round.legs.length);
        uint256 count;
        for (uint256 i; i < round.legs.length; ++i) {
            if (round.legs[i].child == 0) continue;
            scores[i] = median(round, i);
            order[count] = uint8(i);
            for (uint256 j = count; j > 0 && scores[order[j]] > scores[order[j - 1]]; --j) {
                (order[j], order[j - 1]) = (order[j - 1], order[j]);
            }
            ++count;
        }
        assembly ("memory-safe") {
            mstore(order, count)
        }
    }

    /// @notice For each leg of `legOrder` the revealed seats: score ascending, then seat number ascending.
    function seats(RoundView memory round, uint8[] memory legOrder) internal pure returns (uint8[] memory order) {
        uint256 revealed = _sortedSeats(round, 0).length;
        order = new uint8[](legOrder.length * revealed);
        for (uint256 i; i < legOrder.length; ++i) {
            uint8[] memory sorted = _sortedSeats(round, legOrder[i]);
            for (uint256 j; j < revealed; ++j) {
                order[i * revealed + j] = sorted[j];
            }
        }
    }

    /// @notice The numbers as the ledger takes them, a byte each.
    function packed(uint8[] memory order) internal pure returns (bytes memory bytes_) {
        bytes_ = new bytes(order.length);
        for (uint256 i; i < order.length; ++i) {
            bytes_[i] = bytes1(order[i]);
        }
    }

    /// @notice The weighted lower median of the leg over the seats that revealed.
    function median(RoundView memory round, uint256 leg) internal pure returns (int64) {
        uint8[] memory sorted = _sortedSeats(round, leg);
        uint256 total;
        for (uint256 i; i < sorted.length; ++i) {
            total += round.seats[sorted[i]].weight;
        }
        uint256 sum = round.seats[sorted[0]].weight;
        uint256 middle;
        while (2 * sum < total) {
            ++middle;
            sum += round.seats[sorted[middle]].weight;
        }
        return round.seats[sorted[middle]].scores[leg];
    }

    function _sortedSeats(RoundView memory round, uint256 leg) private pure returns (uint8[] memory order) {
        order = new uint8[](round.seats.length);
        uint256 count;
        for (uint256 i; i < round.seats.length; ++i) {
            if (!round.seats[i].revealed) continue;
            order[count] = uint8(i);
            for (uint256 j = count; j > 0 && _below(round.seats, order[j], order[j - 1], leg); --j) {
                (order[j], order[j - 1]) = (order[j - 1], order[j]);
            }
            ++count;
        }
        assembly ("memory-safe") {
            mstore(order, count)
        }
    }

    function _below(Seat[] memory all, uint256 a, uint256 b, uint256 leg) private pure returns (bool) {
        return all[a].scores[leg] < all[b].scores[leg];
    }

    function _before(RoundView memory round, Bid memory a, Bid memory b) private pure returns (bool) {
        if (a.amount != b.amount) return a.amount > b.amount;
        return sha256(abi.encodePacked(round.seed, a.trainer)) < sha256(abi.encodePacked(round.seed, b.trainer));
    }

    function _before(RoundView memory round, Tip memory a, Tip memory b) private pure returns (bool) {
        if (a.stalled != b.stalled) return b.stalled;
        if (a.offered != b.offered) return a.offered;
        if (a.score != b.score) return a.score > b.score;
        return sha256(abi.encodePacked(round.seed, a.root)) < sha256(abi.encodePacked(round.seed, b.root));
    }
}
