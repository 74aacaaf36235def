// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {
    IRelayLedger,
    Leg,
    Phase,
    RoundView,
    Rules,
    Seat,
    SignedBid,
    SignedCommit,
    SignedReveal,
    Tip
} from "../../src/interfaces/IRelayLedger.sol";
import {UNAVAILABLE, WHOLE_MODEL} from "../../src/libraries/ConstantsLib.sol";
import {Messages} from "./Messages.sol";
import {Orders} from "./Orders.sol";
import {vm} from "./Test.sol";

/// @title Plays plausible histories
/// @notice One model, a few actors that bid, judge, buy and cheat, and a stranger who only enforces deadlines. Every
/// function does something that fits the state; `seed` decides what. What forge calls is `play`, `keepAccount` and
/// `cheat`.
contract RelayHandler {
    uint256 private constant ACTORS = 10;
    uint256 private constant FREE = 10 ** 9;
    uint256 private constant WALLET = 10 ** 12;

    IRelayLedger public immutable ledger;
    IERC20 public immutable token;
    bytes32 public immutable model;
    address public immutable stranger = vm.addr(uint256(keccak256("stranger")));

    address[] public actors;
    bytes32[] public roots;
    mapping(address actor => uint256) private _keys;
    mapping(bytes32 root => bool) private _known;
    uint256 private _children;
    uint256 private _calls;

    /// @notice Calls of the handler that did what they set out to do.
    uint256 public succeeded;
    /// @notice Rounds that were settled.
    uint256 public settled;
    /// @notice Whether the stranger's call was ever refused when a phase was over.
    bool public stuck;
    /// @notice Whether an actor's free balance ever fell in a call that it neither made nor signed.
    bool public robbed;

    mapping(address actor => bool) private _acted;
    mapping(address actor => uint256) private _freeBefore;

    constructor(IRelayLedger ledger_, IERC20 token_, uint256 luck) {
        ledger = ledger_;
        token = token_;
        for (uint256 key = 1; key <= ACTORS; ++key) {
            address actor = vm.addr(key);
            actors.push(actor);
            _keys[actor] = key;
        }
        model = _found();
        _calls = luck << 128;
    }

    /// @dev Whose free balance fell must have called or signed.
    modifier watched() {
        for (uint256 i; i < ACTORS; ++i) {
            _freeBefore[actors[i]] = ledger.freeOf(actors[i]);
            _acted[actors[i]] = false;
        }
        _;
        for (uint256 i; i < ACTORS; ++i) {
            if (!_acted[actors[i]] && ledger.freeOf(actors[i]) < _freeBefore[actors[i]]) robbed = true;
        }
        ++succeeded;
    }

    /// @notice Shares the supply out and lets every actor deposit and, with the upper half, stake.
    function begin() external {
        for (uint256 i; i < ACTORS; ++i) {
            token.transfer(actors[i], WALLET);
            vm.startPrank(actors[i]);
            token.approve(address(ledger), type(uint256).max);
            ledger.deposit(FREE);
            if (i >= ACTORS / 2) ledger.stake(model, rules().validatorStake + i);
            vm.stopPrank();
        }
        vm.prank(actors[0]);
        ledger.fund(model, FREE / 2);
    }

    /* WHAT FORGE CALLS */

    /// @notice The next step of the round, by whoever may, or by the stranger where a deadline has passed.
    function play(uint256 seed) external watched {
        seed = _luck(seed);
        RoundView memory round = ledger.roundOf(model);
        bool late = round.deadline != 0 && block.timestamp >= round.deadline;
        if (late || round.phase == Phase.SETTLE) _end(round);
        else if (_isTimeUp(round, seed % 32)) vm.warp(round.deadline);
        else if (round.phase == Phase.BID) _playBid(round, seed / 32);
        else if (round.phase == Phase.TRAIN) _playTrain(round, seed / 32);
        else if (round.phase == Phase.COMMIT) _playCommit(round, seed / 32);
        else _playReveal(round, seed / 32);
    }

    /// @notice Something about money that belongs to no phase.
    function keepAccount(uint256 seed) external watched {
        seed = _luck(seed);
        address actor = actors[(seed / 16) % ACTORS];
        uint256 kind = seed % 9;
        _act(actor);
        if (kind == 0) ledger.deposit(1 + seed % 10 ** 6);
        else if (kind == 1) ledger.withdraw(1 + seed % 10 ** 6);
        else if (kind == 2) ledger.fund(model, 1 + seed % 10 ** 6);
        else if (kind == 3) ledger.stake(model, rules().validatorStake + seed % 1000);
        else if (kind == 4) ledger.unstake(model);
        else if (kind == 5) _release(actor);
        else if (kind == 6) ledger.buyAccess(model, roots[seed % roots.length]);
        else ledger.collect(model, roots[seed % roots.length], uint8(1 + seed % 8));
        vm.stopPrank();
    }

    /// @notice Two children under one lease, or two reveals in one round, proven by somebody.
    function cheat(uint256 seed) external watched {
        seed = _luck(seed);
        RoundView memory round = ledger.roundOf(model);
        _act(actors[seed % ACTORS]);
        if (seed % 4 > 0 && round.legs.length > 0) _reportManifests(round, (seed / 16) % round.legs.length);
        else if (seed % 4 == 0) _reportReveals(uint64(1 + seed % round.number), actors[(seed / 16) % ACTORS]);
        else _returnToHonesty(actors[ACTORS / 2 + (seed / 16) % (ACTORS / 2)]);
        vm.stopPrank();
    }

    /* VIEWS */

    function rules() public pure returns (Rules memory r) {
        r.legsPerTip = 4;
        r.selectionBps = 5000;
        r.segments = 3;
        r.bidSeconds = 60;
        r.trainSeconds = 600;
        r.commitSeconds = 120;
        r.revealSeconds = 120;
        r.committeeSize = 4;
        r.quorum = 2;
        r.marginPpm = 1000;
        r.agreementPpm = 5000;
        r.duplicateBps = 9500;
        r.gammaBps = 5000;
        r.trainerBps = 6000;
        r.royaltyBps = 2500;
        r.validatorBps = 1500;
        r.slashBps = 1000;
        r.minBid = 10;
        r.offerDeposit = 7;
        r.validatorStake = 1000;
        r.emission = 1_000_003;
        r.halvingRounds = 2;
        r.unbondingSeconds = 300;
        r.reporterBps = 1000;
        r.accessFee = 333;
        r.accessPotBps = 3000;
    }

    function actorCount() external pure returns (uint256) {
        return ACTORS;
    }

    function rootCount() external view returns (uint256) {
        return roots.length;
    }

    /* INTERNAL: PHASES */

    /// @dev Bidding mostly ends with a few bids, another phase mostly because all have answered.
    function _isTimeUp(RoundView memory round, uint256 luck) private pure returns (bool) {
        if (round.phase == Phase.BID) return round.bids.length >= 2 && luck < 8;
        return luck == 0;
    }

    /// @dev Forge prefers small and extreme numbers, and repeats itself.
    function _luck(uint256 seed) private returns (uint256) {
        return uint256(keccak256(abi.encode(seed, ++_calls)));
    }

    function _playBid(RoundView memory round, uint256 seed) private {
        Tip memory tip = round.tips[seed % round.tips.length];
        if (seed % 5 == 0 && !tip.offered) {
            _act(tip.owner);
            ledger.offer(model, round.number, tip.root);
            return vm.stopPrank();
        }
        uint8 segment = seed % 4 == 3 ? WHOLE_MODEL : uint8(seed % 4);
        // Mostly the lower half, so that enough of the staked upper half may judge.
        address trainer = actors[(seed / 64) % (seed % 16 == 0 ? ACTORS : ACTORS / 2)];
        if (_hasBid(round, trainer)) trainer = actors[(seed / 128) % ACTORS];
        uint256 amount = 10 + (seed / 1024) % 5; // often equal, so that ties are broken
        if (seed % 3 > 0) {
            _act(trainer);
            ledger.bid(model, round.number, segment, amount);
            return vm.stopPrank();
        }
        SignedBid[] memory bids = new SignedBid[](2);
        bids[0] = _signedBid(round.number, trainer, segment, amount);
        bids[1] = _signedBid(round.number, actors[(seed / 4096) % ACTORS], segment, amount);
        ledger.bidBySig(model, round.number, bids);
    }

    function _hasBid(RoundView memory round, address account) private pure returns (bool) {
        for (uint256 i; i < round.bids.length; ++i) {
            if (round.bids[i].trainer == account) return true;
        }
        return false;
    }

    function _playTrain(RoundView memory round, uint256 seed) private {
        uint256 leg = seed % round.legs.length;
        while (round.legs[leg].child != 0) leg = (leg + 1) % round.legs.length;
        bytes32 child = round.legs[(leg + 1) % round.legs.length].child;
        if (seed % 8 > 0 || child == 0) child = keccak256(abi.encode("child", ++_children));
        _act(round.legs[leg].trainer);
        ledger.submit(model, round.number, uint8(leg), child);
        vm.stopPrank();
    }

    function _playCommit(RoundView memory round, uint256 seed) private {
        if (seed % 2 == 0) {
            SignedCommit[] memory commits = new SignedCommit[](2); // one of them has perhaps committed already
            commits[0] = _signedCommit(round, round.seats[(seed / 2) % round.seats.length].validator);
            commits[1] = _signedCommit(round, round.seats[(seed / 64) % round.seats.length].validator);
            return ledger.commitBySig(model, round.number, commits);
        }
        uint256 index = (seed / 2) % round.seats.length;
        while (round.seats[index].commitment != 0) index = (index + 1) % round.seats.length;
        address validator = round.seats[index].validator;
        _act(validator);
        ledger.commit(model, round.number, _commitment(round, validator));
        vm.stopPrank();
    }

    function _playReveal(RoundView memory round, uint256 seed) private {
        uint256 index = (seed / 2) % round.seats.length;
        Seat memory seat = round.seats[index];
        while (seat.commitment == 0 || seat.revealed) {
            index = (index + 1) % round.seats.length;
            seat = round.seats[index];
        }
        int64[] memory scores = _scores(round, seat.validator);
        bytes32 originals = _originals(round, seat.validator);
        bytes32 salt = _salt(round.number, seat.validator);
        if (seed % 2 == 0) {
            SignedReveal[] memory reveals = new SignedReveal[](1);
            reveals[0] = _signedReveal(round.number, seat.validator, scores, originals, salt);
            return ledger.revealBySig(model, round.number, reveals);
        }
        _act(seat.validator);
        ledger.reveal(model, round.number, scores, originals, salt);
        vm.stopPrank();
    }

    /// @dev Whatever is due, by somebody with nothing at stake.
    function _end(RoundView memory round) private {
        vm.startPrank(stranger);
        bool done;
        if (round.phase == Phase.BID) {
            (done,) = address(ledger).call(
                abi.encodeCall(
                    ledger.matchRound,
                    (model, round.number, Orders.packed(Orders.bids(round)), Orders.packed(Orders.tips(round)))
                )
            );
        } else if (round.phase == Phase.SETTLE) {
            uint8[] memory legOrder = Orders.legs(round);
            (done,) = address(ledger).call(
                abi.encodeCall(
                    ledger.settle,
                    (model, round.number, Orders.packed(legOrder), Orders.packed(Orders.seats(round, legOrder)))
                )
            );
            ++settled;
            _learnTips();
        } else {
            (done,) = address(ledger).call(abi.encodeCall(ledger.advance, (model, round.number)));
        }
        vm.stopPrank();
        if (!done) stuck = true;
    }

    /* INTERNAL: ACTORS */

    function _found() private returns (bytes32 id) {
        bytes32 genesis = keccak256("genesis");
        vm.prank(actors[0]);
        id = ledger.createModel(rules(), genesis, 0);
        roots.push(genesis);
        _known[genesis] = true;
    }

    function _act(address actor) private {
        _acted[actor] = true;
        vm.startPrank(actor);
    }

    function _learnTips() private {
        Tip[] memory tips = ledger.roundOf(model).tips;
        for (uint256 i; i < tips.length; ++i) {
            if (_known[tips[i].root]) continue;
            _known[tips[i].root] = true;
            roots.push(tips[i].root);
        }
    }

    function _release(address actor) private {
        (uint256 amount, uint64 releaseTime) = ledger.unbondingOf(model, actor);
        if (amount > 0 && block.timestamp < releaseTime) vm.warp(releaseTime);
        ledger.release(model);
    }

    /// @dev Without it all validators would be slashed to nothing some day.
    function _returnToHonesty(address validator) private {
        vm.stopPrank();
        _act(validator);
        ledger.stake(model, rules().validatorStake);
    }

    function _reportManifests(RoundView memory round, uint256 index) private {
        Leg memory leg = round.legs[index];
        bytes32[2] memory children = [keccak256("one child"), keccak256("another child")];
        bytes32[2] memory r;
        bytes32[2] memory vs;
        for (uint256 i; i < 2; ++i) {
            bytes32 digest = Messages.leg(address(ledger), model, round.number, leg.parent, children[i]);
            (r[i], vs[i]) = vm.signCompact(_keys[leg.trainer], digest);
        }
        ledger.reportManifests(model, round.number, uint8(index), children, r, vs);
    }

    function _reportReveals(uint64 number, address validator) private {
        int64[][2] memory scores = [new int64[](1), new int64[](1)];
        bytes32[2] memory originals;
        bytes32[2] memory salts = [keccak256("one salt"), keccak256("another salt")];
        bytes32[2] memory r;
        bytes32[2] memory vs;
        for (uint256 i; i < 2; ++i) {
            bytes32 digest = Messages.reveal(address(ledger), model, number, scores[i], originals[i], salts[i]);
            (r[i], vs[i]) = vm.signCompact(_keys[validator], digest);
        }
        ledger.reportReveals(model, number, validator, scores, originals, salts, r, vs);
    }

    /* INTERNAL: WHAT THEY SAY */

    function _signedBid(uint64 number, address trainer, uint8 segment, uint256 amount)
        private
        returns (SignedBid memory entry)
    {
        uint64 expiry = uint64(block.timestamp + 30);
        bytes32 digest = Messages.bid(address(ledger), model, number, segment, amount, expiry);
        (bytes32 r, bytes32 vs) = vm.signCompact(_keys[trainer], digest);
        _acted[trainer] = true;
        entry =
            SignedBid({trainer: trainer, segment: segment, amount: amount, expiry: expiry, r: r, vs: vs});
    }

    function _signedCommit(RoundView memory round, address validator) private returns (SignedCommit memory) {
        bytes32 commitment = _commitment(round, validator);
        bytes32 digest = Messages.commit(address(ledger), model, round.number, commitment);
        (bytes32 r, bytes32 vs) = vm.signCompact(_keys[validator], digest);
        _acted[validator] = true;
        return SignedCommit({validator: validator, commitment: commitment, r: r, vs: vs});
    }

    function _signedReveal(
        uint64 number,
        address validator,
        int64[] memory scores,
        bytes32 originals,
        bytes32 salt
    ) private returns (SignedReveal memory) {
        bytes32 digest = Messages.reveal(address(ledger), model, number, scores, originals, salt);
        (bytes32 r, bytes32 vs) = vm.signCompact(_keys[validator], digest);
        _acted[validator] = true;
        return SignedReveal({
            validator: validator, scores: scores, originals: originals, salt: salt, r: r, vs: vs
        });
    }

    function _commitment(RoundView memory round, address validator) private view returns (bytes32) {
        bytes32 salt = _salt(round.number, validator);
        bytes32 originals = _originals(round, validator);
        return Messages.sealOf(model, round.number, validator, _scores(round, validator), originals, salt);
    }

    /// @dev Judges see about the same; now and then one cannot fetch a child.
    function _scores(RoundView memory round, address validator) private pure returns (int64[] memory scores) {
        scores = new int64[](round.legs.length);
        for (uint256 i; i < scores.length; ++i) {
            uint256 truth = uint256(keccak256(abi.encode(round.number, i))) % 20_000;
            uint256 noise = uint256(keccak256(abi.encode(round.number, i, validator))) % 4096;
            bool unseen = round.legs[i].child == 0 || noise % 16 == 0;
            scores[i] = unseen ? UNAVAILABLE : int64(int256(truth)) + int64(int256(noise)) - 4000;
        }
    }

    /// @dev Judges mostly agree on which legs are copies of the one before them.
    function _originals(RoundView memory round, address validator) private pure returns (bytes32 originals) {
        for (uint256 i; i < round.legs.length; ++i) {
            bool copied = uint256(keccak256(abi.encode("copy", round.number, i))) % 4 == 0;
            if (uint256(keccak256(abi.encode("copy", round.number, i, validator))) % 8 == 0) copied = !copied;
            bool found = copied && i > 0 && round.legs[i].child != 0 && round.legs[i - 1].child != 0;
            originals |= bytes32((found ? i - 1 : i) << (8 * (31 - i)));
        }
    }

    function _salt(uint64 number, address validator) private pure returns (bytes32) {
        return keccak256(abi.encode("salt", number, validator));
    }
}
