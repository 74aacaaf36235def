// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {IRelayLedger, Leg, Rules, Seat, VoidReason} from "../interfaces/IRelayLedger.sol";
import {BPS, PPM, UNAVAILABLE} from "./ConstantsLib.sol";
import {PackedLib} from "./PackedLib.sol";
import {PaymentLib} from "./PaymentLib.sol";
import {RoundLib} from "./RoundLib.sol";
import {ScoringLib, Verdict} from "./ScoringLib.sol";
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

    /// @dev A settlement on its way. `selected` is a set of legs, the others are amounts; `charged` does not come from
    /// the pot.
    struct Draft {
        bytes32 id;
        uint64 number;
        Rules rules;
        Leg[] legs;
        Seat[] seats;
        Verdict verdict;
        uint256 submitted;
        uint256 revealed;
        uint256 selected;
        uint256 count;
        uint256 scoreSum;
        uint256 emission;
        uint256 pot;
        uint256 paid;
        uint256 charged;
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
        uint8[] calldata legOrder,
        uint8[] calldata seatOrder
    ) external {
        Draft memory draft = _read(id, model);
        draft.verdict = ScoringLib.judge(draft.legs, draft.seats, draft.submitted, draft.revealed, legOrder, seatOrder);

        draft.verdict.classes =
            ScoringLib.classify(draft.seats, draft.legs.length, draft.rules.duplicateBps > 0);

        _select(model, draft, legOrder);
        _fillPot(model, draft);
        _payLegs(model, freeOf, draft);
        _paySeats(model, freeOf, draft);
        uint256 carry = draft.pot - draft.paid + draft.charged;
        model.carry = carry.toUint128();
        model.settledRounds += 1;

        emit IRelayLedger.RoundSettled(id, draft.number, uint8(draft.count), draft.pot, draft.emission, carry);
        model.begin(id);
    }

    function _read(bytes32 id, StoredModel storage model) private view returns (Draft memory draft) {
        draft.id = id;
        draft.number = model.round.number;
        draft.rules = model.rules;
        draft.legs = model.readLegs();
        draft.seats = model.round.readSeats();
        draft.submitted = uint256(model.round.submitted).size();
        draft.revealed = uint256(model.round.revealed).size();
    }

    /// @dev Selects legs down the order, of each class one at most, and makes their children checkpoints and, instead
    /// of the old ones, tips.
    function _select(StoredModel storage model, Draft memory draft, uint8[] calldata order) private {
        uint256 taken; // classes that have a selected leg
        uint256 most = Math.max(1, _classes(draft, order) * draft.rules.selectionBps / BPS);
        for (uint256 i; i < order.length && draft.count < most; ++i) {
            uint256 index = order[i];
            int64 score = draft.verdict.medians[index];
            if (score < draft.rules.marginPpm) break;
            Leg memory leg = draft.legs[index];
            uint256 class = draft.verdict.classes.get(index);
            if (leg.bid == 0 || taken.has(class) || model.checkpoints[leg.child].owner != address(0)) continue;
            model.checkpoints[leg.child] = StoredCheckpoint({
                owner: leg.trainer,
                score: model.checkpoints[leg.parent].score + score,
                round: model.round.number,
                parent: leg.parent,
                pending: 0
            });
            model.round.tips[draft.count++] = leg.child;
            draft.selected |= 1 << index;
            taken |= 1 << class;
            draft.scoreSum += uint64(score);
        }
        if (draft.count > 0) (model.round.tipCount, model.round.stalled) = (uint8(draft.count), 0);
        else model.markStalled();
    }

    /// @dev The number of classes of the submitted legs.
    function _classes(Draft memory draft, uint8[] calldata order) private pure returns (uint256 count) {
        for (uint256 i; i < order.length; ++i) {
            if (draft.verdict.classes.get(order[i]) == order[i]) ++count;
        }
    }

    /// @dev pot = carry + forfeits + slashes + emission. Silent seats are slashed when they are paid; here their loss
    /// is only foreseen.
    function _fillPot(StoredModel storage model, Draft memory draft) private {
        uint256 pot = model.carry;
        for (uint256 i; i < draft.legs.length; ++i) {
            pot += _forfeit(draft.legs[i], draft.selected.has(i));
        }
        for (uint256 i; i < draft.seats.length; ++i) {
            if (draft.seats[i].revealed) continue;
            pot += PaymentLib.portion(model.validatorOf[draft.seats[i].validator].stake, draft.rules.slashBps);
        }
        if (draft.count > 0) {
            uint256 halvings = model.settledRounds / draft.rules.halvingRounds;
            draft.emission = Math.min(model.budget, uint256(draft.rules.emission) >> halvings);
            model.budget -= draft.emission.toUint128();
        }
        draft.pot = pot + draft.emission;
    }

    /// @dev What the pot gets of a leg. A bid of zero is that of an equivocator, whose parent's owner is not to blame.
    function _forfeit(Leg memory leg, bool selected) private pure returns (uint256) {
        if (selected) return 0;
        bool depositToo = leg.child != 0 && leg.bid != 0;
        return depositToo ? uint256(leg.bid) + leg.deposit : leg.bid;
    }

    /// @dev Pays trainers and the royalties of their parents, and returns bids and deposits, in leg order.
    function _payLegs(StoredModel storage model, mapping(address account => uint256) storage freeOf, Draft memory draft)
        private
    {
        uint256 trainerShare = PaymentLib.portion(draft.pot, draft.rules.trainerBps);
        uint256 royaltyShare = PaymentLib.portion(draft.pot, draft.rules.royaltyBps);
        for (uint256 i; i < draft.legs.length; ++i) {
            Leg memory leg = draft.legs[i];
            Outcome memory outcome;
            outcome.score = draft.verdict.medians[i];
            outcome.selected = draft.selected.has(i);
            outcome.forfeited = _forfeit(leg, outcome.selected);
            if (outcome.selected) {
                outcome.reward = trainerShare * uint64(outcome.score) / draft.scoreSum;
                outcome.royalty = royaltyShare * uint64(outcome.score) / draft.scoreSum;
                outcome.bidReturned = leg.bid;
                freeOf[leg.trainer] += outcome.bidReturned + outcome.reward;
                model.checkpoints[leg.parent].pending += outcome.royalty.toUint128();
                draft.paid += outcome.reward + outcome.royalty;
            }
            _emitLegSettled(draft.id, draft.number, i, leg.child, outcome);
            if (outcome.selected || leg.child == 0 || leg.bid == 0) {
                PaymentLib.returnDeposit(freeOf, draft.id, draft.number, leg.parent, leg.owner, leg.deposit);
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
        uint256 seatShare =
            PaymentLib.portion(draft.pot, draft.rules.validatorBps) / draft.seats.length;
        uint256 most = draft.submitted * (draft.submitted - 1) * uint64(draft.rules.agreementPpm);
        for (uint256 i; i < draft.seats.length; ++i) {
            address validator = draft.seats[i].validator;
            if (!draft.seats[i].revealed) {
                // What it loses is in the pot already.
                // slither-disable-next-line unused-return
                model.slash(draft.id, validator);
            } else if (most > 0 && draft.revealed > 1) {
                int256 agreement =
                    ScoringLib.agreement(draft.verdict.own[i], draft.verdict.others[i], draft.rules.agreementPpm);
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
        Leg[] memory legs = model.readLegs();
        uint256 losses;
        for (uint256 i; i < legs.length; ++i) {
            Leg memory leg = legs[i];
            Outcome memory outcome;
            outcome.score = UNAVAILABLE;
            if (leg.child == 0) outcome.forfeited = leg.bid;
            else outcome.bidReturned = leg.bid;
            losses += outcome.forfeited;
            if (outcome.bidReturned > 0) freeOf[leg.trainer] += outcome.bidReturned;
            _emitLegSettled(id, number, i, leg.child, outcome);
            PaymentLib.returnDeposit(freeOf, id, number, leg.parent, leg.owner, leg.deposit);
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
