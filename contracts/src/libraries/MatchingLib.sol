// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {IRelayLedger, Phase, Tip, VoidReason} from "../interfaces/IRelayLedger.sol";
import {MAX_COMMITTEE_DRAWS} from "./ConstantsLib.sol";
import {ErrorsLib} from "./ErrorsLib.sol";
import {MarksLib} from "./MarksLib.sol";
import {Packed, PackedLib} from "./PackedLib.sol";
import {PaymentLib} from "./PaymentLib.sol";
import {RoundLib} from "./RoundLib.sol";
import {StoredBid, StoredModel, StoredRound, StoredSeat} from "./StoredTypes.sol";

/// @title Matching
/// @notice Checks the two orders that the caller sorted, leases the legs and draws the committee.
/// @dev Linked: the ledger executes it by delegatecall, on its own storage.
library MatchingLib {
    using MarksLib for StoredRound;
    using PackedLib for uint256;
    using RoundLib for StoredModel;
    using RoundLib for StoredRound;

    /// @dev Closes the bidding of a round whose deadline has passed; voids it if the committee is too small. Every
    /// leg's bond is the smallest bid that gets one.
    function matchRound(
        bytes32 id,
        StoredModel storage model,
        mapping(address account => uint256) storage freeOf,
        bytes calldata bidOrder,
        bytes calldata tipOrder
    ) external {
        StoredRound storage round = model.round;
        uint64 number = round.number;
        uint256[] memory bids = _readBids(round);
        Tip[] memory tips = model.readTips();
        uint256[] memory ranked = _ranked(bids, round.seed, bidOrder);
        _checkTipOrder(tips, round.seed, tipOrder);

        address[] memory committee = _drawCommittee(model, round.seed, bids, tips);
        if (committee.length < model.rules.quorum) {
            _void(id, model, freeOf, bids, tips);
            return;
        }
        uint256 legsPerTip = model.rules.legsPerTip;
        uint256 legs = Math.min(bids.length, tips.length * legsPerTip);
        uint256 bond = _amount(ranked[legs - 1]);
        round.bond = uint96(bond);
        for (uint256 i; i < ranked.length; ++i) {
            uint256 bid = ranked[i];
            _returnBid(freeOf, id, number, _trainer(bid), i < legs ? _amount(bid) - bond : _amount(bid));
        }
        _returnUnused(id, model, freeOf, tips, tipOrder, legs);
        _lease(id, round, ranked, tips, bidOrder, tipOrder, legsPerTip, legs);
        _seat(id, model, committee);
        round.enter(id, Phase.TRAIN, model.rules.trainSeconds);
    }

    /* BIDS */

    /// @dev The bids, each in one word as in storage: the trainer, and above it the amount.
    function _readBids(StoredRound storage round) private view returns (uint256[] memory bids) {
        bids = new uint256[](round.bidCount());
        for (uint256 i; i < bids.length; ++i) {
            StoredBid storage bid = round.bids[i];
            bids[i] = (uint256(bid.amount) << 160) | uint160(bid.trainer);
        }
    }

    function _trainer(uint256 bid) private pure returns (address) {
        return address(uint160(bid));
    }

    function _amount(uint256 bid) private pure returns (uint256) {
        return bid >> 160;
    }

    /* ORDERS */

    /// @dev The bids in that order. Reverts with WrongOrder unless it names every bid once: amount descending, then
    /// hash ascending.
    function _ranked(uint256[] memory bids, bytes32 seed, bytes calldata order)
        private
        pure
        returns (uint256[] memory ranked)
    {
        if (order.length != bids.length) revert ErrorsLib.WrongOrder();
        ranked = new uint256[](bids.length);
        uint256 above;
        for (uint256 i; i < ranked.length; ++i) {
            uint256 index = PackedLib.byteAt(order, i);
            if (index >= bids.length) revert ErrorsLib.WrongOrder();
            uint256 bid = bids[index];
            if (i > 0 && !_ranksBefore(above, bid, seed)) revert ErrorsLib.WrongOrder();
            ranked[i] = above = bid;
        }
    }

    /// @dev Reverts with WrongOrder unless `order` names every tip once: stalled last, then offered first, then score
    /// descending, then hash ascending.
    function _checkTipOrder(Tip[] memory tips, bytes32 seed, bytes calldata order) private pure {
        if (order.length != tips.length) revert ErrorsLib.WrongOrder();
        Tip memory above;
        for (uint256 i; i < order.length; ++i) {
            uint256 index = PackedLib.byteAt(order, i);
            if (index >= tips.length) revert ErrorsLib.WrongOrder();
            Tip memory tip = tips[index];
            if (i > 0 && !_ranksBefore(above, tip, seed)) revert ErrorsLib.WrongOrder();
            above = tip;
        }
    }

    function _ranksBefore(uint256 a, uint256 b, bytes32 seed) private pure returns (bool) {
        if (_amount(a) != _amount(b)) return _amount(a) > _amount(b);
        return sha256(abi.encodePacked(seed, _trainer(a))) < sha256(abi.encodePacked(seed, _trainer(b)));
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
    function _drawCommittee(StoredModel storage model, bytes32 seed, uint256[] memory bids, Tip[] memory tips)
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
        uint256 marks = _marksOfParties(bids, tips);
        uint256 size;
        for (uint256 i; i < draws && size < seated.length; ++i) {
            uint256 position = i + uint256(sha256(abi.encode(seed, i))) % (count - i);
            address candidate = model.validators[_entryAt(position, positions, moved, i)];
            moved[i] = _entryAt(i, positions, moved, i);
            positions[i] = position;
            if (_mayJudge(model, candidate, marks, bids, tips)) seated[size++] = candidate;
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

    /// @dev A set with the last eight bits of each account that is a party to the round.
    function _marksOfParties(uint256[] memory bids, Tip[] memory tips) private pure returns (uint256 marks) {
        for (uint256 i; i < bids.length; ++i) {
            marks |= 1 << uint8(bids[i]);
        }
        for (uint256 i; i < tips.length; ++i) {
            marks |= 1 << uint8(uint160(tips[i].owner));
        }
    }

    /// @dev Whether enough is left of its stake, and it is not a party to the round.
    function _mayJudge(
        StoredModel storage model,
        address candidate,
        uint256 marks,
        uint256[] memory bids,
        Tip[] memory tips
    ) private view returns (bool) {
        if (2 * uint256(model.validatorOf[candidate].stake) < model.rules.validatorStake) return false;
        if (!marks.has(uint8(uint160(candidate)))) return true;
        for (uint256 i; i < bids.length; ++i) {
            if (_trainer(bids[i]) == candidate) return false;
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
        uint256[] memory ranked,
        Tip[] memory tips,
        bytes calldata bidOrder,
        bytes calldata tipOrder,
        uint256 legsPerTip,
        uint256 legs
    ) private {
        uint64 number = round.number;
        uint256[2] memory leases;
        for (uint256 i; i < legs; ++i) {
            uint256 bidIndex = PackedLib.byteAt(bidOrder, i);
            uint256 tipIndex = PackedLib.byteAt(tipOrder, i / legsPerTip);
            leases[i / 16] |= (bidIndex | (uint256(round.tips.get(tipIndex)) << 8)) << (16 * (i % 16));
            bytes32 parent = tips[tipIndex].root;
            emit IRelayLedger.LegLeased(id, number, uint8(i), _trainer(ranked[i]), parent, round.segmentOf(bidIndex));
        }
        round.leases[0] = Packed.wrap(leases[0]);
        if (legs > 16) round.leases[1] = Packed.wrap(leases[1]);
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
        uint256[] memory bids,
        Tip[] memory tips
    ) private {
        uint64 number = model.round.number;
        for (uint256 i; i < bids.length; ++i) {
            _returnBid(freeOf, id, number, _trainer(bids[i]), _amount(bids[i]));
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
        bytes calldata tipOrder,
        uint256 legs
    ) private {
        uint256 legsPerTip = model.rules.legsPerTip;
        for (uint256 i; i < tips.length; ++i) {
            Tip memory tip = tips[PackedLib.byteAt(tipOrder, i)];
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
