// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IRelayLedger, Leg, Phase} from "../interfaces/IRelayLedger.sol";
import {ErrorsLib} from "./ErrorsLib.sol";
import {PaymentLib} from "./PaymentLib.sol";
import {RoundLib} from "./RoundLib.sol";
import {SignedLib} from "./SignedLib.sol";
import {StoredModel, StoredRound, StoredValidator} from "./StoredTypes.sol";

/// @title Equivocation
/// @notice Who has signed two messages where one was due loses what was at stake, in part to the caller who shows them.
library EquivocationLib {
    using PaymentLib for StoredModel;
    using RoundLib for StoredModel;

    /// @dev Takes the bond of a leg whose trainer has signed two children under its lease.
    function reportManifests(
        bytes32 id,
        StoredModel storage model,
        mapping(address account => uint256) storage freeOf,
        uint64 number,
        uint8 leg,
        bytes32[2] calldata children,
        bytes32[2] calldata r,
        bytes32[2] calldata vs
    ) internal {
        StoredRound storage round = model.round;
        if (number != round.number) revert ErrorsLib.WrongRound();
        if (round.phase == Phase.BID) revert ErrorsLib.WrongPhase();
        if (leg >= round.legCount) revert ErrorsLib.NoSuchLeg();
        if (children[0] == children[1]) revert ErrorsLib.SameMessage();
        Leg memory lease = model.readLeg(leg);
        for (uint256 i; i < 2; ++i) {
            bytes32 digest = SignedLib.legDigest(id, number, lease.parent, children[i]);
            SignedLib.check(lease.trainer, digest, r[i], vs[i]);
        }
        if (lease.bid == 0) revert ErrorsLib.NothingToSlash();

        round.equivocated |= uint32(1 << leg);
        uint256 reward = model.share(freeOf, msg.sender, lease.bid);

        emit IRelayLedger.TrainerEquivocated(id, number, leg, lease.trainer, msg.sender, lease.bid, reward);
    }

    /// @dev Takes all the stake, bonded or not, of a validator that has signed two reveals with these digests.
    function reportReveals(
        bytes32 id,
        StoredModel storage model,
        mapping(address account => uint256) storage freeOf,
        uint64 number,
        address validator,
        bytes32[2] memory digests,
        bytes32[2] calldata r,
        bytes32[2] calldata vs
    ) internal {
        if (digests[0] == digests[1]) revert ErrorsLib.SameMessage();
        for (uint256 i; i < 2; ++i) {
            SignedLib.check(validator, digests[i], r[i], vs[i]);
        }
        StoredValidator storage stored = model.validatorOf[validator];
        uint256 amount = uint256(stored.stake) + stored.unbonding;
        if (amount == 0) revert ErrorsLib.NothingToSlash();

        stored.stake = 0;
        stored.unbonding = 0;
        uint256 reward = model.share(freeOf, msg.sender, amount);

        emit IRelayLedger.ValidatorEquivocated(id, number, validator, msg.sender, amount, reward);
    }
}
