// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

/// @title The rival of the gas benchmark
/// @notice The same round as one writes it first: every record a struct of full words in storage, kept for good; bids,
/// legs and medians sorted on chain; signed commits one by one under a nonce; royalties paid by a walk over all
/// ancestors. It does less than the ledger (no offers, no slashing, no voids, a simpler pay of validators).
contract NaiveLedger is EIP712("derelayl", "2") {
    using SafeERC20 for IERC20;

    enum Phase {
        BID,
        TRAIN,
        COMMIT,
        REVEAL,
        SETTLE
    }

    struct Settings {
        uint256 legsPerTip;
        uint256 selectionBps;
        uint256 phaseSeconds;
        uint256 committeeSize;
        int256 marginPpm;
        int256 agreementPpm;
        uint256 gammaBps;
        uint256 trainerBps;
        uint256 royaltyBps;
        uint256 validatorBps;
        uint256 emission;
    }

    struct Bid {
        address trainer;
        uint256 segment;
        uint256 amount;
        uint256 time;
    }

    struct Leg {
        address trainer;
        bytes32 parent;
        uint256 segment;
        uint256 bid;
        bytes32 child;
        uint256 time;
        int256 score;
        bool selected;
    }

    struct Seat {
        address validator;
        uint256 weight;
        bytes32 commitment;
        bytes32 salt;
        int256[] scores;
        bool revealed;
    }

    struct Checkpoint {
        bytes32 root;
        address owner;
        bytes32 parent;
        int256 score;
        uint256 round;
    }

    struct Round {
        Phase phase;
        uint256 deadline;
        bytes32 seed;
        Bid[] bids;
        Leg[] legs;
        Seat[] seats;
        bytes32[] tips;
        uint256 submitted;
        uint256 committed;
        uint256 revealed;
    }

    event BidPlaced(uint256 indexed round, address indexed trainer, uint256 segment, uint256 amount);
    event LegLeased(uint256 indexed round, uint256 leg, address indexed trainer, bytes32 parent, uint256 segment);
    event LegSubmitted(uint256 indexed round, uint256 leg, address indexed trainer, bytes32 parent, bytes32 child);
    event ScoresCommitted(uint256 indexed round, address indexed validator, bytes32 commitment);
    event ScoresRevealed(uint256 indexed round, address indexed validator, int256[] scores, bytes32 salt);
    event LegSettled(uint256 indexed round, uint256 leg, int256 score, bool selected, uint256 reward);
    event RoyaltyPaid(bytes32 indexed root, address indexed owner, uint256 amount);
    event ValidatorPaid(uint256 indexed round, address indexed validator, uint256 amount);

    error Refused(string reason);

    bytes32 private constant COMMIT_TYPE =
        keccak256("Commit(address validator,uint256 round,bytes32 commitment,uint256 nonce)");

    IERC20 public immutable token;
    Settings public settings;
    uint256 public number = 1;
    uint256 public budget;
    uint256 public carry;
    address[] public validators;
    mapping(address account => uint256) public freeOf;
    mapping(address account => uint256) public stakeOf;
    mapping(address account => uint256) public nonces;
    mapping(bytes32 root => Checkpoint) public checkpoints;
    mapping(uint256 number => Round) private _rounds;

    constructor(IERC20 token_, Settings memory settings_, bytes32 genesis) {
        token = token_;
        settings = settings_;
        checkpoints[genesis] = Checkpoint({root: genesis, owner: msg.sender, parent: 0, score: 0, round: 0});
        _rounds[1].tips.push(genesis);
        _rounds[1].seed = genesis;
    }

    /* MONEY */

    function deposit(uint256 amount) external {
        freeOf[msg.sender] += amount;
        token.safeTransferFrom(msg.sender, address(this), amount);
    }

    function fund(uint256 amount) external {
        _spend(amount);
        budget += amount;
    }

    function stake(uint256 amount) external {
        _spend(amount);
        if (stakeOf[msg.sender] == 0) validators.push(msg.sender);
        stakeOf[msg.sender] += amount;
    }

    /* ROUNDS */

    function bid(uint256 segment, uint256 amount) external {
        Round storage round = _running(Phase.BID);
        for (uint256 i; i < round.bids.length; ++i) {
            if (round.bids[i].trainer == msg.sender) revert Refused("has bid");
        }
        _spend(amount);
        if (round.bids.length == 0) round.deadline = block.timestamp + settings.phaseSeconds;
        round.bids.push(Bid({trainer: msg.sender, segment: segment, amount: amount, time: block.timestamp}));
        emit BidPlaced(number, msg.sender, segment, amount);
    }

    function matchRound() external {
        Round storage round = _rounds[number];
        if (round.phase != Phase.BID || round.bids.length == 0) revert Refused("phase");
        if (block.timestamp < round.deadline) revert Refused("early");
        Bid[] memory bids = _sortedBids(round.bids);
        Checkpoint[] memory tips = _sortedTips(round.tips);
        uint256 places = tips.length * settings.legsPerTip;
        for (uint256 i; i < bids.length; ++i) {
            if (i >= places) {
                freeOf[bids[i].trainer] += bids[i].amount;
                continue;
            }
            bytes32 parent = tips[i / settings.legsPerTip].root;
            Leg storage leg = round.legs.push();
            leg.trainer = bids[i].trainer;
            leg.parent = parent;
            leg.segment = bids[i].segment;
            leg.bid = bids[i].amount;
            emit LegLeased(number, i, bids[i].trainer, parent, bids[i].segment);
        }
        _drawCommittee(round);
        _enter(round, Phase.TRAIN);
    }

    function submit(uint256 index, bytes32 child) external {
        Round storage round = _running(Phase.TRAIN);
        Leg storage leg = round.legs[index];
        if (leg.trainer != msg.sender || leg.child != 0 || child == 0) revert Refused("lease");
        if (checkpoints[child].owner != address(0)) revert Refused("exists");
        leg.child = child;
        leg.time = block.timestamp;
        round.submitted += 1;
        emit LegSubmitted(number, index, msg.sender, leg.parent, child);
        if (round.submitted == round.legs.length) _enter(round, Phase.COMMIT);
    }

    function commit(bytes32 commitment) external {
        _commit(msg.sender, commitment);
    }

    function commitBySig(address validator, bytes32 commitment, bytes calldata signature) external {
        bytes32 message = keccak256(abi.encode(COMMIT_TYPE, validator, number, commitment, nonces[validator]++));
        if (ECDSA.recoverCalldata(_hashTypedDataV4(message), signature) != validator) revert Refused("signature");
        _commit(validator, commitment);
    }

    function reveal(int256[] calldata scores, bytes32 salt) external {
        Round storage round = _running(Phase.REVEAL);
        Seat storage seat = _seatOf(round, msg.sender);
        if (seat.revealed || scores.length != round.legs.length) revert Refused("reveal");
        if (seat.commitment != keccak256(abi.encode(msg.sender, number, scores, salt))) revert Refused("mismatch");
        seat.scores = scores;
        seat.salt = salt;
        seat.revealed = true;
        round.revealed += 1;
        emit ScoresRevealed(number, msg.sender, scores, salt);
        if (round.revealed == round.seats.length) _enter(round, Phase.SETTLE);
    }

    function settle() external {
        Round storage round = _running(Phase.SETTLE);
        uint256[] memory order = _rankLegs(round);
        uint256 scoreSum = _select(round, order);
        uint256 emission = scoreSum == 0 ? 0 : settings.emission < budget ? settings.emission : budget;
        budget -= emission;
        uint256 pot = carry + emission;
        for (uint256 i; i < round.legs.length; ++i) {
            if (!round.legs[i].selected) pot += round.legs[i].bid;
        }
        uint256 paid = _payLegs(round, pot, scoreSum) + _payValidators(round, pot * settings.validatorBps / 10_000);
        carry = pot - paid;
        bytes32 seed = round.seed;
        for (uint256 i; i < round.seats.length; ++i) {
            seed = keccak256(abi.encode(seed, round.seats[i].salt));
        }
        number += 1;
        _beginRound(round, seed);
    }

    /* VIEWS */

    function trainersOf(uint256 number_) external view returns (address[] memory trainers) {
        Leg[] memory legs = _rounds[number_].legs;
        trainers = new address[](legs.length);
        for (uint256 i; i < legs.length; ++i) {
            trainers[i] = legs[i].trainer;
        }
    }

    function seatsOf(uint256 number_) external view returns (address[] memory seats) {
        seats = new address[](_rounds[number_].seats.length);
        for (uint256 i; i < seats.length; ++i) {
            seats[i] = _rounds[number_].seats[i].validator;
        }
    }

    /* INTERNAL */

    function _running(Phase phase) private view returns (Round storage round) {
        round = _rounds[number];
        if (round.phase != phase) revert Refused("phase");
        if (round.deadline != 0 && block.timestamp >= round.deadline) revert Refused("late");
    }

    function _enter(Round storage round, Phase phase) private {
        round.phase = phase;
        round.deadline = phase == Phase.SETTLE ? 0 : block.timestamp + settings.phaseSeconds;
    }

    function _beginRound(Round storage last, bytes32 seed) private {
        Round storage round = _rounds[number];
        round.seed = seed;
        for (uint256 i; i < last.legs.length; ++i) {
            if (last.legs[i].selected) round.tips.push(last.legs[i].child);
        }
        if (round.tips.length == 0) round.tips = last.tips;
    }

    function _spend(uint256 amount) private {
        if (amount == 0 || freeOf[msg.sender] < amount) revert Refused("balance");
        freeOf[msg.sender] -= amount;
    }

    function _seatOf(Round storage round, address account) private view returns (Seat storage) {
        for (uint256 i; i < round.seats.length; ++i) {
            if (round.seats[i].validator == account) return round.seats[i];
        }
        revert Refused("no seat");
    }

    function _commit(address validator, bytes32 commitment) private {
        Round storage round = _running(Phase.COMMIT);
        Seat storage seat = _seatOf(round, validator);
        if (seat.commitment != 0 || commitment == 0) revert Refused("commit");
        seat.commitment = commitment;
        round.committed += 1;
        emit ScoresCommitted(number, validator, commitment);
        if (round.committed == round.seats.length) _enter(round, Phase.REVEAL);
    }

    function _sortedBids(Bid[] memory bids) private pure returns (Bid[] memory) {
        for (uint256 i = 1; i < bids.length; ++i) {
            for (uint256 j = i; j > 0 && bids[j].amount > bids[j - 1].amount; --j) {
                (bids[j], bids[j - 1]) = (bids[j - 1], bids[j]);
            }
        }
        return bids;
    }

    function _sortedTips(bytes32[] memory roots) private view returns (Checkpoint[] memory tips) {
        tips = new Checkpoint[](roots.length);
        for (uint256 i; i < roots.length; ++i) {
            tips[i] = checkpoints[roots[i]];
            for (uint256 j = i; j > 0 && tips[j].score > tips[j - 1].score; --j) {
                (tips[j], tips[j - 1]) = (tips[j - 1], tips[j]);
            }
        }
    }

    /// @dev Shuffles a copy of the whole list and takes the first that have no part in the round.
    function _drawCommittee(Round storage round) private {
        address[] memory drawn = validators;
        for (uint256 i; i < drawn.length && round.seats.length < settings.committeeSize; ++i) {
            uint256 j = i + uint256(keccak256(abi.encode(round.seed, i))) % (drawn.length - i);
            (drawn[i], drawn[j]) = (drawn[j], drawn[i]);
            if (_hasPart(round, drawn[i])) continue;
            Seat storage seat = round.seats.push();
            seat.validator = drawn[i];
            seat.weight = stakeOf[drawn[i]];
        }
    }

    function _hasPart(Round storage round, address account) private view returns (bool) {
        for (uint256 i; i < round.bids.length; ++i) {
            if (round.bids[i].trainer == account) return true;
        }
        for (uint256 i; i < round.tips.length; ++i) {
            if (checkpoints[round.tips[i]].owner == account) return true;
        }
        return false;
    }

    /// @dev Sorts the seats of each leg for its weighted median, then the legs by it.
    function _rankLegs(Round storage round) private returns (uint256[] memory order) {
        Seat[] memory seats = round.seats;
        order = new uint256[](round.legs.length);
        for (uint256 i; i < order.length; ++i) {
            round.legs[i].score = _median(seats, i);
            order[i] = i;
            for (uint256 j = i; j > 0 && round.legs[order[j]].score > round.legs[order[j - 1]].score; --j) {
                (order[j], order[j - 1]) = (order[j - 1], order[j]);
            }
        }
    }

    function _median(Seat[] memory seats, uint256 leg) private pure returns (int256) {
        uint256[] memory order = new uint256[](seats.length);
        uint256 total;
        for (uint256 i; i < seats.length; ++i) {
            total += seats[i].weight;
            order[i] = i;
            for (uint256 j = i; j > 0 && seats[order[j]].scores[leg] < seats[order[j - 1]].scores[leg]; --j) {
                (order[j], order[j - 1]) = (order[j - 1], order[j]);
            }
        }
        uint256 weight;
        uint256 middle;
        while (2 * (weight += seats[order[middle]].weight) < total) ++middle;
        return seats[order[middle]].scores[leg];
    }

    function _select(Round storage round, uint256[] memory order) private returns (uint256 scoreSum) {
        uint256 most = order.length * settings.selectionBps / 10_000;
        if (most == 0) most = 1;
        for (uint256 i; i < order.length && i < most; ++i) {
            Leg storage leg = round.legs[order[i]];
            if (leg.score < settings.marginPpm || checkpoints[leg.child].owner != address(0)) continue;
            leg.selected = true;
            scoreSum += uint256(leg.score);
            checkpoints[leg.child] = Checkpoint({
                root: leg.child,
                owner: leg.trainer,
                parent: leg.parent,
                score: checkpoints[leg.parent].score + leg.score,
                round: number
            });
        }
    }

    function _payLegs(Round storage round, uint256 pot, uint256 scoreSum) private returns (uint256 paid) {
        for (uint256 i; i < round.legs.length; ++i) {
            Leg storage leg = round.legs[i];
            uint256 reward;
            if (leg.selected) {
                reward = pot * settings.trainerBps / 10_000 * uint256(leg.score) / scoreSum;
                uint256 royalty = pot * settings.royaltyBps / 10_000 * uint256(leg.score) / scoreSum;
                freeOf[leg.trainer] += leg.bid + reward;
                _payAncestors(leg.parent, royalty);
                paid += reward + royalty;
            }
            emit LegSettled(number, i, leg.score, leg.selected, reward);
        }
    }

    /// @dev Each ancestor keeps its part, down to the genesis.
    function _payAncestors(bytes32 root, uint256 amount) private {
        while (root != 0) {
            Checkpoint storage checkpoint = checkpoints[root];
            uint256 passed = checkpoint.parent == 0 ? 0 : amount * settings.gammaBps / 10_000;
            freeOf[checkpoint.owner] += amount - passed;
            emit RoyaltyPaid(root, checkpoint.owner, amount - passed);
            (root, amount) = (checkpoint.parent, passed);
        }
    }

    /// @dev Pays by the legs on which a seat was near the median.
    function _payValidators(Round storage round, uint256 share) private returns (uint256 paid) {
        uint256[] memory agreed = new uint256[](round.seats.length);
        uint256 total;
        for (uint256 i; i < agreed.length; ++i) {
            for (uint256 leg; leg < round.legs.length; ++leg) {
                int256 distance = round.seats[i].scores[leg] - round.legs[leg].score;
                if ((distance < 0 ? -distance : distance) <= settings.agreementPpm) agreed[i] += 1;
            }
            total += agreed[i];
        }
        for (uint256 i; i < agreed.length; ++i) {
            if (agreed[i] == 0) continue;
            uint256 amount = share * agreed[i] / total;
            freeOf[round.seats[i].validator] += amount;
            paid += amount;
            emit ValidatorPaid(number, round.seats[i].validator, amount);
        }
    }
}
