// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {Checkpoint, IRelayLedger, ModelView, Phase, RoundView, Rules} from "../src/interfaces/IRelayLedger.sol";
import {Deployment} from "./support/Deployment.sol";
import {RelayHandler} from "./support/RelayHandler.sol";
import {FuzzSelector, vm} from "./support/Test.sol";

/// @title What holds after every call, whatever is played
/// @notice Four invariants, each after 64 runs of 500 calls: 128,000 calls. Forge gives the invariants of one contract the
/// same numbers to play with, hence two contracts with luck of their own.
abstract contract RelayInvariants {
    uint256 internal constant SUPPLY = 10 ** 24;
    uint256 private constant SAMPLE = 1000; // calls

    IERC20 internal _token;
    IRelayLedger internal _ledger;
    RelayHandler internal _handler;
    bytes32 internal _model;

    function _begin(uint256 luck) internal {
        _token = Deployment.token(address(this), SUPPLY);
        _ledger = Deployment.ledger(_token);
        _handler = new RelayHandler(_ledger, _token, luck);
        vm.assertTrue(_token.transfer(address(_handler), SUPPLY / 2));
        _handler.begin();
        _model = _handler.model();
    }

    /* WHAT FORGE ASKS BEFORE IT PLAYS */

    function targetContracts() external view returns (address[] memory contracts) {
        contracts = new address[](1);
        contracts[0] = address(_handler);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector({addr: address(_handler), selectors: new bytes4[](8)});
        for (uint256 i; i < targets[0].selectors.length; ++i) {
            targets[0].selectors[i] = _pick(i);
        }
    }

    /* WHAT IS PLAYED */

    /// @dev A history in which most calls are refused, or nothing is ever settled, would say nothing.
    function test_a_fair_share_of_the_calls_succeeds() public {
        for (uint256 i; i < SAMPLE; ++i) {
            (bool done,) = address(_handler).call(abi.encodeWithSelector(_pick(i), i));
            done; // the handler counts
        }
        vm.assertGe(_handler.succeeded(), SAMPLE * 8 / 10, "most calls succeed");
        vm.assertGe(_handler.settled(), SAMPLE / 50, "rounds are settled");
    }

    /// @dev Rounds go on more often than anything else happens.
    function _pick(uint256 index) private pure returns (bytes4) {
        if (index % 8 < 5) return RelayHandler.play.selector;
        return index % 8 < 7 ? RelayHandler.keepAccount.selector : RelayHandler.cheat.selector;
    }
}

/// forge-config: default.invariant.runs = 64
/// forge-config: default.invariant.depth = 500
contract MoneyInvariantsTest is RelayInvariants {
    function setUp() public {
        _begin(1);
    }

    function invariant_the_ledger_holds_exactly_what_it_owes() public view {
        uint256 owed = _freeBalances() + _stakes() + _royalties() + _locked();
        ModelView memory model = _ledger.modelOf(_model);
        vm.assertEq(_token.balanceOf(address(_ledger)), owed + model.budget + model.carry);
    }

    function invariant_nobody_mints_and_nothing_is_lost() public view {
        uint256 held = _token.balanceOf(address(this)) + _token.balanceOf(address(_handler))
            + _token.balanceOf(address(_ledger));
        for (uint256 i; i < _handler.actorCount(); ++i) {
            held += _token.balanceOf(_handler.actors(i));
        }
        vm.assertEq(_token.totalSupply(), SUPPLY);
        vm.assertEq(held, SUPPLY);
    }

    function _freeBalances() private view returns (uint256 sum) {
        for (uint256 i; i < _handler.actorCount(); ++i) {
            sum += _ledger.freeOf(_handler.actors(i));
        }
    }

    function _stakes() private view returns (uint256 sum) {
        for (uint256 i; i < _handler.actorCount(); ++i) {
            address actor = _handler.actors(i);
            (uint256 unbonding,) = _ledger.unbondingOf(_model, actor);
            sum += _ledger.stakeOf(_model, actor) + unbonding;
        }
    }

    function _royalties() private view returns (uint256 sum) {
        for (uint256 i; i < _handler.rootCount(); ++i) {
            sum += _ledger.checkpointOf(_model, _handler.roots(i)).pending;
        }
    }

    /// @dev Bids and offers; once leased, the bids and deposits of the legs.
    function _locked() private view returns (uint256 sum) {
        RoundView memory round = _ledger.roundOf(_model);
        Rules memory rules = _handler.rules();
        for (uint256 i; i < round.legs.length; ++i) {
            sum += uint256(round.legs[i].bid) + round.legs[i].deposit;
        }
        if (round.phase != Phase.BID) return sum;
        for (uint256 i; i < round.bids.length; ++i) {
            sum += round.bids[i].amount;
        }
        for (uint256 i; i < round.tips.length; ++i) {
            if (round.tips[i].offered) sum += uint256(rules.offerDeposit) * rules.legsPerTip;
        }
    }
}

/// forge-config: default.invariant.runs = 64
/// forge-config: default.invariant.depth = 500
contract ConductInvariantsTest is RelayInvariants {
    function setUp() public {
        _begin(2);
    }

    function invariant_phase_deadline_and_lists_fit_together() public view {
        RoundView memory round = _ledger.roundOf(_model);
        Rules memory rules = _handler.rules();
        bool waiting = round.phase == Phase.SETTLE || (round.phase == Phase.BID && round.bids.length == 0);
        vm.assertEq(round.deadline == 0, waiting, "a phase has a deadline unless nobody is late in it");
        vm.assertGe(round.tips.length, 1, "there is always a tip to continue");
        vm.assertEq(round.legs.length > 0, round.phase != Phase.BID, "legs are leased when the bidding is over");
        vm.assertFalse(_allStalled(round), "there is a tip to continue that is not stalled");
        vm.assertLe(round.legs.length, round.tips.length * rules.legsPerTip);
        vm.assertLe(round.seats.length, rules.committeeSize);
        if (round.phase != Phase.BID) vm.assertGe(round.seats.length, rules.quorum);
        uint256 revealed;
        for (uint256 i; i < round.seats.length; ++i) {
            if (round.seats[i].revealed) ++revealed;
        }
        if (round.phase == Phase.SETTLE) vm.assertGe(revealed, rules.quorum);
    }

    function _allStalled(RoundView memory round) private pure returns (bool) {
        for (uint256 i; i < round.tips.length; ++i) {
            if (!round.tips[i].stalled) return false;
        }
        return true;
    }

    function invariant_a_stranger_can_end_every_phase_and_robs_nobody() public view {
        vm.assertFalse(_handler.stuck(), "what was due was refused to a stranger");
        vm.assertFalse(_handler.robbed(), "somebody lost free balance without a call or a signature");
        vm.assertEq(_ledger.freeOf(_handler.stranger()), 0);
    }
}
