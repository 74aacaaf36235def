// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {Bid, IRelayLedger, Phase, Tip, VoidReason} from "../interfaces/IRelayLedger.sol";
import {MAX_COMMITTEE_DRAWS} from "./ConstantsLib.sol";
import {ErrorsLib} from "./ErrorsLib.sol";
import {MarksLib} from "./MarksLib.sol";
import {Packed} from "./PackedLib.sol";
import {PaymentLib} from "./PaymentLib.sol";
import {RoundLib} from "./RoundLib.sol";
import {StoredModel, StoredRound, StoredSeat} from "./StoredTypes.sol";

/// @title Matching
/// @notice Checks the two orders that the caller sorted, leases the legs and draws the committee.
/// @dev Linked: the ledger executes it by delegatecall, on its own storage.
library MatchingLib {
    using RoundLib for StoredModel;
    using RoundLib for StoredRound;

    /// @dev Closes the bidding of a round whose deadline has passed; voids it if the committee is too small. Every
    /// leg's bond is the smallest bid that gets one.
    function matchRound(
        bytes32 id,
        StoredModel storage model,
        mapping(address account => uint256) storage freeOf,
        uint8[] calldata bidOrder,
        uint8[] calldata tipOrder
    ) external {
        StoredRound storage round = model.round;
        Bid[] memory bids = round.readBids();
        Tip[] memory tips = model.readTips();
        _checkBidOrder(bids, round.seed, bidOrder);
        _checkTipOrder(tips, round.seed, tipOrder);

        address[] memory committee = _drawCommittee(model, round.seed, bids, tips);
        if (committee.length < model.rules.quorum) {
            _void(id, model, freeOf, bids, tips);
            return;
        }
        uint256 legsPerTip = model.rules.legsPerTip;
        uint256 legs = Math.min(bids.length, tips.length * legsPerTip);
        uint96 bond = uint96(bids[bidOrder[legs - 1]].amount);
        round.bond = bond;
        for (uint256 i; i < bids.length; ++i) {
            Bid memory bid = bids[bidOrder[i]];
            _returnBid(freeOf, id, round.number, bid.trainer, i < legs ? bid.amount - bond : bid.amount);
        }
        _returnUnused(id, model, freeOf, tips, tipOrder, legs);
        _lease(id, round, bids, tips, bidOrder, tipOrder, legs, legsPerTip);
        _seat(id, model, committee);
        round.enter(id, Phase.TRAIN, model.rules.trainSeconds);
    }

    /* ORDERS */

    /// @dev Reverts with WrongOrder unless `order` names every bid once: amount descending, then hash ascending.
    function _checkBidOrder(Bid[] memory bids, bytes32 seed, uint8[] calldata order) private pure {
        if (order.length != bids.length) revert ErrorsLib.WrongOrder();
        for (uint256 i; i < order.length; ++i) {
            if (order[i] >= bids.length) revert ErrorsLib.WrongOrder();
            if (i > 0 && !_ranksBefore(bids[order[i - 1]], bids[order[i]], seed)) revert ErrorsLib.WrongOrder();
        }
    }

    /// @dev Reverts with WrongOrder unless `order` names every tip once: stalled last, then offered first, then score
    /// descending, then hash ascending.
    function _checkTipOrder(Tip[] memory tips, bytes32 seed, uint8[] calldata order) private pure {
        if (order.length != tips.length) revert ErrorsLib.WrongOrder();
        for (uint256 i; i < order.length; ++i) {
            if (order[i] >= tips.length) revert ErrorsLib.WrongOrder();
            if (i > 0 && !_ranksBefore(tips[order[i - 1]], tips[order[i]], seed)) revert ErrorsLib.WrongOrder();
        }
    }

    function _ranksBefore(Bid memory a, Bid memory b, bytes32 seed) private pure returns (bool) {
        if (a.amount != b.amount) return a.amount > b.amount;
        return sha256(abi.encodePacked(seed, a.trainer)) < sha256(abi.encodePacked(seed, b.trainer));
    }

    function _ranksBefore(Tip memory a, Tip memory b, bytes32 seed) private pure returns (bool) {
        if (a.stalled != b.stalled) return b.stalled;
        if (a.offered != b.offered) return a.offered;
        if (a.score != b.score) return a.score > b.score;
        return sha256(abi.encodePacked(seed, a.root)) < sha256(abi.encodePacked(seed, b.root));
    }

    /* COMMITTEE */

    /// @dev Draws the committee without replacement from the model's validators; who has a stake in the outcome gets no
    /// seat.
    /// @return seated The validators in seat order, at most `committeeSize`.
    function _drawCommittee(StoredModel storage model, bytes32 seed, Bid[] memory bids, Tip[] memory tips)
        private
        view
        returns (address[] memory seated)
    {
        seated = new address[](model.rules.committeeSize);
        uint256 count = model.validators.length;
        uint256 draws = count < MAX_COMMITTEE_DRAWS ? count : MAX_COMMITTEE_DRAWS;
        // Swapping moves what was at i to the drawn position; only those few positions are remembered, not the whole
        // list.
        uint256[] memory positions = new uint256[](draws);
        uint256[] memory moved = new uint256[](draws);
        uint256 size;
        for (uint256 i; i < draws && size < seated.length; ++i) {
            uint256 position = i + uint256(sha256(abi.encode(seed, i))) % (count - i);
            address candidate = model.validators[_entryAt(position, positions, moved, i)];
            moved[i] = _entryAt(i, positions, moved, i);
            positions[i] = position;
            if (_mayJudge(model, candidate, bids, tips)) seated[size++] = candidate;
        }
        assembly ("memory-safe") {
            mstore(seated, size)
        }
    }

    /// @dev The index of the validator that the first `steps` swaps left at `position`; the latest swap counts.
    function _entryAt(uint256 position, uint256[] memory positions, uint256[] memory moved, uint256 steps)
        private
        pure
        returns (uint256)
    {
        while (steps > 0) {
            --steps;
            if (positions[steps] == position) return moved[steps];
        }
        return position;
    }

    /// @dev Whether enough is left of its stake, and it is not a party to the round.
    function _mayJudge(StoredModel storage model, address candidate, Bid[] memory bids, Tip[] memory tips)
        private
        view
        returns (bool)
    {
        if (2 * uint256(model.validatorOf[candidate].stake) < model.rules.validatorStake) return false;
        for (uint256 i; i < bids.length; ++i) {
            if (bids[i].trainer == candidate) return false;
        }
        for (uint256 i; i < tips.length; ++i) {
            if (tips[i].owner == candidate) return false;
        }
        return true;
    }

    /* LEASES AND SEATS */

    /// @dev Leg j has the j-th bid in order, and each tip in order has `legsPerTip` of them.
    function _lease(
        bytes32 id,
        StoredRound storage round,
        Bid[] memory bids,
        Tip[] memory tips,
        uint8[] calldata bidOrder,
        uint8[] calldata tipOrder,
        uint256 legs,
        uint256 legsPerTip
    ) private {
        Packed[2] memory leases;
        Packed places = round.tips;
        for (uint256 i; i < legs; ++i) {
            uint8 bidIndex = bidOrder[i];
            uint8 tipIndex = tipOrder[i / legsPerTip];
            uint8 place = places.get(tipIndex);
            leases[i / 16] = leases[i / 16].with(2 * (i % 16), bidIndex).with(2 * (i % 16) + 1, place);
            Bid memory bid = bids[bidIndex];
            emit IRelayLedger.LegLeased(id, round.number, uint8(i), bid.trainer, tips[tipIndex].root, bid.segment);
        }
        round.leases[0] = leases[0];
        if (legs > 16) round.leases[1] = leases[1];
        round.legCount = uint8(legs);
    }

    function _seat(bytes32 id, StoredModel storage model, address[] memory committee) private {
        uint256 marks;
        for (uint256 i; i < committee.length; ++i) {
            StoredSeat storage seat = model.round.seats[i];
            uint128 weight = model.validatorOf[committee[i]].stake;
            bool heavy = weight >= type(uint96).max;
            seat.validator = committee[i];
            seat.weight = heavy ? type(uint96).max : uint96(weight);
            if (heavy) seat.heavy = weight;
            marks = MarksLib.withSeat(marks, i, committee[i]);
        }
        model.round.seatMarks = uint96(marks);
        model.round.seatCount = uint8(committee.length);
        emit IRelayLedger.CommitteeSeated(id, model.round.number, committee);
    }

    /* RETURNS */

    /// @dev Voids the round before anything is leased: every bid and every offer returns.
    function _void(
        bytes32 id,
        StoredModel storage model,
        mapping(address account => uint256) storage freeOf,
        Bid[] memory bids,
        Tip[] memory tips
    ) private {
        uint64 number = model.round.number;
        for (uint256 i; i < bids.length; ++i) {
            _returnBid(freeOf, id, number, bids[i].trainer, bids[i].amount);
        }
        uint256 whole = uint256(model.rules.offerDeposit) * model.rules.legsPerTip;
        for (uint256 i; i < tips.length; ++i) {
            Tip memory tip = tips[i];
            if (tip.offered) PaymentLib.returnDeposit(freeOf, id, number, tip.root, tip.owner, whole);
        }
        emit IRelayLedger.RoundVoided(id, number, VoidReason.COMMITTEE_TOO_SMALL);
        model.begin(id);
    }

    /// @dev Returns the part of each offer that none of the legs uses.
    function _returnUnused(
        bytes32 id,
        StoredModel storage model,
        mapping(address account => uint256) storage freeOf,
        Tip[] memory tips,
        uint8[] calldata tipOrder,
        uint256 legs
    ) private {
        uint256 legsPerTip = model.rules.legsPerTip;
        for (uint256 i; i < tips.length; ++i) {
            Tip memory tip = tips[tipOrder[i]];
            uint256 used = Math.min(legs, legsPerTip);
            legs -= used;
            if (!tip.offered) continue;
            uint256 unused = (legsPerTip - used) * model.rules.offerDeposit;
            PaymentLib.returnDeposit(freeOf, id, model.round.number, tip.root, tip.owner, unused);
        }
    }

    function _returnBid(
        mapping(address account => uint256) storage freeOf,
        bytes32 id,
        uint64 number,
        address trainer,
        uint256 amount
    ) private {
        if (amount == 0) return;
        freeOf[trainer] += amount;
        emit IRelayLedger.BidReturned(id, number, trainer, amount);
    }
}
