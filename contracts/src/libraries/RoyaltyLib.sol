// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {IRelayLedger} from "../interfaces/IRelayLedger.sol";
import {PaymentLib} from "./PaymentLib.sol";
import {RoundLib} from "./RoundLib.sol";
import {StoredCheckpoint, StoredModel} from "./StoredTypes.sol";

/// @title Royalties
/// @notice At each checkpoint the owner keeps a part of what is pending, the rest climbs to the parent.
library RoyaltyLib {
    using SafeCast for uint256;

    /// @dev Walks from a checkpoint towards genesis, at most `steps` checkpoints. What climbs is written only where the
    /// walk ends, as it would be taken away again by the next step.
    function collect(
        bytes32 id,
        StoredModel storage model,
        mapping(address account => uint256) storage freeOf,
        bytes32 root,
        uint256 steps
    ) internal {
        uint256 gammaBps = model.rules.gammaBps;
        uint256 climbing;
        for (; steps > 0 && root != 0; --steps) {
            StoredCheckpoint storage checkpoint = model.checkpoints[root];
            bytes32 parent = RoundLib.parentOf(model, checkpoint);
            uint256 pending = checkpoint.pending;
            if (pending > 0) checkpoint.pending = 0;
            uint256 amount = pending + climbing;
            climbing = PaymentLib.climbing(amount, gammaBps, parent);
            if (amount > 0) {
                address owner = checkpoint.owner;
                freeOf[owner] += amount - climbing;
                emit IRelayLedger.RoyaltyCollected(id, root, owner, amount - climbing, climbing, parent);
            }
            root = parent;
        }
        if (climbing > 0) model.checkpoints[root].pending += climbing.toUint128();
    }
}
