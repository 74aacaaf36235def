// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Phase, Rules} from "../interfaces/IRelayLedger.sol";
import {MAX_BIDS, MAX_COMMITTEE} from "./ConstantsLib.sol";
import {Packed} from "./PackedLib.sol";

/// @dev A model as it lies in storage; `round.number` is zero where there is none.
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
    mapping(bytes32 root => mapping(address account => bool)) bought;
    StoredRound round;
}

/// @dev `position` is the index in the list of validators plus one; zero where the account is not in the list.
/// `releaseTime` means something only while `unbonding` is not zero.
struct StoredValidator {
    uint128 stake;
    uint64 position;
    uint64 releaseTime;
    uint128 unbonding;
}

/// @dev `owner` is zero where there is no checkpoint, `parent` is zero for a genesis.
struct StoredCheckpoint {
    address owner;
    int64 score;
    uint32 round;
    bytes32 parent;
    uint128 pending;
}

/// @dev The running round. What tells how far it is lies in the first slot, which every call about the round reads.
/// The lists keep what earlier rounds left in them, because writing over it costs a quarter of writing afresh: entries
/// count only up to the list's `…Count`, children, commitments and scores only where the bit is set in `submitted` (by
/// leg), `committed` or `revealed` (by seat). Bit i of `offered` and of `stalled` belongs to tip i, bit j of
/// `equivocated` to leg j, whose bond is lost. Every leg's bond is `bond`. Bid i is for segment `segments[i]`. The
/// lease of leg j is two bytes of `leases[j / 16]`: the index of its bid, then that of its tip.
struct StoredRound {
    uint32 number;
    uint40 deadline;
    Phase phase;
    uint8 bidCount;
    uint8 tipCount;
    uint8 legCount;
    uint8 seatCount;
    uint32 offered;
    uint32 submitted;
    uint32 equivocated;
    uint16 committed;
    uint16 revealed;
    uint96 bond;
    uint32 stalled;
    bytes32 seed;
    Packed segments;
    Packed[2] leases;
    bytes32[MAX_BIDS] tips;
    StoredBid[MAX_BIDS] bids;
    bytes32[MAX_BIDS] children;
    StoredSeat[MAX_COMMITTEE] seats;
}

/// @dev One slot, which has no room for the segment.
struct StoredBid {
    address trainer;
    uint96 amount;
}

/// @dev `scores` has eight numbers of 32 bits in each word: a leg's score and, in the five highest bits, its original.
struct StoredSeat {
    address validator;
    uint128 weight;
    bytes32 commitment;
    uint256[MAX_BIDS / 8] scores;
}
