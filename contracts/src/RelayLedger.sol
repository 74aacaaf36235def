// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {
    Checkpoint,
    IRelayLedger,
    ModelView,
    Phase,
    RoundView,
    Rules,
    SignedBid,
    SignedChild,
    SignedCommit,
    SignedReveal,
    VoidReason
} from "./interfaces/IRelayLedger.sol";
import {ActionLib} from "./libraries/ActionLib.sol";
import {MAX_AMOUNT_WEI, MAX_COLLECT_STEPS, WHOLE_MODEL} from "./libraries/ConstantsLib.sol";
import {EquivocationLib} from "./libraries/EquivocationLib.sol";
import {ErrorsLib} from "./libraries/ErrorsLib.sol";
import {MarksLib} from "./libraries/MarksLib.sol";
import {MatchingLib} from "./libraries/MatchingLib.sol";
import {MerkleLib} from "./libraries/MerkleLib.sol";
import {PackedLib} from "./libraries/PackedLib.sol";
import {PaymentLib} from "./libraries/PaymentLib.sol";
import {RoundLib} from "./libraries/RoundLib.sol";
import {RoyaltyLib} from "./libraries/RoyaltyLib.sol";
import {RulesLib} from "./libraries/RulesLib.sol";
import {SettlementLib} from "./libraries/SettlementLib.sol";
import {SignedLib} from "./libraries/SignedLib.sol";
import {StoredCheckpoint, StoredModel, StoredRound, StoredValidator} from "./libraries/StoredTypes.sol";

