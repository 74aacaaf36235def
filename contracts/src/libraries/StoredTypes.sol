// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Phase, Rules} from "../interfaces/IRelayLedger.sol";
import {Packed} from "./PackedLib.sol";

/// @dev A model as it lies in storage; `creator` is zero where there is none.
struct StoredModel {
    Rules rules;
    address creator;
    uint64 settledRounds;
    bytes32 genesis;
    bytes32 nextSeed;
    uint128 budget;
    uint128 carry;
    address[] validators;
    mapping(address account => StoredValidator) validatorOf;
    mapping(bytes32 root => StoredCheckpoint) checkpoints;
    StoredRound round;
}

/// @dev `position` is the index in the list of validators plus one; zero where the account is not in the list.
struct StoredValidator {
    uint128 stake;
    uint64 position;
}

/// @dev `owner` is zero where there is no checkpoint, `parent` is zero for a genesis.
struct StoredCheckpoint {
    address owner;
    uint64 round;
    bytes32 parent;
    int64 score;
    uint128 pending;
}

/// @dev The running round. Bid i is for segment `segments[i]`, bit i of `offered` belongs to tip i. Leg j has the bid
/// `bidOrder[j]`, the tip `tipOrder[j / legsPerTip]` and the child `children[j]`: leasing stores two words instead of
/// the legs.
struct StoredRound {
    uint64 number;
    uint64 deadline;
    Phase phase;
    uint32 offered;
    uint8 submitted;
    uint8 committed;
    uint8 revealed;
    bytes32 seed;
    Packed segments;
    Packed bidOrder;
    Packed tipOrder;
    bytes32[] tips;
    StoredBid[] bids;
    bytes32[] children;
    StoredSeat[] seats;
}

/// @dev One slot, which has no room for the segment.
struct StoredBid {
    address trainer;
    uint96 amount;
}

/// @dev `commitment` is zero until committed, `scores` is empty until revealed (a round with seats has at least one
/// leg).
struct StoredSeat {
    address validator;
    uint128 weight;
    bytes32 commitment;
    int64[] scores;
}
