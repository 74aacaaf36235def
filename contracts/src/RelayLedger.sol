// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {
    Bid,
    Checkpoint,
    IRelayLedger,
    Leg,
    ModelView,
    Phase,
    RoundView,
    Rules,
    Seat,
    Tip,
    VoidReason
} from "./interfaces/IRelayLedger.sol";
import {
    BPS,
    MAX_AMOUNT_WEI,
    MAX_BIDS,
    MAX_COLLECT_STEPS,
    UNAVAILABLE,
    WHOLE_MODEL
} from "./libraries/ConstantsLib.sol";
import {ErrorsLib} from "./libraries/ErrorsLib.sol";
import {MatchingLib} from "./libraries/MatchingLib.sol";
import {MerkleLib} from "./libraries/MerkleLib.sol";
import {Packed, PackedLib} from "./libraries/PackedLib.sol";
import {RoundLib} from "./libraries/RoundLib.sol";
import {RulesLib} from "./libraries/RulesLib.sol";
import {ScoringLib} from "./libraries/ScoringLib.sol";
import {Settlement, SettlementLib} from "./libraries/SettlementLib.sol";
import {
    StoredBid,
    StoredCheckpoint,
    StoredModel,
    StoredRound,
    StoredSeat,
    StoredValidator
} from "./libraries/StoredTypes.sol";

