// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Rules} from "../interfaces/IRelayLedger.sol";
import {
    BPS,
    MAX_AMOUNT_WEI,
    MAX_BIDS,
    MAX_COMMITTEE,
    MAX_PHASE_SECONDS,
    MAX_REPORTER_BPS,
    MAX_SCORE_PPM,
    MAX_SEGMENTS
} from "./ConstantsLib.sol";
import {ErrorsLib} from "./ErrorsLib.sol";
import {StoredRules} from "./StoredTypes.sol";

/// @title Rules of a model
library RulesLib {
    /// @dev Reverts with BadRules if a field is outside its bounds or the fields contradict each other.
    function check(Rules memory rules) internal pure {
        _checkRange(rules.legsPerTip, 1, MAX_BIDS);
        _checkRange(rules.selectionBps, 1, BPS);
        _checkRange(rules.segments, 1, MAX_SEGMENTS);
        _checkRange(rules.bidSeconds, 1, MAX_PHASE_SECONDS);
        _checkRange(rules.trainSeconds, 1, MAX_PHASE_SECONDS);
        _checkRange(rules.commitSeconds, 1, MAX_PHASE_SECONDS);
        _checkRange(rules.revealSeconds, 1, MAX_PHASE_SECONDS);
        _checkRange(rules.committeeSize, 1, MAX_COMMITTEE);
        _checkRange(rules.quorum, 1, rules.committeeSize);
        _checkScore(rules.marginPpm, 1);
        _checkScore(rules.agreementPpm, 1);
        _checkRange(rules.duplicateBps, 0, BPS);
        _checkRange(rules.gammaBps, 0, BPS);
        _checkRange(rules.slashBps, 0, BPS);
        // Each share is at most the sum, so that its own bound needs no check.
        uint256 shares = uint256(rules.trainerBps) + rules.royaltyBps + rules.validatorBps;
        _checkRange(shares, BPS, BPS);
        _checkRange(rules.minBid, 1, MAX_AMOUNT_WEI);
        _checkRange(rules.offerDeposit, 0, MAX_AMOUNT_WEI);
        _checkRange(rules.validatorStake, 1, MAX_AMOUNT_WEI);
        _checkRange(rules.emission, 0, MAX_AMOUNT_WEI);
        _checkRange(rules.halvingRounds, 1, type(uint32).max);
        _checkRange(rules.unbondingSeconds, 0, MAX_PHASE_SECONDS);
        _checkRange(rules.reporterBps, 0, MAX_REPORTER_BPS);
        _checkRange(rules.accessFee, 0, MAX_AMOUNT_WEI);
        _checkRange(rules.accessPotBps, 0, BPS);
    }

    /// @dev The model's id: SHA-256 over one word for each of creator, genesis root and rules.
    function modelId(address creator, bytes32 genesis, Rules memory rules) internal pure returns (bytes32) {
        return sha256(abi.encode(creator, genesis, rules));
    }

    /// @dev Stores rules that have been checked: none is too large for its place.
    function write(StoredRules storage stored, Rules memory rules) internal {
        stored.legsPerTip = rules.legsPerTip;
        stored.segments = rules.segments;
        stored.committeeSize = rules.committeeSize;
        stored.quorum = rules.quorum;
        stored.bidSeconds = rules.bidSeconds;
        stored.trainSeconds = rules.trainSeconds;
        stored.commitSeconds = rules.commitSeconds;
        stored.revealSeconds = rules.revealSeconds;
        stored.minBid = uint96(rules.minBid);
        stored.selectionBps = rules.selectionBps;
        stored.duplicateBps = rules.duplicateBps;
        stored.marginPpm = int32(rules.marginPpm);
        stored.agreementPpm = int32(rules.agreementPpm);
        stored.gammaBps = rules.gammaBps;
        stored.trainerBps = rules.trainerBps;
        stored.royaltyBps = rules.royaltyBps;
        stored.validatorBps = rules.validatorBps;
        stored.slashBps = rules.slashBps;
        stored.halvingRounds = rules.halvingRounds;
        stored.reporterBps = rules.reporterBps;
        stored.accessPotBps = rules.accessPotBps;
        stored.emission = uint96(rules.emission);
        stored.offerDeposit = uint96(rules.offerDeposit);
        stored.unbondingSeconds = rules.unbondingSeconds;
        stored.validatorStake = uint96(rules.validatorStake);
        stored.accessFee = uint96(rules.accessFee);
    }

    function read(StoredRules storage stored) internal view returns (Rules memory rules) {
        rules.legsPerTip = stored.legsPerTip;
        rules.segments = stored.segments;
        rules.committeeSize = stored.committeeSize;
        rules.quorum = stored.quorum;
        rules.bidSeconds = stored.bidSeconds;
        rules.trainSeconds = stored.trainSeconds;
        rules.commitSeconds = stored.commitSeconds;
        rules.revealSeconds = stored.revealSeconds;
        rules.minBid = stored.minBid;
        rules.selectionBps = stored.selectionBps;
        rules.duplicateBps = stored.duplicateBps;
        rules.marginPpm = stored.marginPpm;
        rules.agreementPpm = stored.agreementPpm;
        rules.gammaBps = stored.gammaBps;
        rules.trainerBps = stored.trainerBps;
        rules.royaltyBps = stored.royaltyBps;
        rules.validatorBps = stored.validatorBps;
        rules.slashBps = stored.slashBps;
        rules.halvingRounds = stored.halvingRounds;
        rules.reporterBps = stored.reporterBps;
        rules.accessPotBps = stored.accessPotBps;
        rules.emission = stored.emission;
        rules.offerDeposit = stored.offerDeposit;
        rules.unbondingSeconds = stored.unbondingSeconds;
        rules.validatorStake = stored.validatorStake;
        rules.accessFee = stored.accessFee;
    }

    function _checkRange(uint256 value, uint256 low, uint256 high) private pure {
        if (value < low || value > high) revert ErrorsLib.BadRules();
    }

    function _checkScore(int64 value, int64 low) private pure {
        if (value < low || value > MAX_SCORE_PPM) revert ErrorsLib.BadRules();
    }
}
