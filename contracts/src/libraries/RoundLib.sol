// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {Bid, IRelayLedger, Leg, Phase, RoundView, Seat, Tip} from "../interfaces/IRelayLedger.sol";
import {MAX_BIDS} from "./ConstantsLib.sol";
import {ErrorsLib} from "./ErrorsLib.sol";
import {MarksLib} from "./MarksLib.sol";
import {Packed, PackedLib} from "./PackedLib.sol";
import {Committee, ScoringLib} from "./ScoringLib.sol";
import {StoredBid, StoredCheckpoint, StoredModel, StoredRound, StoredSeat} from "./StoredTypes.sol";

/// @title The running round
/// @notice Moves it from phase to phase and unpacks it from storage into the structs of the interface.
library RoundLib {
    using MarksLib for StoredRound;
    using PackedLib for uint256;
    using SafeCast for uint256;

    /* PHASES */

    /// @dev Enters `phase` for `duration` seconds; zero means that it has no deadline.
    function enter(StoredRound storage round, bytes32 id, Phase phase, uint32 duration) internal {
        uint40 deadline = duration == 0 ? 0 : (block.timestamp + duration).toUint40();
        round.phase = phase;
        round.deadline = deadline;
        emit IRelayLedger.PhaseChanged(id, round.number, phase, deadline);
    }

    /// @dev Forgets the running round, apart from its tips, and begins the next.
    function begin(StoredModel storage model, bytes32 id) internal {
        StoredRound storage round = model.round;
        round.number += 1;
        round.legCount = 0;
        round.seatCount = 0;
        round.offered = 0;
        round.submitted = 0;
        round.equivocated = 0;
        round.committed = 0;
        round.revealed = 0;
        round.seed = sha256(abi.encode(model.nextSeed, round.number));
        model.nextSeed = round.seed;
        enter(round, id, Phase.BID, 0);
    }

    /// @dev Decides anew of each tip that had legs whether it is stalled: fewer than half of them were submitted. Where
    /// every tip is, none is marked.
    function markStalled(StoredModel storage model) internal {
        StoredRound storage round = model.round;
        (uint256 legs, uint256 submitted, uint256 stalled) = (round.legCount, round.submitted, round.stalled);
        uint256 legsPerTip = model.rules.legsPerTip;
        for (uint256 first; first < legs; first += legsPerTip) {
            uint256 count = Math.min(legs - first, legsPerTip);
            (, uint256 place) = lease(round, first);
            bool few = 2 * ((submitted >> first) & PackedLib.full(count)).size() < count;
            stalled = few ? stalled | (1 << place) : stalled & ~(1 << place);
        }
        round.stalled = stalled == _places(round) ? 0 : uint32(stalled);
    }

    /// @dev The set of the tips' places.
    function _places(StoredRound storage round) private view returns (uint256 places) {
        (uint256 count, Packed tips) = (round.tipCount, round.tips);
        for (uint256 i; i < count; ++i) {
            places |= 1 << tips.get(i);
        }
    }

    /* READING */

    function read(StoredModel storage model) internal view returns (RoundView memory result) {
        StoredRound storage round = model.round;
        result.number = round.number;
        result.phase = round.phase;
        result.deadline = round.deadline;
        result.seed = round.seed;
        result.bids = readBids(round);
        result.tips = readTips(model);
        result.legs = readLegs(model);
        result.seats = readSeats(round);
    }

    function readBids(StoredRound storage round) internal view returns (Bid[] memory result) {
        result = new Bid[](round.bidCount());
        for (uint256 i; i < result.length; ++i) {
            StoredBid storage bid = round.bids[i];
            result[i] = Bid({trainer: bid.trainer, segment: round.segmentOf(i), amount: bid.amount});
        }
    }

    function readTips(StoredModel storage model) internal view returns (Tip[] memory result) {
        result = new Tip[](model.round.tipCount);
        for (uint256 i; i < result.length; ++i) {
            result[i] = readTip(model, model.round.tips.get(i));
        }
    }

    function readTip(StoredModel storage model, uint256 place) internal view returns (Tip memory) {
        bytes32 root = tipAt(model.round, place);
        StoredCheckpoint storage checkpoint = model.checkpoints[root];
        return Tip({
            root: root,
            owner: checkpoint.owner,
            score: checkpoint.score,
            offered: uint256(model.round.offered).has(place),
            stalled: uint256(model.round.stalled).has(place)
        });
    }

    function readLegs(StoredModel storage model) internal view returns (Leg[] memory result) {
        result = new Leg[](model.round.legCount);
        for (uint256 i; i < result.length; ++i) {
            result[i] = readLeg(model, i);
        }
    }

    function readLeg(StoredModel storage model, uint256 index) internal view returns (Leg memory result) {
        StoredRound storage round = model.round;
        (uint256 bidIndex, uint256 place) = lease(round, index);
        StoredBid storage bid = round.bids[bidIndex];
        bytes32 parent = tipAt(round, place);
        result.trainer = bid.trainer;
        result.parent = parent;
        result.owner = model.checkpoints[parent].owner;
        result.segment = round.segmentOf(bidIndex);
        result.bid = uint256(round.equivocated).has(index) ? 0 : round.bond;
        result.deposit = uint256(round.offered).has(place) ? model.rules.offerDeposit : 0;
        result.child = uint256(round.submitted).has(index) ? round.children[round.side][index] : bytes32(0);
    }

    function readSeats(StoredRound storage round) internal view returns (Seat[] memory result) {
        result = new Seat[](round.seatCount);
        (uint256 committed, uint256 revealed, uint256 legs) = (round.committed, round.revealed, round.legCount);
        for (uint256 i; i < result.length; ++i) {
            StoredSeat storage seat = round.seats[i];
            result[i].validator = seat.validator;
            result[i].weight = weightOf(seat);
            if (committed.has(i)) result[i].commitment = seat.commitment;
            if (!revealed.has(i)) continue;
            result[i].revealed = true;
            result[i].scores = new int64[](legs);
            result[i].originals = ScoringLib.unpack(seat.scores, legs, result[i].scores, 0);
        }
    }

    /// @dev What settling needs to know of the seats.
    function readCommittee(StoredRound storage round) internal view returns (Committee memory result) {
        (uint256 count, uint256 revealed, uint256 legs) = (round.seatCount, round.revealed, round.legCount);
        result.validators = new address[](count);
        result.weights = new uint256[](count);
        result.scores = new int64[](count * legs);
        result.originals = new bytes32[](count);
        for (uint256 i; i < count; ++i) {
            StoredSeat storage seat = round.seats[i];
            result.validators[i] = seat.validator;
            result.weights[i] = weightOf(seat);
            if (revealed.has(i)) result.originals[i] = ScoringLib.unpack(seat.scores, legs, result.scores, i * legs);
        }
    }

    /* LOOKING UP */

    /// @dev The root of the tip at a place.
    function tipAt(StoredRound storage round, uint256 place) internal view returns (bytes32) {
        return round.children[1 - round.side][place];
    }

    /// @dev The checkpoint's parent; zero for a genesis.
    function parentOf(StoredModel storage model, StoredCheckpoint storage checkpoint)
        internal
        view
        returns (bytes32 parent)
    {
        parent = checkpoint.parent;
        if (parent == 0) parent = model.trunk[checkpoint.round];
    }

    function weightOf(StoredSeat storage seat) internal view returns (uint128 weight) {
        weight = seat.weight;
        if (weight == type(uint96).max) weight = seat.heavy;
    }

    /// @dev The index of the leg's bid and the place of its tip.
    function lease(StoredRound storage round, uint256 leg) internal view returns (uint256 bidIndex, uint256 place) {
        Packed leases = round.leases[leg / 16];
        bidIndex = leases.get(2 * (leg % 16));
        place = leases.get(2 * (leg % 16) + 1);
    }

    /// @dev Whether every place is taken, `count` of them being, by a bid that is as high.
    function isFull(StoredRound storage round, uint256 count, uint256 amount) internal view returns (bool) {
        return count == MAX_BIDS && amount <= round.bids[lowestBid(round, count)].amount;
    }

    /// @dev The place of the bid that a higher one displaces: the smallest, of equals the one with the highest place.
    function lowestBid(StoredRound storage round, uint256 count) internal view returns (uint256 place) {
        uint256 lowest = type(uint256).max;
        for (uint256 i; i < count; ++i) {
            uint256 amount = round.bids[i].amount;
            if (amount <= lowest) (place, lowest) = (i, amount);
        }
    }

    /// @dev The place of the tip of that root; reverts with NotATip.
    function placeOf(StoredRound storage round, bytes32 root) internal view returns (uint256 place) {
        (uint256 count, Packed tips) = (round.tipCount, round.tips);
        for (uint256 i; i < count; ++i) {
            place = tips.get(i);
            if (tipAt(round, place) == root) return place;
        }
        revert ErrorsLib.NotATip();
    }

    /// @dev The number of the account's seat; reverts with NotSeated.
    function seatNumberOf(StoredRound storage round, address account) internal view returns (uint256 number) {
        number = round.findSeat(account);
        if (number == round.seatCount) revert ErrorsLib.NotSeated();
    }
}
