// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @dev Segments of one model.
uint256 constant MAX_SEGMENTS = 64;

/// @dev Bids, and so legs, of one round: bounds the gas of matching and settling.
uint256 constant MAX_BIDS = 32;

/// @dev Seats of one round: bounds the gas of settling.
uint256 constant MAX_COMMITTEE = 15;

/// @dev Draws when a committee is seated, however many have staked.
uint256 constant MAX_COMMITTEE_DRAWS = 48;

/// @dev Magnitude of a score, in millionths of a natural logarithm.
int64 constant MAX_SCORE_PPM = 20_000_000;

/// @dev The longest phase: thirty days.
uint256 constant MAX_PHASE_SECONDS = 30 days;

/// @dev Largest single amount; sums of 2**32 of them still fit a uint128.
uint256 constant MAX_AMOUNT_WEI = type(uint96).max;

/// @dev Upper bound for the rule `reporterBps`: who reports itself still loses half.
uint256 constant MAX_REPORTER_BPS = 5_000;

/// @dev Royalty steps in one call.
uint256 constant MAX_COLLECT_STEPS = 32;

/// @dev Basis points in a whole.
uint256 constant BPS = 10_000;

/// @dev Millionths in a whole.
uint256 constant PPM = 1_000_000;

/// @dev The segment number that stands for every segment at once.
uint8 constant WHOLE_MODEL = 255;

/// @dev The score of a child that could not be fetched, verified or decoded; it ranks below every number.
int64 constant UNAVAILABLE = type(int64).min;
