// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Bid, Leg, Seat, Tip} from "../interfaces/IRelayLedger.sol";
import {ErrorsLib} from "./ErrorsLib.sol";
import {StoredBid, StoredCheckpoint, StoredModel, StoredRound, StoredSeat} from "./StoredTypes.sol";

/// @title Reading a round
/// @notice Unpacks the running round from storage into the structs of the interface.
library RoundLib {
    function readBids(StoredRound storage round) internal view returns (Bid[] memory result) {
        result = new Bid[](round.bids.length);
        for (uint256 i; i < result.length; ++i) {
            StoredBid storage bid = round.bids[i];
            result[i] = Bid({trainer: bid.trainer, segment: round.segments.get(i), amount: bid.amount});
        }
    }

    function readTips(StoredModel storage model) internal view returns (Tip[] memory result) {
        result = new Tip[](model.round.tips.length);
        for (uint256 i; i < result.length; ++i) {
            result[i] = readTip(model, i);
        }
    }

    function readTip(StoredModel storage model, uint256 index) internal view returns (Tip memory) {
        bytes32 root = model.round.tips[index];
        StoredCheckpoint storage checkpoint = model.checkpoints[root];
        bool offered = (model.round.offered >> index) & 1 == 1;
        return Tip({root: root, owner: checkpoint.owner, score: checkpoint.score, offered: offered});
    }

    /// @dev The index of the tip of that root; reverts with NotATip.
    function tipIndex(StoredRound storage round, bytes32 root) internal view returns (uint256) {
        uint256 length = round.tips.length;
        for (uint256 i; i < length; ++i) {
            if (round.tips[i] == root) return i;
        }
        revert ErrorsLib.NotATip();
    }

    function readLegs(StoredModel storage model) internal view returns (Leg[] memory result) {
        result = new Leg[](model.round.children.length);
        for (uint256 i; i < result.length; ++i) {
            result[i] = readLeg(model, i);
        }
    }

    function readLeg(StoredModel storage model, uint256 index) internal view returns (Leg memory result) {
        StoredRound storage round = model.round;
        uint256 bidIndex = round.bidOrder.get(index);
        Tip memory parent = readTip(model, round.tipOrder.get(index / model.rules.legsPerTip));
        result.trainer = round.bids[bidIndex].trainer;
        result.parent = parent.root;
        result.owner = parent.owner;
        result.segment = round.segments.get(bidIndex);
        result.bid = round.bids[bidIndex].amount;
        result.deposit = parent.offered ? model.rules.offerDeposit : 0;
        result.child = round.children[index];
    }

    function readSeats(StoredRound storage round) internal view returns (Seat[] memory result) {
        result = new Seat[](round.seats.length);
        for (uint256 i; i < result.length; ++i) {
            StoredSeat storage seat = round.seats[i];
            result[i] = Seat({
                validator: seat.validator,
                weight: seat.weight,
                commitment: seat.commitment,
                revealed: seat.scores.length > 0,
                scores: seat.scores
            });
        }
    }

    function hasSeat(StoredRound storage round, address account) internal view returns (bool) {
        uint256 length = round.seats.length;
        for (uint256 i; i < length; ++i) {
            if (round.seats[i].validator == account) return true;
        }
        return false;
    }

    /// @dev The account's seat; reverts with NotSeated.
    function seatOf(StoredRound storage round, address account) internal view returns (StoredSeat storage) {
        uint256 length = round.seats.length;
        for (uint256 i; i < length; ++i) {
            if (round.seats[i].validator == account) return round.seats[i];
        }
        revert ErrorsLib.NotSeated();
    }
}
