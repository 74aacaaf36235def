// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Phase} from "../interfaces/IRelayLedger.sol";
import {MAX_BIDS, MAX_COMMITTEE} from "./ConstantsLib.sol";
import {Packed} from "./PackedLib.sol";

/// @dev A model as it lies in storage; `round.number` is zero where there is none. `trunk` has for each settled round
/// the parent of the first leg that it selected.
struct StoredModel {
    StoredRules rules;
    address creator;
    bytes32 genesis;
    bytes32 nextSeed;
    uint128 budget;
    uint128 carry;
    address[] validators;
    mapping(address account => StoredValidator) validatorOf;
    mapping(bytes32 root => StoredCheckpoint) checkpoints;
    mapping(uint256 round => bytes32) trunk;
    mapping(bytes32 root => mapping(address account => bool)) bought;
    StoredRound round;
}

/// @dev The interface's rules, each as large as RulesLib lets it be. One slot has what is asked before the legs run,
/// another what is asked afterwards, and the rest is amounts and a time.
struct StoredRules {
    uint8 legsPerTip;
    uint8 segments;
    uint8 committeeSize;
    uint8 quorum;
    uint32 bidSeconds;
    uint32 trainSeconds;
    uint32 commitSeconds;
    uint32 revealSeconds;
    uint96 minBid;
    uint16 selectionBps;
    uint16 duplicateBps;
    int32 marginPpm;
    int32 agreementPpm;
    uint16 gammaBps;
    uint16 trainerBps;
    uint16 royaltyBps;
    uint16 validatorBps;
    uint16 slashBps;
    uint32 halvingRounds;
    uint16 reporterBps;
    uint16 accessPotBps;
    uint96 emission;
    uint96 offerDeposit;
    uint32 unbondingSeconds;
    uint96 validatorStake;
    uint96 accessFee;
}

/// @dev `position` is the index in the list of validators plus one; zero where the account is not in the list.
/// `releaseTime` means something only while `unbonding` is not zero.
struct StoredValidator {
    uint128 stake;
    uint64 position;
    uint64 releaseTime;
    uint128 unbonding;
}

/// @dev `owner` is zero where there is no checkpoint. `parent` is zero for one whose parent is that of its round in the
/// trunk, and for a genesis, as round zero has none.
struct StoredCheckpoint {
    address owner;
    int64 score;
    uint32 round;
    bytes32 parent;
    uint128 pending;
}

/// @dev The running round. What tells how far it is lies in the first slot, which every call about the round reads.
/// The lists keep what earlier rounds left in them, because writing over it costs a quarter of writing afresh: entries
/// count only up to the list's count, children, commitments and scores only where the bit is set in `submitted` (by
/// leg), `committed` or `revealed` (by seat). Bit j of `equivocated` belongs to leg j, whose bond is lost.
/// Children lie by leg number on one `side`, and the children of the round that made the tips on the other: tip i is at
/// place `tips[i]` there, and bit p of `offered` and of `stalled` belongs to the tip at place p. The lease of leg j is
/// two bytes of `leases[j / 16]`: the index of its bid, then the place of its tip. Every leg's bond is `bond`.
/// `bidMarks`: see MarksLib. `seatMarks` has six bits of each seat's account.
struct StoredRound {
    uint32 number;
    uint40 deadline;
    Phase phase;
    uint8 tipCount;
    uint8 legCount;
    uint8 seatCount;
    uint8 side;
    uint16 committed;
    uint16 revealed;
    uint32 submitted;
    uint32 equivocated;
    uint32 settledRounds;
    uint96 bond;
    uint32 offered;
    uint32 stalled;
    uint96 seatMarks;
    bytes32 seed;
    Packed tips;
    uint256[2] bidMarks;
    Packed[2] leases;
    StoredBid[MAX_BIDS] bids;
    bytes32[MAX_BIDS][2] children;
    StoredSeat[MAX_COMMITTEE] seats;
}

/// @dev One slot, which has no room for the segment.
struct StoredBid {
    address trainer;
    uint96 amount;
}

/// @dev A weight that has no room beside the validator is the greatest number there, and lies in `heavy`. `scores` has
/// eight numbers of 32 bits in each word: a leg's score and, in the five highest bits, its original.
struct StoredSeat {
    address validator;
    uint96 weight;
    bytes32 commitment;
    uint256[MAX_BIDS / 8] scores;
    uint128 heavy;
}