/// @title The relay ledger
/// @notice Implements IRelayLedger, which documents it.
contract RelayLedger is IRelayLedger, ReentrancyGuardTransient {
    using RoundLib for StoredModel;
    using RoundLib for StoredRound;
    using SafeCast for uint256;
    using SafeERC20 for IERC20;
    using SettlementLib for StoredModel;

    /// @dev What becomes of one leg; the amounts of the event LegSettled.
    struct Outcome {
        bool selected;
        int64 score;
        uint256 reward;
        uint256 royalty;
        uint256 bidReturned;
        uint256 forfeited;
    }

    /* STORAGE */

    /// @inheritdoc IRelayLedger
    address public immutable token;

    /// @inheritdoc IRelayLedger
    mapping(address account => uint256) public freeOf;

    mapping(bytes32 id => StoredModel) private _models;

    /* CONSTRUCTOR */

    /// @param token_ The ERC-20 token that everything is paid in.
    constructor(address token_) {
        token = token_;
    }

    /* VIEWS */

    /// @inheritdoc IRelayLedger
    function stakeOf(bytes32 id, address account) external view returns (uint256) {
        return _existing(id).validatorOf[account].stake;
    }

    /// @inheritdoc IRelayLedger
    function validatorsOf(bytes32 id) external view returns (address[] memory) {
        return _existing(id).validators;
    }

    /// @inheritdoc IRelayLedger
    function checkpointOf(bytes32 id, bytes32 root) external view returns (Checkpoint memory) {
        StoredCheckpoint storage checkpoint = _existing(id).checkpoints[root];
        return Checkpoint({
            owner: checkpoint.owner,
            parent: checkpoint.parent,
            score: checkpoint.score,
            round: checkpoint.round,
            pending: checkpoint.pending
        });
    }

    /// @inheritdoc IRelayLedger
    function modelOf(bytes32 id) external view returns (ModelView memory) {
        StoredModel storage model = _existing(id);
        return ModelView({
            rules: model.rules,
            creator: model.creator,
            genesis: model.genesis,
            budget: model.budget,
            carry: model.carry,
            settledRounds: model.settledRounds,
            nextSeed: model.nextSeed
        });
    }

    /// @inheritdoc IRelayLedger
    function roundOf(bytes32 id) external view returns (RoundView memory result) {
        StoredModel storage model = _existing(id);
        StoredRound storage round = model.round;
        result.number = round.number;
        result.phase = round.phase;
        result.deadline = round.deadline;
        result.seed = round.seed;
        result.bids = round.readBids();
        result.tips = model.readTips();
        result.legs = model.readLegs();
        result.seats = round.readSeats();
    }

    /// @inheritdoc IRelayLedger
    function verifyLeaf(bytes32 root, bytes32 leafHash, uint256 index, uint256 count, bytes32[] calldata path)
        external
        pure
        returns (bool)
    {
        return MerkleLib.verify(root, leafHash, index, count, path);
    }

    /// @inheritdoc IRelayLedger
    function chunkLeaf(uint32 tensor, uint64 offset, uint32 length, bytes32 digest) external pure returns (bytes32) {
        return MerkleLib.chunkLeaf(tensor, offset, length, digest);
    }

    /* TOKEN MOVEMENTS */

    /// @inheritdoc IRelayLedger
    function deposit(uint256 amount) external nonReentrant {
        _checkAmount(amount);
        if (IERC20(token).balanceOf(msg.sender) < amount) revert ErrorsLib.InsufficientBalance();

        freeOf[msg.sender] += amount;

        emit Deposited(msg.sender, amount);

        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @inheritdoc IRelayLedger
    function withdraw(uint256 amount) external nonReentrant {
        _checkAmount(amount);

        _spend(amount);

        emit Withdrawn(msg.sender, amount);

        IERC20(token).safeTransfer(msg.sender, amount);
    }

    /* MODELS */

    /// @inheritdoc IRelayLedger
    function createModel(Rules memory rules, bytes32 genesis, uint256 budget) public returns (bytes32 id) {
        RulesLib.check(rules);
        if (genesis == 0) revert ErrorsLib.ZeroRoot();
        id = RulesLib.modelId(msg.sender, genesis, rules);
        StoredModel storage model = _models[id];
        if (model.creator != address(0)) revert ErrorsLib.ModelExists();
        if (budget > MAX_AMOUNT_WEI) revert ErrorsLib.AmountTooLarge();

        _spend(budget);
        model.rules = rules;
        model.creator = msg.sender;
        model.genesis = genesis;
        model.nextSeed = id;
        model.budget = budget.toUint128();
        model.checkpoints[genesis].owner = msg.sender;
        model.round.number = 1;
        model.round.seed = id;
        model.round.tips.push(genesis);

        emit ModelCreated(id, msg.sender, genesis, rules);
        if (budget > 0) emit Funded(id, msg.sender, budget);
        emit PhaseChanged(id, 1, Phase.BID, 0);
    }

    /// @inheritdoc IRelayLedger
    function fund(bytes32 id, uint256 amount) external {
        StoredModel storage model = _existing(id);
        _checkAmount(amount);

        _spend(amount);
        model.budget += amount.toUint128();

        emit Funded(id, msg.sender, amount);
    }

    /// @inheritdoc IRelayLedger
    function stake(bytes32 id, uint256 amount) external {
        StoredModel storage model = _existing(id);
        StoredValidator storage validator = model.validatorOf[msg.sender];
        _checkAmount(amount);
        if (validator.stake + amount < model.rules.validatorStake) revert ErrorsLib.StakeTooSmall();

        _spend(amount);
        validator.stake += amount.toUint128();
        if (validator.position == 0) {
            model.validators.push(msg.sender);
            validator.position = model.validators.length.toUint64();
        }

        emit Staked(id, msg.sender, amount);
    }

    /// @inheritdoc IRelayLedger
    function unstake(bytes32 id) external {
        StoredModel storage model = _existing(id);
        StoredValidator memory validator = model.validatorOf[msg.sender];
        if (validator.position == 0) revert ErrorsLib.NoStake();
        if (model.round.hasSeat(msg.sender)) revert ErrorsLib.StakeInUse();

        address last = model.validators[model.validators.length - 1];
        model.validators[validator.position - 1] = last;
        model.validatorOf[last].position = validator.position;
        model.validators.pop();
        delete model.validatorOf[msg.sender];
        freeOf[msg.sender] += validator.stake;

        emit Unstaked(id, msg.sender, validator.stake);
    }

    /* ROUNDS */

    /// @inheritdoc IRelayLedger
    function bid(bytes32 id, uint64 number, uint8 segment, uint256 amount) external {
        (StoredModel storage model, StoredRound storage round) = _running(id, number, Phase.BID);
        if (round.deadline != 0) _checkBefore(round.deadline);
        if (segment >= model.rules.segments && segment != WHOLE_MODEL) revert ErrorsLib.BadSegment();
        _checkAmount(amount);
        if (amount < model.rules.minBid) revert ErrorsLib.BidTooSmall();
        uint256 count = round.bids.length;
        if (count == MAX_BIDS) revert ErrorsLib.TooManyBids();
        for (uint256 i; i < count; ++i) {
            if (round.bids[i].trainer == msg.sender) revert ErrorsLib.AlreadyBid();
        }

        _spend(amount);
        round.bids.push(StoredBid({trainer: msg.sender, amount: amount.toUint96()}));
        round.segments = round.segments.with(count, segment);

        emit BidPlaced(id, number, msg.sender, segment, amount);
        if (count == 0) _enter(id, round, Phase.BID, model.rules.bidSeconds);
    }

    /// @inheritdoc IRelayLedger
    function offer(bytes32 id, uint64 number, bytes32 tip) external {
        (StoredModel storage model, StoredRound storage round) = _running(id, number, Phase.BID);
        if (round.deadline != 0) _checkBefore(round.deadline);
        uint256 index = round.tipIndex(tip);
        if (model.checkpoints[tip].owner != msg.sender) revert ErrorsLib.NotTheOwner();
        if ((round.offered >> index) & 1 == 1) revert ErrorsLib.AlreadyOffered();
        uint256 amount = uint256(model.rules.offerDeposit) * model.rules.legsPerTip;

        _spend(amount);
        round.offered |= uint32(1 << index);

        emit TipOffered(id, number, tip, msg.sender, amount);
    }

    /// @inheritdoc IRelayLedger
    function matchRound(bytes32 id, uint64 number, uint8[] calldata bidOrder, uint8[] calldata tipOrder) external {
        (StoredModel storage model, StoredRound storage round) = _running(id, number, Phase.BID);
        if (round.deadline == 0 || block.timestamp < round.deadline) revert ErrorsLib.TooEarly();
        Bid[] memory bids = round.readBids();
        Tip[] memory tips = model.readTips();
        MatchingLib.checkBidOrder(bids, round.seed, bidOrder);
        MatchingLib.checkTipOrder(tips, round.seed, tipOrder);

        address[] memory committee = MatchingLib.drawCommittee(model, round.seed, bids, tips);
        if (committee.length < model.rules.quorum) {
            _voidMatching(id, model, bids, tips);
            return;
        }
        round.bidOrder = PackedLib.pack(bidOrder);
        round.tipOrder = PackedLib.pack(tipOrder);
        uint256 legs = Math.min(bids.length, tips.length * model.rules.legsPerTip);
        _returnUnmatched(id, model, bids, tips, legs);
        _lease(id, model, legs);
        _seat(id, model, committee);
        _enter(id, round, Phase.TRAIN, model.rules.trainSeconds);
    }

    /// @inheritdoc IRelayLedger
    function submit(bytes32 id, uint64 number, uint8 leg, bytes32 child) external {
        (StoredModel storage model, StoredRound storage round) = _running(id, number, Phase.TRAIN);
        _checkBefore(round.deadline);
        if (leg >= round.children.length) revert ErrorsLib.NoSuchLeg();
        Leg memory lease = model.readLeg(leg);
        if (lease.trainer != msg.sender) revert ErrorsLib.NotYourLease();
        if (lease.child != 0) revert ErrorsLib.AlreadySubmitted();
        if (child == 0) revert ErrorsLib.ZeroRoot();
        if (_isCheckpoint(model, child)) revert ErrorsLib.CheckpointExists();

        round.children[leg] = child;
        round.submitted += 1;

        emit LegSubmitted(id, number, leg, msg.sender, lease.parent, child);
        if (round.submitted == round.children.length) _enter(id, round, Phase.COMMIT, model.rules.commitSeconds);
    }

    /// @inheritdoc IRelayLedger
    function commit(bytes32 id, uint64 number, bytes32 commitment) external {
        (StoredModel storage model, StoredRound storage round) = _running(id, number, Phase.COMMIT);
        _checkBefore(round.deadline);
        StoredSeat storage seat = round.seatOf(msg.sender);
        if (seat.commitment != 0) revert ErrorsLib.AlreadyCommitted();
        if (commitment == 0) revert ErrorsLib.ZeroCommitment();

        seat.commitment = commitment;
        round.committed += 1;

        emit ScoresCommitted(id, number, msg.sender, commitment);
        if (round.committed == round.seats.length) _enter(id, round, Phase.REVEAL, model.rules.revealSeconds);
    }

    /// @inheritdoc IRelayLedger
    function reveal(bytes32 id, uint64 number, int64[] calldata scores, bytes32 salt) external {
        (StoredModel storage model, StoredRound storage round) = _running(id, number, Phase.REVEAL);
        _checkBefore(round.deadline);
        StoredSeat storage seat = round.seatOf(msg.sender);
        if (seat.commitment == 0) revert ErrorsLib.NotCommitted();
        if (seat.scores.length > 0) revert ErrorsLib.AlreadyRevealed();
        ScoringLib.checkScores(scores, round.children);
        bytes32 commitment = ScoringLib.commitment(id, number, msg.sender, salt, scores);
        if (commitment != seat.commitment) revert ErrorsLib.CommitMismatch();

        seat.scores = scores;
        model.nextSeed = sha256(abi.encode(model.nextSeed, salt));
        round.revealed += 1;

        emit ScoresRevealed(id, number, msg.sender, scores, salt);
        if (round.revealed == round.committed) _enter(id, round, Phase.SETTLE, 0);
    }

    /// @inheritdoc IRelayLedger
    function advance(bytes32 id, uint64 number) external {
        StoredModel storage model = _existing(id);
        StoredRound storage round = model.round;
        if (number != round.number) revert ErrorsLib.WrongRound();
        Phase phase = round.phase;
        if (phase == Phase.BID || phase == Phase.SETTLE) revert ErrorsLib.NothingToAdvance();
        if (block.timestamp < round.deadline) revert ErrorsLib.TooEarly();

        uint8 quorum = model.rules.quorum;
        if (phase == Phase.TRAIN) {
            if (round.submitted == 0) _voidRound(id, model, VoidReason.NOTHING_SUBMITTED);
            else _enter(id, round, Phase.COMMIT, model.rules.commitSeconds);
        } else if (phase == Phase.COMMIT) {
            if (round.committed < quorum) _voidRound(id, model, VoidReason.TOO_FEW_COMMITS);
            else _enter(id, round, Phase.REVEAL, model.rules.revealSeconds);
        } else {
            if (round.revealed < quorum) _voidRound(id, model, VoidReason.TOO_FEW_REVEALS);
            else _enter(id, round, Phase.SETTLE, 0);
        }
    }

    /* SETTLEMENT */

    /// @inheritdoc IRelayLedger
    function settle(bytes32 id, uint64 number, uint8[] calldata legOrder, uint8[] calldata medianSeats) external {
        (StoredModel storage model, StoredRound storage round) = _running(id, number, Phase.SETTLE);
        Settlement memory s;
        s.legs = model.readLegs();
        s.seats = round.readSeats();
        s.medians = ScoringLib.checkMedians(s.legs, s.seats, round.submitted, legOrder, medianSeats);

        model.select(s, legOrder);
        model.fillPot(s);
        _payLegs(id, model, s);
        _payValidators(id, model, s);
        model.carry = (s.pot - s.paid).toUint128();
        model.settledRounds += 1;

        emit RoundSettled(id, number, uint8(s.count), s.pot, s.emission, s.pot - s.paid);
        _beginRound(id, model);
    }

    /* ROYALTIES */

    /// @inheritdoc IRelayLedger
    function collect(bytes32 id, bytes32 root, uint8 steps) external {
        StoredModel storage model = _existing(id);
        if (steps == 0 || steps > MAX_COLLECT_STEPS) revert ErrorsLib.BadSteps();
        if (!_isCheckpoint(model, root)) revert ErrorsLib.UnknownCheckpoint();

        for (uint256 step; step < steps && root != 0; ++step) {
            StoredCheckpoint storage checkpoint = model.checkpoints[root];
            bytes32 parent = checkpoint.parent;
            if (checkpoint.pending > 0) _collectOne(id, model, root, parent);
            root = parent;
        }
    }

    /* INTERNAL: CHECKS */

    /// @dev Reverts with UnknownModel.
    function _existing(bytes32 id) private view returns (StoredModel storage model) {
        model = _models[id];
        if (model.creator == address(0)) revert ErrorsLib.UnknownModel();
    }

    /// @dev Reverts with UnknownModel, WrongRound or WrongPhase.
    function _running(bytes32 id, uint64 number, Phase phase)
        private
        view
        returns (StoredModel storage model, StoredRound storage round)
    {
        model = _existing(id);
        round = model.round;
        if (number != round.number) revert ErrorsLib.WrongRound();
        if (phase != round.phase) revert ErrorsLib.WrongPhase();
    }

    function _checkBefore(uint64 deadline) private view {
        if (block.timestamp >= deadline) revert ErrorsLib.TooLate();
    }

    function _checkAmount(uint256 amount) private pure {
        if (amount == 0) revert ErrorsLib.ZeroAmount();
        if (amount > MAX_AMOUNT_WEI) revert ErrorsLib.AmountTooLarge();
    }

    function _isCheckpoint(StoredModel storage model, bytes32 root) private view returns (bool) {
        return model.checkpoints[root].owner != address(0);
    }

    /* INTERNAL: MONEY */

    /// @dev Takes `amount` from the caller's free balance.
    function _spend(uint256 amount) private {
        uint256 balance = freeOf[msg.sender];
        if (balance < amount) revert ErrorsLib.InsufficientBalance();
        freeOf[msg.sender] = balance - amount;
    }

    function _returnBid(bytes32 id, uint64 number, address trainer, uint256 amount) private {
        freeOf[trainer] += amount;
        emit BidReturned(id, number, trainer, amount);
    }

    function _returnDeposit(bytes32 id, uint64 number, bytes32 tip, address owner, uint256 amount) private {
        if (amount == 0) return;
        freeOf[owner] += amount;
        emit DepositReturned(id, number, tip, owner, amount);
    }

    function _collectOne(bytes32 id, StoredModel storage model, bytes32 root, bytes32 parent) private {
        StoredCheckpoint storage checkpoint = model.checkpoints[root];
        uint256 amount = checkpoint.pending;
        uint256 passed = parent == 0 ? 0 : amount * model.rules.gammaBps / BPS;
        address owner = checkpoint.owner;

        checkpoint.pending = 0;
        freeOf[owner] += amount - passed;
        if (passed > 0) model.checkpoints[parent].pending += passed.toUint128();

        emit RoyaltyCollected(id, root, owner, amount - passed, passed, parent);
    }

    /* INTERNAL: PHASES */

    /// @dev Enters `phase` for `duration` seconds; zero means that it has no deadline.
    function _enter(bytes32 id, StoredRound storage round, Phase phase, uint32 duration) private {
        uint64 deadline = duration == 0 ? 0 : block.timestamp.toUint64() + duration;
        round.phase = phase;
        round.deadline = deadline;
        emit PhaseChanged(id, round.number, phase, deadline);
    }

    /// @dev Forgets the running round, apart from its tips, and begins the next.
    function _beginRound(bytes32 id, StoredModel storage model) private {
        StoredRound storage round = model.round;
        delete round.bids;
        delete round.children;
        delete round.seats;
        round.number += 1;
        round.segments = Packed.wrap(0);
        round.offered = 0;
        round.submitted = 0;
        round.committed = 0;
        round.revealed = 0;
        round.seed = sha256(abi.encode(model.nextSeed, round.number));
        model.nextSeed = round.seed;
        _enter(id, round, Phase.BID, 0);
    }

    /* INTERNAL: MATCHING */

    /// @dev Returns the bids that found no tip and the part of each offer that no leg uses.
    function _returnUnmatched(
        bytes32 id,
        StoredModel storage model,
        Bid[] memory bids,
        Tip[] memory tips,
        uint256 legs
    ) private {
        StoredRound storage round = model.round;
        for (uint256 i = legs; i < bids.length; ++i) {
            Bid memory unmatched = bids[round.bidOrder.get(i)];
            _returnBid(id, round.number, unmatched.trainer, unmatched.amount);
        }
        for (uint256 i; i < tips.length; ++i) {
            Tip memory tip = tips[round.tipOrder.get(i)];
            uint256 used = Math.min(legs, model.rules.legsPerTip);
            legs -= used;
            uint256 unused = tip.offered ? (model.rules.legsPerTip - used) * model.rules.offerDeposit : 0;
            _returnDeposit(id, round.number, tip.root, tip.owner, unused);
        }
    }

    function _lease(bytes32 id, StoredModel storage model, uint256 legs) private {
        for (uint256 i; i < legs; ++i) {
            model.round.children.push();
            Leg memory leg = model.readLeg(i);
            emit LegLeased(id, model.round.number, uint8(i), leg.trainer, leg.parent, leg.segment);
        }
    }

    function _seat(bytes32 id, StoredModel storage model, address[] memory committee) private {
        for (uint256 i; i < committee.length; ++i) {
            StoredSeat storage seat = model.round.seats.push();
            seat.validator = committee[i];
            seat.weight = model.validatorOf[committee[i]].stake;
        }
        emit CommitteeSeated(id, model.round.number, committee);
    }

    /* INTERNAL: VOIDING */

    /// @dev Voids the round before anything is leased: every bid and every offer returns.
    function _voidMatching(bytes32 id, StoredModel storage model, Bid[] memory bids, Tip[] memory tips) private {
        uint64 number = model.round.number;
        for (uint256 i; i < bids.length; ++i) {
            _returnBid(id, number, bids[i].trainer, bids[i].amount);
        }
        uint256 whole = uint256(model.rules.offerDeposit) * model.rules.legsPerTip;
        for (uint256 i; i < tips.length; ++i) {
            if (tips[i].offered) _returnDeposit(id, number, tips[i].root, tips[i].owner, whole);
        }
        emit RoundVoided(id, number, VoidReason.COMMITTEE_TOO_SMALL);
        _beginRound(id, model);
    }

    /// @dev Voids a leased round: bids of submitted legs return, the others and slashes go to the carry, deposits
    /// return.
    function _voidRound(bytes32 id, StoredModel storage model, VoidReason reason) private {
        uint64 number = model.round.number;
        Leg[] memory legs = model.readLegs();
        uint256 forfeits;
        for (uint256 i; i < legs.length; ++i) {
            Leg memory leg = legs[i];
            Outcome memory outcome;
            outcome.score = UNAVAILABLE;
            if (leg.child == 0) outcome.forfeited = leg.bid;
            else outcome.bidReturned = leg.bid;
            forfeits += outcome.forfeited;
            freeOf[leg.trainer] += outcome.bidReturned;
            _emitLegSettled(id, number, i, leg.child, outcome);
            _returnDeposit(id, number, leg.parent, leg.owner, leg.deposit);
        }
        if (reason != VoidReason.NOTHING_SUBMITTED) forfeits += _slashSilent(id, model, reason);
        model.carry += forfeits.toUint128();

        emit RoundVoided(id, number, reason);
        _beginRound(id, model);
    }

    /// @dev Slashes the seats that stayed silent in the phase that failed.
    function _slashSilent(bytes32 id, StoredModel storage model, VoidReason reason) private returns (uint256 sum) {
        Seat[] memory seats = model.round.readSeats();
        for (uint256 i; i < seats.length; ++i) {
            bool answered = reason == VoidReason.TOO_FEW_COMMITS ? seats[i].commitment != 0 : seats[i].revealed;
            if (answered) continue;
            uint256 amount = model.slash(seats[i].validator);
            sum += amount;
            if (amount > 0) emit ValidatorSlashed(id, model.round.number, seats[i].validator, amount);
        }
    }

    /* INTERNAL: SETTLING */

    /// @dev Pays trainers and the royalties of their parents, and returns bids and deposits, in leg order.
    function _payLegs(bytes32 id, StoredModel storage model, Settlement memory s) private {
        uint64 number = model.round.number;
        uint256 trainerShare = s.pot * model.rules.trainerBps / BPS;
        uint256 royaltyShare = s.pot * model.rules.royaltyBps / BPS;
        for (uint256 i; i < s.legs.length; ++i) {
            Leg memory leg = s.legs[i];
            Outcome memory outcome;
            outcome.score = s.medians[i];
            outcome.selected = s.selected[i];
            if (outcome.selected) {
                outcome.reward = trainerShare * uint64(outcome.score) / s.scoreSum;
                outcome.royalty = royaltyShare * uint64(outcome.score) / s.scoreSum;
                outcome.bidReturned = leg.bid;
                freeOf[leg.trainer] += outcome.bidReturned + outcome.reward;
                model.checkpoints[leg.parent].pending += outcome.royalty.toUint128();
                s.paid += outcome.reward + outcome.royalty;
            } else {
                outcome.forfeited = leg.child == 0 ? leg.bid : uint256(leg.bid) + leg.deposit;
            }
            _emitLegSettled(id, number, i, leg.child, outcome);
            if (outcome.selected || leg.child == 0) {
                _returnDeposit(id, number, leg.parent, leg.owner, leg.deposit);
            }
        }
    }

    /// @dev Pays the seats that agreed with the medians, in seat order; records the slashes of the silent ones.
    function _payValidators(bytes32 id, StoredModel storage model, Settlement memory s) private {
        uint8[] memory agreed = new uint8[](s.seats.length);
        uint256 agreedSum;
        for (uint256 i; i < s.seats.length; ++i) {
            agreed[i] = ScoringLib.agreements(s.seats[i], s.legs, s.medians, model.rules.agreementPpm);
            agreedSum += agreed[i];
        }
        uint256 share = s.pot * model.rules.validatorBps / BPS;
        for (uint256 i; i < s.seats.length; ++i) {
            address validator = s.seats[i].validator;
            uint256 amount = agreedSum == 0 ? 0 : share * agreed[i] / agreedSum;
            if (s.slashes[i] > 0) emit ValidatorSlashed(id, model.round.number, validator, s.slashes[i]);
            if (amount == 0) continue;
            freeOf[validator] += amount;
            s.paid += amount;
            emit ValidatorPaid(id, model.round.number, validator, agreed[i], amount);
        }
    }

    function _emitLegSettled(bytes32 id, uint64 number, uint256 leg, bytes32 child, Outcome memory outcome) private {
        emit LegSettled(
            id,
            number,
            uint8(leg),
            child,
            outcome.score,
            outcome.selected,
            outcome.reward,
            outcome.royalty,
            outcome.bidReturned,
            outcome.forfeited
        );
    }
}
