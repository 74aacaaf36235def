// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {IRelayLedger, VoidReason} from "../interfaces/IRelayLedger.sol";
import {BPS, PPM, UNAVAILABLE} from "./ConstantsLib.sol";
import {Packed, PackedLib} from "./PackedLib.sol";
import {PaymentLib} from "./PaymentLib.sol";
import {RoundLib} from "./RoundLib.sol";
import {Committee, ScoringLib, Verdict} from "./ScoringLib.sol";
import {StoredCheckpoint, StoredModel, StoredRound} from "./StoredTypes.sol";

/// @title Settlement
/// @notice Ends a round: selects legs, fills the pot and shares it out, or voids the round.
/// @dev Linked: the ledger executes it by delegatecall, on its own storage.
library SettlementLib {
    using PackedLib for uint256;
    using PaymentLib for StoredModel;
    using RoundLib for StoredModel;
    using RoundLib for StoredRound;
    using SafeCast for uint256;

    /// @dev Every leg in a class of its own: byte i is i.
    uint256 private constant OWN_CLASSES = 0x1f1e1d1c1b1a191817161514131211100f0e0d0c0b0a09080706050403020100;

    /// @dev A settlement on its way. `submitted`, `revealed` and `selected` are sets, `classes` has each leg's, the
    /// last five are amounts; `charged` does not come from the pot.
    struct Draft {
        bytes32 id;
        uint64 number;
        Lease[] legs;
        Committee committee;
        Verdict verdict;
        Packed classes;
        uint256 submitted;
        uint256 revealed;
        uint256 selected;
        bytes32 trunk;
        Packed tips;
        uint256 count;
        uint256 scoreSum;
        uint256 emission;
        uint256 pot;
        uint256 paid;
        uint256 charged;
    }

    /// @dev What settling needs to know of a leg: the index of its bid, and what the interface says of a Leg.
    struct Lease {
        uint256 bidIndex;
        bytes32 parent;
        bytes32 child;
        uint256 bid;
        uint256 deposit;
    }

    /// @dev What becomes of one leg; the amounts of the event LegSettled.
    struct Outcome {
        bool selected;
        int64 score;
        uint256 reward;
        uint256 royalty;
        uint256 bidReturned;
        uint256 forfeited;
    }

    /* SETTLEMENT */

    /// @dev Settles the running round, which is in the phase for it, and begins the next.
    function settle(
        bytes32 id,
        StoredModel storage model,
        mapping(address account => uint256) storage freeOf,
        bytes calldata legOrder,
        bytes calldata seatOrder
    ) external {
        Draft memory draft = _read(id, model);
        draft.verdict = ScoringLib.judge(
            draft.committee, draft.legs.length, draft.submitted, draft.revealed, legOrder, seatOrder
        );
        draft.classes = _classify(model, draft);

        _select(model, draft, legOrder);
        _fillPot(model, draft);
        _payLegs(model, freeOf, draft);
        _paySeats(model, freeOf, draft);
        uint256 carry = draft.pot - draft.paid + draft.charged;
        model.carry = carry.toUint128();
        model.round.settledRounds += 1;

        emit IRelayLedger.RoundSettled(id, draft.number, uint8(draft.count), draft.pot, draft.emission, carry);
        model.begin(id);
    }

    function _read(bytes32 id, StoredModel storage model) private view returns (Draft memory draft) {
        draft.id = id;
        draft.number = model.round.number;
        draft.legs = _leases(model);
        draft.committee = model.round.readCommittee();
        draft.submitted = model.round.submitted;
        draft.revealed = model.round.revealed;
    }

    function _leases(StoredModel storage model) private view returns (Lease[] memory legs) {
        StoredRound storage round = model.round;
        (uint256 submitted, uint256 equivocated, uint256 offered) = (round.submitted, round.equivocated, round.offered);
        (uint256 bond, uint256 side) = (round.bond, round.side);
        uint256 deposit = offered == 0 ? 0 : model.rules.offerDeposit;
        legs = new Lease[](round.legCount);
        Packed leases;
        for (uint256 i; i < legs.length; ++i) {
            if (i % 16 == 0) leases = round.leases[i / 16];
            uint256 place = leases.get(2 * (i % 16) + 1);
            Lease memory leg = legs[i];
            leg.bidIndex = leases.get(2 * (i % 16));
            leg.parent = round.tipAt(place);
            if (submitted.has(i)) leg.child = round.children[side][i];
            if (!equivocated.has(i)) leg.bid = bond;
            if (offered.has(place)) leg.deposit = deposit;
        }
    }

    /// @dev The class of each leg: its own, unless the model's rules know duplicates.
    function _classify(StoredModel storage model, Draft memory draft) private view returns (Packed) {
        if (model.rules.duplicateBps == 0) return Packed.wrap(OWN_CLASSES);
        return ScoringLib.classify(draft.committee, draft.legs.length, draft.revealed);
    }

    /// @dev Selects legs down the order, of each class one at most, and makes their children checkpoints and, instead
    /// of the old ones, tips.
    function _select(StoredModel storage model, Draft memory draft, bytes calldata order) private {
        uint256 taken; // classes that have a selected leg
        uint256 most = Math.max(1, _classes(draft, order) * model.rules.selectionBps / BPS);
        int64 margin = model.rules.marginPpm;
        for (uint256 i; i < order.length && draft.count < most; ++i) {
            uint256 index = PackedLib.byteAt(order, i);
            if (draft.verdict.medians[index] < margin) break;
            uint256 class = draft.classes.get(index);
            if (taken.has(class) || !_accept(model, draft, index)) continue;
            taken |= 1 << class;
        }
        if (draft.count == 0) return model.markStalled();
        StoredRound storage round = model.round;
        // The children's side becomes that of the tips.
        (round.side, round.tips, round.tipCount, round.stalled) = (1 - round.side, draft.tips, uint8(draft.count), 0);
    }

    /// @dev Makes the leg's child a checkpoint, unless it is one or its trainer has equivocated.
    function _accept(StoredModel storage model, Draft memory draft, uint256 index) private returns (bool) {
        Lease memory leg = draft.legs[index];
        StoredCheckpoint storage checkpoint = model.checkpoints[leg.child];
        if (leg.bid == 0 || checkpoint.owner != address(0)) return false;
        int64 score = draft.verdict.medians[index];
        if (draft.count == 0) model.trunk[draft.number] = draft.trunk = leg.parent;
        else if (leg.parent != draft.trunk) checkpoint.parent = leg.parent;
        checkpoint.owner = model.round.bids[leg.bidIndex].trainer;
        checkpoint.score = model.checkpoints[leg.parent].score + score;
        checkpoint.round = uint32(draft.number);
        draft.tips = draft.tips.with(draft.count++, uint8(index));
        draft.selected |= 1 << index;
        draft.scoreSum += uint64(score);
        return true;
    }

    /// @dev The number of classes of the submitted legs.
    function _classes(Draft memory draft, bytes calldata order) private pure returns (uint256 count) {
        for (uint256 i; i < order.length; ++i) {
            uint256 leg = PackedLib.byteAt(order, i);
            if (draft.classes.get(leg) == leg) ++count;
        }
    }

    /// @dev pot = carry + forfeits + slashes + emission. Silent seats are slashed when they are paid; here their loss
    /// is only foreseen.
    function _fillPot(StoredModel storage model, Draft memory draft) private {
        uint256 pot = model.carry;
        for (uint256 i; i < draft.legs.length; ++i) {
            pot += _forfeit(draft.legs[i], draft.selected.has(i));
        }
        address[] memory validators = draft.committee.validators;
        for (uint256 i; i < validators.length; ++i) {
            if (draft.revealed.has(i)) continue;
            pot += PaymentLib.portion(model.validatorOf[validators[i]].stake, model.rules.slashBps);
        }
        if (draft.count > 0) {
            uint256 halvings = model.round.settledRounds / model.rules.halvingRounds;
            draft.emission = Math.min(model.budget, uint256(model.rules.emission) >> halvings);
            model.budget -= draft.emission.toUint128();
        }
        draft.pot = pot + draft.emission;
    }

    /// @dev What the pot gets of a leg. A bid of zero is that of an equivocator, whose parent's owner is not to blame.
    function _forfeit(Lease memory leg, bool selected) private pure returns (uint256) {
        if (selected) return 0;
        bool depositToo = leg.child != 0 && leg.bid != 0;
        return depositToo ? leg.bid + leg.deposit : leg.bid;
    }

    /// @dev Pays trainers and the royalties of their parents, and returns bonds and deposits, in leg order.
    function _payLegs(StoredModel storage model, mapping(address account => uint256) storage freeOf, Draft memory draft)
        private
    {
        uint256 trainerShare = PaymentLib.portion(draft.pot, model.rules.trainerBps);
        uint256 royaltyShare = PaymentLib.portion(draft.pot, model.rules.royaltyBps);
        Outcome memory outcome;
        for (uint256 i; i < draft.legs.length; ++i) {
            Lease memory leg = draft.legs[i];
            bool selected = draft.selected.has(i);
            int64 score = draft.verdict.medians[i];
            outcome.score = score;
            outcome.selected = selected;
            outcome.forfeited = _forfeit(leg, selected);
            if (selected) {
                outcome.reward = trainerShare * uint64(score) / draft.scoreSum;
                outcome.royalty = royaltyShare * uint64(score) / draft.scoreSum;
                outcome.bidReturned = leg.bid;
                freeOf[model.round.bids[leg.bidIndex].trainer] += leg.bid + outcome.reward;
                model.checkpoints[leg.parent].pending += outcome.royalty.toUint128();
                draft.paid += outcome.reward + outcome.royalty;
            } else {
                (outcome.reward, outcome.royalty, outcome.bidReturned) = (0, 0, 0);
            }
            _emitLegSettled(draft.id, draft.number, i, leg.child, outcome);
            if (selected || leg.child == 0 || leg.bid == 0) {
                _returnDeposit(model, freeOf, draft.id, draft.number, leg);
            }
        }
    }

    /// @dev Pays or charges the seats that revealed by how well they agree with the others, and slashes the silent
    /// ones, in seat order.
    function _paySeats(
        StoredModel storage model,
        mapping(address account => uint256) storage freeOf,
        Draft memory draft
    ) private {
        address[] memory validators = draft.committee.validators;
        uint256 seatShare = PaymentLib.portion(draft.pot, model.rules.validatorBps) / validators.length;
        int64 tolerance = model.rules.agreementPpm;
        uint256 submitted = draft.submitted.size();
        uint256 most = submitted * (submitted - 1) * uint64(tolerance);
        bool compared = most > 0 && draft.revealed.size() > 1;
        int256[] memory room = new int256[](2 * submitted + 4);
        for (uint256 i; i < validators.length; ++i) {
            address validator = validators[i];
            if (!draft.revealed.has(i)) {
                // What it loses is in the pot already.
                // slither-disable-next-line unused-return
                model.slash(draft.id, validator);
            } else if (compared) {
                int256 agreement = ScoringLib.agreement(draft.verdict, i, submitted, tolerance, room);
                if (agreement > 0) _pay(freeOf, draft, validator, seatShare, uint256(agreement), most);
                if (agreement < 0) _charge(model, draft, validator, seatShare, uint256(-agreement), most);
            }
        }
    }

    function _pay(
        mapping(address account => uint256) storage freeOf,
        Draft memory draft,
        address validator,
        uint256 seatShare,
        uint256 agreement,
        uint256 most
    ) private {
        uint256 amount = seatShare * agreement / most;
        if (amount == 0) return;
        freeOf[validator] += amount;
        draft.paid += amount;
        emit IRelayLedger.ValidatorPaid(draft.id, draft.number, validator, uint64(agreement * PPM / most), amount);
    }

    function _charge(
        StoredModel storage model,
        Draft memory draft,
        address validator,
        uint256 seatShare,
        uint256 disagreement,
        uint256 most
    ) private {
        uint256 amount = Math.min(model.validatorOf[validator].stake, seatShare * disagreement / most);
        if (amount == 0) return;
        model.validatorOf[validator].stake -= amount.toUint128();
        draft.charged += amount;
        emit IRelayLedger.ValidatorCharged(draft.id, draft.number, validator, uint64(disagreement * PPM / most), amount);
    }

    /* VOIDING */

    /// @dev Voids a leased round: bids of submitted legs return, the others and slashes go to the carry, deposits
    /// return; begins the next round.
    function void(
        bytes32 id,
        StoredModel storage model,
        mapping(address account => uint256) storage freeOf,
        VoidReason reason
    ) external {
        uint64 number = model.round.number;
        Lease[] memory legs = _leases(model);
        uint256 losses;
        Outcome memory outcome;
        outcome.score = UNAVAILABLE;
        for (uint256 i; i < legs.length; ++i) {
            Lease memory leg = legs[i];
            bool submitted = leg.child != 0;
            outcome.forfeited = submitted ? 0 : leg.bid;
            outcome.bidReturned = submitted ? leg.bid : 0;
            losses += outcome.forfeited;
            if (outcome.bidReturned > 0) freeOf[model.round.bids[leg.bidIndex].trainer] += outcome.bidReturned;
            _emitLegSettled(id, number, i, leg.child, outcome);
            _returnDeposit(model, freeOf, id, number, leg);
        }
        losses += _slashSilent(id, model, reason);
        model.carry += losses.toUint128();
        model.markStalled();

        emit IRelayLedger.RoundVoided(id, number, reason);
        model.begin(id);
    }

    /// @dev Slashes the seats that stayed silent in the phase that failed; none is to blame for the trainers' silence.
    function _slashSilent(bytes32 id, StoredModel storage model, VoidReason reason) private returns (uint256 sum) {
        if (reason == VoidReason.NOTHING_SUBMITTED) return 0;
        uint256 answered = reason == VoidReason.TOO_FEW_COMMITS ? model.round.committed : model.round.revealed;
        uint256 seats = model.round.seatCount;
        for (uint256 i; i < seats; ++i) {
            if (!answered.has(i)) sum += model.slash(id, model.round.seats[i].validator);
        }
    }

    /// @dev Returns the leg's part of the offer, if its parent was offered, to the owner of that.
    function _returnDeposit(
        StoredModel storage model,
        mapping(address account => uint256) storage freeOf,
        bytes32 id,
        uint64 number,
        Lease memory leg
    ) private {
        if (leg.deposit == 0) return;
        PaymentLib.returnDeposit(freeOf, id, number, leg.parent, model.checkpoints[leg.parent].owner, leg.deposit);
    }

    /* EVENTS */

    function _emitLegSettled(bytes32 id, uint64 number, uint256 leg, bytes32 child, Outcome memory outcome) private {
        emit IRelayLedger.LegSettled(
            id,
            number,
            uint8(leg),
            child,
            outcome.score,
            outcome.selected,
            outcome.reward,
            outcome.royalty,
            outcome.bidReturned,
            outcome.forfeited
        );
    }
}