/// @title The relay ledger
/// @notice Implements IRelayLedger, which documents it.
contract RelayLedger is IRelayLedger, EIP712, ReentrancyGuardTransient {
    using MarksLib for StoredRound;
    using PackedLib for uint256;
    using PaymentLib for StoredModel;
    using RoundLib for StoredModel;
    using RoundLib for StoredRound;
    using SafeCast for uint256;
    using SafeERC20 for IERC20;

    /* STORAGE */

    /// @inheritdoc IRelayLedger
    address public immutable token;

    /// @inheritdoc IRelayLedger
    mapping(address account => uint256) public freeOf;

    // Written through storage pointers, which slither does not follow.
    // slither-disable-next-line uninitialized-state
    mapping(bytes32 id => StoredModel) private _models;

    /* CONSTRUCTOR */

    /// @param token_ The ERC-20 token that everything is paid in.
    constructor(address token_) EIP712("derelayl", "2") {
        // A ledger without a token refuses every deposit, so nothing can be lost in it.
        // slither-disable-next-line missing-zero-check
        token = token_;
    }

    /* VIEWS */

    /// @inheritdoc IRelayLedger
    function stakeOf(bytes32 id, address account) external view returns (uint256) {
        return _existing(id).validatorOf[account].stake;
    }

    /// @inheritdoc IRelayLedger
    function unbondingOf(bytes32 id, address account) external view returns (uint256 amount, uint64 releaseTime) {
        StoredValidator storage validator = _existing(id).validatorOf[account];
        amount = validator.unbonding;
        releaseTime = amount == 0 ? 0 : validator.releaseTime;
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
            parent: RoundLib.parentOf(_models[id], checkpoint),
            score: checkpoint.score,
            round: checkpoint.round,
            pending: checkpoint.pending
        });
    }

    /// @inheritdoc IRelayLedger
    function accessOf(bytes32 id, bytes32 root, address account) external view returns (bool) {
        StoredModel storage model = _existing(id);
        if (model.rules.accessFee == 0 || model.checkpoints[root].owner == account) return true;
        return model.bought[root][account];
    }

    /// @inheritdoc IRelayLedger
    function modelOf(bytes32 id) external view returns (ModelView memory) {
        StoredModel storage model = _existing(id);
        return ModelView({
            rules: RulesLib.read(model.rules),
            creator: model.creator,
            genesis: model.genesis,
            budget: model.budget,
            carry: model.carry,
            settledRounds: model.round.settledRounds,
            nextSeed: model.nextSeed
        });
    }

    /// @inheritdoc IRelayLedger
    function roundOf(bytes32 id) external view returns (RoundView memory) {
        return _existing(id).read();
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
        _deposit(amount);
    }

    /// @inheritdoc IRelayLedger
    function depositWithPermit(uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external nonReentrant {
        // Whoever sees the permit can execute it first, which makes it fail here but grants the allowance.
        // A token that calls back finds deposits and withdrawals locked, and nothing half done.
        // slither-disable-next-line reentrancy-benign
        try IERC20Permit(token).permit(msg.sender, address(this), amount, deadline, v, r, s) {} catch {}
        _deposit(amount);
    }

    /// @inheritdoc IRelayLedger
    function withdraw(uint256 amount) external nonReentrant {
        _checkAmount(amount);

        _spend(msg.sender, amount);

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
        if (model.round.number != 0) revert ErrorsLib.ModelExists();
        if (budget > MAX_AMOUNT_WEI) revert ErrorsLib.AmountTooLarge();

        _spend(msg.sender, budget);
        RulesLib.write(model.rules, rules);
        model.creator = msg.sender;
        model.genesis = genesis;
        model.nextSeed = id;
        model.budget = budget.toUint128();
        model.checkpoints[genesis].owner = msg.sender;
        model.round.number = 1;
        model.round.seed = id;
        model.round.children[1][0] = genesis; // the tip at place 0, as side 0 is for the round's own children
        model.round.tipCount = 1;

        emit ModelCreated(id, msg.sender, genesis, rules);
        if (budget > 0) emit Funded(id, msg.sender, budget);
        emit PhaseChanged(id, 1, Phase.BID, 0);
    }

    /// @inheritdoc IRelayLedger
    function fund(bytes32 id, uint256 amount) external {
        StoredModel storage model = _existing(id);
        _checkAmount(amount);

        _spend(msg.sender, amount);
        model.budget += amount.toUint128();

        emit Funded(id, msg.sender, amount);
    }

    /* STAKES */

    /// @inheritdoc IRelayLedger
    function stake(bytes32 id, uint256 amount) external {
        StoredModel storage model = _existing(id);
        StoredValidator storage validator = model.validatorOf[msg.sender];
        _checkAmount(amount);
        if (validator.stake + amount < model.rules.validatorStake) revert ErrorsLib.StakeTooSmall();

        _spend(msg.sender, amount);
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
        StoredValidator storage validator = model.validatorOf[msg.sender];
        uint64 position = validator.position;
        if (position == 0) revert ErrorsLib.NoStake();
        if (model.round.findSeat(msg.sender) < model.round.seatCount) revert ErrorsLib.StakeInUse();

        address last = model.validators[model.validators.length - 1];
        model.validators[position - 1] = last;
        model.validatorOf[last].position = position;
        model.validators.pop();
        uint128 amount = validator.stake;
        uint64 releaseTime = block.timestamp.toUint64() + model.rules.unbondingSeconds;
        validator.stake = 0;
        validator.position = 0;
        validator.unbonding += amount;
        validator.releaseTime = releaseTime;

        emit Unstaked(id, msg.sender, amount, releaseTime);
    }

    /// @inheritdoc IRelayLedger
    function release(bytes32 id) external {
        StoredValidator storage validator = _existing(id).validatorOf[msg.sender];
        uint256 amount = validator.unbonding;
        if (amount == 0) revert ErrorsLib.NothingUnbonding();
        // Phases and unbonding last minutes: seconds by which a block's time is off do not matter.
        // slither-disable-next-line timestamp
        if (block.timestamp < validator.releaseTime) revert ErrorsLib.TooEarly();

        validator.unbonding = 0;
        freeOf[msg.sender] += amount;

        emit StakeReleased(id, msg.sender, amount);
    }

    /* ACCESS */

    /// @inheritdoc IRelayLedger
    function buyAccess(bytes32 id, bytes32 root) external {
        StoredModel storage model = _existing(id);
        if (!_isCheckpoint(model, root)) revert ErrorsLib.UnknownCheckpoint();
        uint256 fee = model.rules.accessFee;
        if (fee == 0) revert ErrorsLib.NotForSale();
        if (model.bought[root][msg.sender]) revert ErrorsLib.AlreadyBought();

        _spend(msg.sender, fee);
        uint256 toPot = PaymentLib.portion(fee, model.rules.accessPotBps);
        model.carry += toPot.toUint128();
        model.checkpoints[root].pending += (fee - toPot).toUint128();
        model.bought[root][msg.sender] = true;

        emit AccessBought(id, root, msg.sender, fee, toPot);
    }

    /* ROUNDS */

    /// @inheritdoc IRelayLedger
    function bid(bytes32 id, uint64 number, uint8 segment, uint256 amount) external {
        (StoredModel storage model, StoredRound storage round) = _bidding(id, number);
        _checkBid(model, segment, amount);
        uint256 count = round.bidCount();
        if (round.isFull(count, amount)) revert ErrorsLib.TooManyBids();
        if (round.hasBid(count, msg.sender)) revert ErrorsLib.AlreadyBid();

        _spend(msg.sender, amount);
        ActionLib.placeBid(id, model, freeOf, count, msg.sender, segment, amount);
    }

    /// @inheritdoc IRelayLedger
    function offer(bytes32 id, uint64 number, bytes32 tip) external {
        (StoredModel storage model, StoredRound storage round) = _bidding(id, number);
        uint256 place = round.placeOf(tip);
        if (model.checkpoints[tip].owner != msg.sender) revert ErrorsLib.NotTheOwner();
        if (uint256(round.offered).has(place)) revert ErrorsLib.AlreadyOffered();
        uint256 amount = uint256(model.rules.offerDeposit) * model.rules.legsPerTip;

        _spend(msg.sender, amount);
        round.offered |= uint32(1 << place);

        emit TipOffered(id, number, tip, msg.sender, amount);
    }

    /// @inheritdoc IRelayLedger
    function matchRound(bytes32 id, uint64 number, bytes calldata bidOrder, bytes calldata tipOrder) external {
        (StoredModel storage model, StoredRound storage round) = _running(id, number, Phase.BID);
        // As in `release`.
        // slither-disable-next-line timestamp
        if (round.deadline == 0 || block.timestamp < round.deadline) revert ErrorsLib.TooEarly();

        MatchingLib.matchRound(id, model, freeOf, bidOrder, tipOrder);
    }

    /// @inheritdoc IRelayLedger
    function submit(bytes32 id, uint64 number, uint8 leg, bytes32 child) external {
        (StoredModel storage model, StoredRound storage round) = _running(id, number, Phase.TRAIN);
        _checkBefore(round.deadline);
        if (leg >= round.legCount) revert ErrorsLib.NoSuchLeg();
        (uint256 bidIndex, uint256 place) = round.lease(leg);
        if (round.bids[bidIndex].trainer != msg.sender) revert ErrorsLib.NotYourLease();
        if (uint256(round.submitted).has(leg)) revert ErrorsLib.AlreadySubmitted();
        _checkChild(model, child);

        ActionLib.submit(id, model, leg, msg.sender, round.tipAt(place), child);
    }

    /// @inheritdoc IRelayLedger
    function commit(bytes32 id, uint64 number, bytes32 commitment) external {
        (StoredModel storage model, StoredRound storage round) = _running(id, number, Phase.COMMIT);
        _checkBefore(round.deadline);
        uint256 seat = round.seatNumberOf(msg.sender);
        if (uint256(round.committed).has(seat)) revert ErrorsLib.AlreadyCommitted();
        if (commitment == 0) revert ErrorsLib.ZeroCommitment();

        ActionLib.commit(id, model, seat, commitment);
    }

    /// @inheritdoc IRelayLedger
    function reveal(bytes32 id, uint64 number, int64[] calldata scores, bytes32 originals, bytes32 salt) external {
        (StoredModel storage model, StoredRound storage round) = _running(id, number, Phase.REVEAL);
        _checkBefore(round.deadline);
        uint256 seat = round.seatNumberOf(msg.sender);
        if (!uint256(round.committed).has(seat)) revert ErrorsLib.NotCommitted();
        if (uint256(round.revealed).has(seat)) revert ErrorsLib.AlreadyRevealed();

        ActionLib.reveal(id, model, seat, scores, originals, salt);
    }

    /// @inheritdoc IRelayLedger
    function advance(bytes32 id, uint64 number) external {
        StoredModel storage model = _existing(id);
        StoredRound storage round = model.round;
        if (number != round.number) revert ErrorsLib.WrongRound();
        Phase phase = round.phase;
        if (phase == Phase.BID || phase == Phase.SETTLE) revert ErrorsLib.NothingToAdvance();
        // As in `release`.
        // slither-disable-next-line timestamp
        if (block.timestamp < round.deadline) revert ErrorsLib.TooEarly();

        uint256 needed = phase == Phase.TRAIN ? 1 : model.rules.quorum;
        (uint256 acted, VoidReason failure) = (round.submitted, VoidReason.NOTHING_SUBMITTED);
        (Phase next, uint32 duration) = (Phase.COMMIT, model.rules.commitSeconds);
        if (phase == Phase.COMMIT) {
            (acted, failure) = (round.committed, VoidReason.TOO_FEW_COMMITS);
            (next, duration) = (Phase.REVEAL, model.rules.revealSeconds);
        } else if (phase == Phase.REVEAL) {
            (acted, failure) = (round.revealed, VoidReason.TOO_FEW_REVEALS);
            (next, duration) = (Phase.SETTLE, 0);
        }
        if (acted.size() < needed) SettlementLib.void(id, model, freeOf, failure);
        else round.enter(id, next, duration);
    }

    /// @inheritdoc IRelayLedger
    function settle(bytes32 id, uint64 number, bytes calldata legOrder, bytes calldata seatOrder) external {
        (StoredModel storage model,) = _running(id, number, Phase.SETTLE);

        SettlementLib.settle(id, model, freeOf, legOrder, seatOrder);
    }

    /* SIGNED CALLS */

    /// @inheritdoc IRelayLedger
    function bidBySig(bytes32 id, uint64 number, SignedBid[] calldata bids) external {
        (StoredModel storage model, StoredRound storage round) = _bidding(id, number);
        for (uint256 i; i < bids.length; ++i) {
            SignedBid calldata signed = bids[i];
            _checkBid(model, signed.segment, signed.amount);
            _checkSigned(signed.trainer, SignedLib.hashBid(id, number, signed), signed.r, signed.vs);
            // As in `release`.
            // slither-disable-next-line timestamp
            if (block.timestamp >= signed.expiry) continue;
            uint256 count = round.bidCount();
            if (round.isFull(count, signed.amount) || round.hasBid(count, signed.trainer)) continue;
            uint256 balance = freeOf[signed.trainer];
            if (balance < signed.amount) continue;

            freeOf[signed.trainer] = balance - signed.amount;
            ActionLib.placeBid(id, model, freeOf, count, signed.trainer, signed.segment, signed.amount);
        }
    }

    /// @inheritdoc IRelayLedger
    function submitBySig(bytes32 id, uint64 number, SignedChild[] calldata children) external {
        (StoredModel storage model, StoredRound storage round) = _running(id, number, Phase.TRAIN);
        _checkBefore(round.deadline);
        for (uint256 i; i < children.length; ++i) {
            SignedChild calldata signed = children[i];
            if (signed.leg >= round.legCount) revert ErrorsLib.NoSuchLeg();
            if (uint256(round.submitted).has(signed.leg)) continue;
            _checkChild(model, signed.child);
            (uint256 bidIndex, uint256 place) = round.lease(signed.leg);
            (address trainer, bytes32 parent) = (round.bids[bidIndex].trainer, round.tipAt(place));
            bytes32 digest = SignedLib.legDigest(id, number, parent, signed.child);
            SignedLib.check(trainer, digest, signed.r, signed.vs);

            ActionLib.submit(id, model, signed.leg, trainer, parent, signed.child);
        }
    }

    /// @inheritdoc IRelayLedger
    function commitBySig(bytes32 id, uint64 number, SignedCommit[] calldata commits) external {
        (StoredModel storage model, StoredRound storage round) = _running(id, number, Phase.COMMIT);
        _checkBefore(round.deadline);
        for (uint256 i; i < commits.length; ++i) {
            SignedCommit calldata signed = commits[i];
            uint256 seat = round.seatNumberOf(signed.validator);
            if (uint256(round.committed).has(seat)) continue;
            if (signed.commitment == 0) revert ErrorsLib.ZeroCommitment();
            bytes32 structHash = SignedLib.hashCommit(id, number, signed.commitment);
            _checkSigned(signed.validator, structHash, signed.r, signed.vs);

            ActionLib.commit(id, model, seat, signed.commitment);
        }
    }

    /// @inheritdoc IRelayLedger
    function revealBySig(bytes32 id, uint64 number, SignedReveal[] calldata reveals) external {
        (StoredModel storage model, StoredRound storage round) = _running(id, number, Phase.REVEAL);
        _checkBefore(round.deadline);
        for (uint256 i; i < reveals.length; ++i) {
            SignedReveal calldata signed = reveals[i];
            uint256 seat = round.seatNumberOf(signed.validator);
            if (!uint256(round.committed).has(seat)) revert ErrorsLib.NotCommitted();
            if (uint256(round.revealed).has(seat)) continue;
            bytes32 structHash = SignedLib.hashReveal(id, number, signed.scores, signed.originals, signed.salt);
            _checkSigned(signed.validator, structHash, signed.r, signed.vs);

            ActionLib.reveal(id, model, seat, signed.scores, signed.originals, signed.salt);
        }
    }

    /* EQUIVOCATION */

    /// @inheritdoc IRelayLedger
    function reportManifests(
        bytes32 id,
        uint64 number,
        uint8 leg,
        bytes32[2] calldata children,
        bytes32[2] calldata r,
        bytes32[2] calldata vs
    ) external {
        EquivocationLib.reportManifests(id, _existing(id), freeOf, number, leg, children, r, vs);
    }

    /// @inheritdoc IRelayLedger
    function reportReveals(
        bytes32 id,
        uint64 number,
        address validator,
        int64[][2] calldata scores,
        bytes32[2] calldata originals,
        bytes32[2] calldata salts,
        bytes32[2] calldata r,
        bytes32[2] calldata vs
    ) external {
        bytes32[2] memory hashes = [
            _hashTypedDataV4(SignedLib.hashReveal(id, number, scores[0], originals[0], salts[0])),
            _hashTypedDataV4(SignedLib.hashReveal(id, number, scores[1], originals[1], salts[1]))
        ];
        EquivocationLib.reportReveals(id, _existing(id), freeOf, number, validator, hashes, r, vs);
    }

    /* ROYALTIES */

    /// @inheritdoc IRelayLedger
    function collect(bytes32 id, bytes32 root, uint8 steps) external {
        StoredModel storage model = _existing(id);
        if (steps == 0 || steps > MAX_COLLECT_STEPS) revert ErrorsLib.BadSteps();
        if (!_isCheckpoint(model, root)) revert ErrorsLib.UnknownCheckpoint();

        RoyaltyLib.collect(id, model, freeOf, root, steps);
    }

    /* INTERNAL: CHECKS */

    /// @dev Reverts with UnknownModel.
    function _existing(bytes32 id) private view returns (StoredModel storage model) {
        model = _models[id];
        if (model.round.number == 0) revert ErrorsLib.UnknownModel();
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

    /// @dev Reverts with UnknownModel, WrongRound, WrongPhase or, once the first bid's clock has run down, TooLate.
    function _bidding(bytes32 id, uint64 number)
        private
        view
        returns (StoredModel storage model, StoredRound storage round)
    {
        (model, round) = _running(id, number, Phase.BID);
        if (round.deadline != 0) _checkBefore(round.deadline);
    }

    function _checkBefore(uint64 deadline) private view {
        // As in `release`.
        // slither-disable-next-line timestamp
        if (block.timestamp >= deadline) revert ErrorsLib.TooLate();
    }

    function _checkAmount(uint256 amount) private pure {
        if (amount == 0) revert ErrorsLib.ZeroAmount();
        if (amount > MAX_AMOUNT_WEI) revert ErrorsLib.AmountTooLarge();
    }

    function _checkBid(StoredModel storage model, uint8 segment, uint256 amount) private view {
        if (segment >= model.rules.segments && segment != WHOLE_MODEL) revert ErrorsLib.BadSegment();
        _checkAmount(amount);
        if (amount < model.rules.minBid) revert ErrorsLib.BidTooSmall();
    }

    function _checkChild(StoredModel storage model, bytes32 child) private view {
        if (child == 0) revert ErrorsLib.ZeroRoot();
        if (_isCheckpoint(model, child)) revert ErrorsLib.CheckpointExists();
    }

    /// @dev Reverts with BadSignature unless the account has signed that typed data for this ledger.
    function _checkSigned(address account, bytes32 structHash, bytes32 r, bytes32 vs) private view {
        SignedLib.check(account, _hashTypedDataV4(structHash), r, vs);
    }

    function _isCheckpoint(StoredModel storage model, bytes32 root) private view returns (bool) {
        return model.checkpoints[root].owner != address(0);
    }

    /* INTERNAL: MONEY */

    function _deposit(uint256 amount) private {
        _checkAmount(amount);
        if (IERC20(token).balanceOf(msg.sender) < amount) revert ErrorsLib.InsufficientBalance();

        freeOf[msg.sender] += amount;

        emit Deposited(msg.sender, amount);

        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @dev Takes `amount` from the account's free balance.
    function _spend(address account, uint256 amount) private {
        uint256 balance = freeOf[account];
        if (balance < amount) revert ErrorsLib.InsufficientBalance();
        freeOf[account] = balance - amount;
    }
}
