// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {IRelayLedger} from "../interfaces/IRelayLedger.sol";
import {BPS} from "./ConstantsLib.sol";
import {StoredModel, StoredValidator} from "./StoredTypes.sol";

/// @title Payments
/// @notice How deposits return, stakes are slashed, and losses are shared with who proved them.
library PaymentLib {
    using SafeCast for uint256;

    /// @dev Returns `amount` of an offer's deposit to the tip's owner.
    function returnDeposit(
        mapping(address account => uint256) storage freeOf,
        bytes32 id,
        uint64 number,
        bytes32 tip,
        address owner,
        uint256 amount
    ) internal {
        if (amount == 0) return;
        freeOf[owner] += amount;
        emit IRelayLedger.DepositReturned(id, number, tip, owner, amount);
    }

    /// @dev Takes the rule `slashBps` from the current stake of a silent seat.
    function slash(StoredModel storage model, bytes32 id, address account) internal returns (uint256 amount) {
        StoredValidator storage validator = model.validatorOf[account];
        amount = portion(validator.stake, model.rules.slashBps);
        if (amount == 0) return 0;
        validator.stake -= amount.toUint128();
        emit IRelayLedger.ValidatorSlashed(id, model.round.number, account, amount);
    }

    /// @dev Gives the reporter its share of what an equivocator has lost, the rest to the carry.
    function share(
        StoredModel storage model,
        mapping(address account => uint256) storage freeOf,
        address reporter,
        uint256 amount
    ) internal returns (uint256 reward) {
        reward = portion(amount, model.rules.reporterBps);
        freeOf[reporter] += reward;
        model.carry += (amount - reward).toUint128();
    }

    /// @dev What climbs of a royalty to the parent, the owner keeping the rest; nothing climbs from a genesis.
    function climbing(uint256 amount, uint256 gammaBps, bytes32 parent) internal pure returns (uint256) {
        return parent == 0 ? 0 : portion(amount, gammaBps);
    }

    /// @dev That many ten-thousandths of the amount, rounded down.
    function portion(uint256 amount, uint256 bps) internal pure returns (uint256) {
        return amount * bps / BPS;
    }
}
