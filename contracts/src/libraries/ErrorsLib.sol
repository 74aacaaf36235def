// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Custom errors
/// @notice Each is the name of a `Reason` in the Python reference.
library ErrorsLib {
    /// @notice Thrown when a rule is outside its bounds, the shares do not add up, or the quorum exceeds the committee.
    error BadRules();

    /// @notice Thrown when the same creator has created a model of the same genesis and rules.
    error ModelExists();

    /// @notice Thrown when no model has that id.
    error UnknownModel();

    /// @notice Thrown when the model has no checkpoint of that root.
    error UnknownCheckpoint();

    /// @notice Thrown when the child is already a checkpoint of the model.
    error CheckpointExists();

    /// @notice Thrown when a root is zero.
    error ZeroRoot();

    /// @notice Thrown when an amount exceeds MAX_AMOUNT_WEI.
    error AmountTooLarge();

    /// @notice Thrown when an amount is zero.
    error ZeroAmount();

    /// @notice Thrown when the free balance, or for a deposit the wallet, is smaller than the amount.
    error InsufficientBalance();

    /// @notice Thrown when the number is not that of the running round.
    error WrongRound();

    /// @notice Thrown when the round is in another phase.
    error WrongPhase();

    /// @notice Thrown when the deadline has not passed yet.
    error TooEarly();

    /// @notice Thrown when the deadline has passed.
    error TooLate();

    /// @notice Thrown when a bid is below the rule `minBid`.
    error BidTooSmall();

    /// @notice Thrown when the account has bid in this round.
    error AlreadyBid();

    /// @notice Thrown when the round has MAX_BIDS bids, none of them lower.
    error TooManyBids();

    /// @notice Thrown when the model has no such segment.
    error BadSegment();

    /// @notice Thrown when the root is not a tip of the round.
    error NotATip();

    /// @notice Thrown when the caller does not own the tip.
    error NotTheOwner();

    /// @notice Thrown when the tip has been offered in this round.
    error AlreadyOffered();

    /// @notice Thrown when an order is incomplete, names something twice or something absent, or is not descending.
    error WrongOrder();

    /// @notice Thrown when the round has no leg of that number.
    error NoSuchLeg();

    /// @notice Thrown when the caller does not hold the lease.
    error NotYourLease();

    /// @notice Thrown when the leg has been submitted.
    error AlreadySubmitted();

    /// @notice Thrown when the caller has no seat in the round.
    error NotSeated();

    /// @notice Thrown when the seat has committed.
    error AlreadyCommitted();

    /// @notice Thrown when a commitment is zero.
    error ZeroCommitment();

    /// @notice Thrown when the seat has not committed.
    error NotCommitted();

    /// @notice Thrown when the seat has revealed.
    error AlreadyRevealed();

    /// @notice Thrown when scores and salt are not what was committed to.
    error CommitMismatch();

    /// @notice Thrown when there is not one valid score for each leg, UNAVAILABLE for those not submitted.
    error BadScores();

    /// @notice Thrown when a leg's seats are incomplete, named twice, did not reveal, or are not ascending by score.
    error WrongSeatOrder();

    /// @notice Thrown when the account has a seat in the running round.
    error StakeInUse();

    /// @notice Thrown when the account is not in the list of validators.
    error NoStake();

    /// @notice Thrown when the stake would be below the rule `validatorStake`.
    error StakeTooSmall();

    /// @notice Thrown when no stake of the account is unbonding.
    error NothingUnbonding();

    /// @notice Thrown when the phase has no deadline to enforce.
    error NothingToAdvance();

    /// @notice Thrown when the number of steps is not 1 … MAX_COLLECT_STEPS.
    error BadSteps();

    /// @notice Thrown when the model asks no fee for access.
    error NotForSale();

    /// @notice Thrown when the account has bought access to the checkpoint.
    error AlreadyBought();

    /// @notice Thrown when a signature is malformed or not the named account's.
    error BadSignature();

    /// @notice Thrown when the two messages of a report do not differ.
    error SameMessage();

    /// @notice Thrown when the reported account has nothing left to lose.
    error NothingToSlash();
}
