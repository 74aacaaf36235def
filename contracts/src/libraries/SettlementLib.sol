// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {Leg, Seat} from "../interfaces/IRelayLedger.sol";
import {BPS} from "./ConstantsLib.sol";
import {StoredCheckpoint, StoredModel, StoredValidator} from "./StoredTypes.sol";

/// @dev What a settlement works out before it pays.
struct Settlement {
    Leg[] legs;
    Seat[] seats;
    int64[] medians; // by leg
    bool[] selected; // by leg
    uint256 count; // of the selected legs
    uint256 scoreSum; // over the selected legs
    uint256[] slashes; // by seat
    uint256 emission;
    uint256 pot;
    uint256 paid;
}

/// @title Settlement
/// @notice Selects legs and fills the pot; what is paid from it is the ledger's business.
library SettlementLib {
    using SafeCast for uint256;

    /// @dev Selects legs down the order and makes their children checkpoints and, instead of the old ones, tips.
    function select(StoredModel storage model, Settlement memory s, uint8[] calldata order) internal {
        uint256 most = Math.max(1, order.length * model.rules.selectionBps / BPS);
        s.selected = new bool[](s.legs.length);
        for (uint256 i; i < order.length && s.count < most; ++i) {
            uint256 index = order[i];
            int64 score = s.medians[index];
            if (score < model.rules.marginPpm) break;
            Leg memory leg = s.legs[index];
            if (model.checkpoints[leg.child].owner != address(0)) continue;
            model.checkpoints[leg.child] = StoredCheckpoint({
                owner: leg.trainer,
                round: model.round.number,
                parent: leg.parent,
                score: model.checkpoints[leg.parent].score + score,
                pending: 0
            });
            s.selected[index] = true;
            s.scoreSum += uint64(score);
            if (s.count++ == 0) delete model.round.tips;
            model.round.tips.push(leg.child);
        }
    }

    /// @dev pot = carry + forfeits + slashes + emission; takes the slashes and the emission.
    function fillPot(StoredModel storage model, Settlement memory s) internal {
        s.pot = model.carry;
        for (uint256 i; i < s.legs.length; ++i) {
            if (s.selected[i]) continue;
            s.pot += s.legs[i].bid;
            if (s.legs[i].child != 0) s.pot += s.legs[i].deposit;
        }
        s.slashes = new uint256[](s.seats.length);
        for (uint256 i; i < s.seats.length; ++i) {
            if (s.seats[i].revealed) continue;
            s.slashes[i] = slash(model, s.seats[i].validator);
            s.pot += s.slashes[i];
        }
        if (s.count == 0) return;
        uint256 halvings = model.settledRounds / model.rules.halvingRounds;
        s.emission = Math.min(model.budget, uint256(model.rules.emission) >> halvings);
        model.budget -= s.emission.toUint128();
        s.pot += s.emission;
    }

    /// @dev Takes the rule `slashBps` from the current stake.
    function slash(StoredModel storage model, address account) internal returns (uint256 amount) {
        StoredValidator storage validator = model.validatorOf[account];
        amount = uint256(validator.stake) * model.rules.slashBps / BPS;
        validator.stake -= amount.toUint128();
    }
}
