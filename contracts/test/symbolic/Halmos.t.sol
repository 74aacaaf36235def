// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Phase, VoidReason} from "../../src/interfaces/IRelayLedger.sol";
import {BPS} from "../../src/libraries/ConstantsLib.sol";
import {Packed} from "../../src/libraries/PackedLib.sol";
import {PaymentLib} from "../../src/libraries/PaymentLib.sol";
import {RoyaltyLib} from "../../src/libraries/RoyaltyLib.sol";
import {SettlementLib} from "../../src/libraries/SettlementLib.sol";
import {StoredModel, StoredRound} from "../../src/libraries/StoredTypes.sol";
import {vm} from "../support/Test.sol";

/// @title What halmos proves for all amounts
/// @notice The committee's verdict is fixed, the money is not: a round of two legs (selected, not selected) and three
/// seats (two that agree, one that is silent) whose bond, deposits, carry and slashed stake are symbols.
contract HalmosTest {
    bytes32 private constant MODEL = bytes32(uint256(2));
    bytes32 private constant PARENT = bytes32(uint256(1));
    address private constant OWNER = address(0x10);
    address private constant FIRST_TRAINER = address(0x20);
    address private constant FIRST_SEAT = address(0x30);
    uint256 private constant LEGS = 2;
    uint256 private constant SEATS = 3;

    struct Money {
        uint96 carry;
        uint96 deposit;
        uint96 bond;
        uint96 silentStake;
    }

    StoredModel private _model;
    mapping(address account => uint256) private _freeOf;

    /* PORTIONS */

    /// @notice Nobody's part is more than the whole.
    function check_a_portion_is_at_most_the_whole(uint128 amount, uint16 bps) public pure {
        vm.assume(bps <= BPS);
        assert(PaymentLib.portion(amount, bps) <= amount);
    }

    /// @notice The three shares of a pot are at most the pot.
    function check_the_shares_are_at_most_the_pot(uint128 pot, uint16 trainerBps, uint16 royaltyBps) public pure {
        vm.assume(uint256(trainerBps) + royaltyBps <= BPS);
        uint256 validatorBps = BPS - trainerBps - royaltyBps;
        uint256 shares = PaymentLib.portion(pot, trainerBps) + PaymentLib.portion(pot, royaltyBps);
        assert(shares + PaymentLib.portion(pot, validatorBps) <= pot);
    }

    /* ROYALTIES */

    /// @notice Of a royalty nothing is lost or made on its way up a lineage of three, wherever the walk ends.
    function check_a_walk_conserves_every_wei(uint96[3] memory pending, uint16 gammaBps, uint8 steps) public {
        vm.assume(gammaBps <= BPS && steps >= 1 && steps <= 3);
        _model.rules.gammaBps = gammaBps;
        for (uint256 i; i < 3; ++i) {
            bytes32 root = bytes32(i + 1);
            _model.checkpoints[root].owner = address(uint160(FIRST_TRAINER) + uint160(i));
            _model.checkpoints[root].parent = bytes32(i); // zero: the first is the genesis
            _model.checkpoints[root].pending = pending[i];
        }

        RoyaltyLib.collect(MODEL, _model, _freeOf, bytes32(uint256(3)), steps);

        uint256 sum;
        for (uint256 i; i < 3; ++i) {
            sum += _model.checkpoints[bytes32(i + 1)].pending + _freeOf[address(uint160(FIRST_TRAINER) + uint160(i))];
        }
        assert(sum == uint256(pending[0]) + pending[1] + pending[2]);
    }

    /* SETTLEMENT */

    /// @notice What a settlement finds in locks, stakes, budget, carry and royalties is what it leaves there and pays.
    function check_a_settlement_conserves_every_wei(Money memory money) public {
        vm.assume(money.deposit > 0);
        _prepare(money);
        uint256 locked = LEGS * (uint256(money.bond) + money.deposit);
        uint256 before = _held() + locked;

        (bytes memory legOrder, bytes memory seatOrder) = _orders();
        this.settle(legOrder, seatOrder);

        assert(_held() == before);
    }

    /// @notice The same for a round that is voided because too few have revealed.
    function check_a_void_conserves_every_wei(Money memory money) public {
        vm.assume(money.deposit > 0);
        _prepare(money);
        uint256 locked = LEGS * (uint256(money.bond) + money.deposit);
        uint256 before = _held() + locked;

        SettlementLib.void(MODEL, _model, _freeOf, VoidReason.TOO_FEW_REVEALS);

        assert(_held() == before);
    }

    /// @notice From memory to call data, as the library takes the orders.
    function settle(bytes calldata legOrder, bytes calldata seatOrder) external {
        SettlementLib.settle(MODEL, _model, _freeOf, legOrder, seatOrder);
    }

    /* THE ROUND */

    function _prepare(Money memory money) private {
        _model.rules.legsPerTip = 2;
        _model.rules.selectionBps = 5000;
        _model.rules.marginPpm = 1000;
        _model.rules.agreementPpm = 5000;
        _model.rules.trainerBps = 6000;
        _model.rules.royaltyBps = 2500;
        _model.rules.validatorBps = 1500;
        _model.rules.slashBps = 1000;
        _model.rules.offerDeposit = money.deposit;
        _model.rules.emission = 3000;
        _model.rules.halvingRounds = 1;
        _model.budget = 5000;
        _model.carry = money.carry;
        _model.checkpoints[PARENT].owner = OWNER;
        _prepareRound(money);
    }

    function _prepareRound(Money memory money) private {
        StoredRound storage round = _model.round;
        round.number = 1;
        round.phase = Phase.SETTLE;
        (round.tipCount, round.legCount, round.seatCount) = (1, 2, 3);
        (round.offered, round.submitted, round.committed, round.revealed) = (1, 3, 3, 3);
        round.bond = money.bond;
        round.children[1][0] = PARENT;
        round.leases[0] = Packed.wrap(0x00010000);
        for (uint160 i; i < LEGS; ++i) {
            round.bids[i].trainer = address(uint160(FIRST_TRAINER) + i);
            round.children[0][i] = bytes32(uint256(100) + i);
        }
        // Scores of the legs 0 and 1, 32 bits each with the leg's number on top: (4000, 2000), then (9000, 3000).
        uint256 second = 1 << 59;
        uint256[2] memory scores = [4000 | (2000 << 32) | second, 9000 | (3000 << 32) | second];
        for (uint160 i; i < SEATS; ++i) {
            round.seats[i].validator = address(uint160(FIRST_SEAT) + i);
            round.seats[i].weight = 10;
            if (i < 2) round.seats[i].scores[0] = scores[i];
            _model.validatorOf[address(uint160(FIRST_SEAT) + i)].stake = i < 2 ? 10_000 : money.silentStake;
        }
    }

    function _orders() private pure returns (bytes memory legOrder, bytes memory seatOrder) {
        legOrder = hex"0001";
        seatOrder = hex"00010001";
    }

    function _held() private view returns (uint256 sum) {
        sum = uint256(_model.budget) + _model.carry + _model.checkpoints[PARENT].pending + _freeOf[OWNER];
        for (uint160 i; i < LEGS; ++i) {
            sum += _freeOf[address(uint160(FIRST_TRAINER) + i)];
        }
        for (uint160 i; i < SEATS; ++i) {
            address seat = address(uint160(FIRST_SEAT) + i);
            sum += _freeOf[seat] + _model.validatorOf[seat].stake;
        }
    }
}
