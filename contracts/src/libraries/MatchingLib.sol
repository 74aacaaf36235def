// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Bid, Tip} from "../interfaces/IRelayLedger.sol";
import {MAX_COMMITTEE_DRAWS} from "./ConstantsLib.sol";
import {ErrorsLib} from "./ErrorsLib.sol";
import {StoredModel} from "./StoredTypes.sol";

/// @title Matching
/// @notice Checks the two orders that the caller sorted, and draws the committee.
library MatchingLib {
    /// @dev Reverts with WrongOrder unless `order` names every bid once: amount descending, then hash ascending.
    function checkBidOrder(Bid[] memory bids, bytes32 seed, uint8[] calldata order) internal pure {
        if (order.length != bids.length) revert ErrorsLib.WrongOrder();
        for (uint256 i; i < order.length; ++i) {
            if (order[i] >= bids.length) revert ErrorsLib.WrongOrder();
            if (i > 0 && !_ranksBefore(bids[order[i - 1]], bids[order[i]], seed)) revert ErrorsLib.WrongOrder();
        }
    }

    /// @dev Reverts with WrongOrder unless `order` names every tip once: offered first, then score descending, then
    /// hash ascending.
    function checkTipOrder(Tip[] memory tips, bytes32 seed, uint8[] calldata order) internal pure {
        if (order.length != tips.length) revert ErrorsLib.WrongOrder();
        for (uint256 i; i < order.length; ++i) {
            if (order[i] >= tips.length) revert ErrorsLib.WrongOrder();
            if (i > 0 && !_ranksBefore(tips[order[i - 1]], tips[order[i]], seed)) revert ErrorsLib.WrongOrder();
        }
    }

    /// @dev Draws the committee without replacement from the model's validators; who has a stake in the outcome gets no
    /// seat.
    /// @return seated The validators in seat order, at most `committeeSize`.
    function drawCommittee(StoredModel storage model, bytes32 seed, Bid[] memory bids, Tip[] memory tips)
        internal
        view
        returns (address[] memory seated)
    {
        seated = new address[](model.rules.committeeSize);
        uint256 count = model.validators.length;
        uint256 draws = count < MAX_COMMITTEE_DRAWS ? count : MAX_COMMITTEE_DRAWS;
        // Swapping moves what was at i to the drawn position; only those few positions are remembered, not the whole
        // list.
        uint256[] memory positions = new uint256[](draws);
        uint256[] memory moved = new uint256[](draws);
        uint256 size;
        for (uint256 i; i < draws && size < seated.length; ++i) {
            uint256 position = i + uint256(sha256(abi.encode(seed, i))) % (count - i);
            address candidate = model.validators[_entryAt(position, positions, moved, i)];
            moved[i] = _entryAt(i, positions, moved, i);
            positions[i] = position;
            if (_mayJudge(model, candidate, bids, tips)) seated[size++] = candidate;
        }
        assembly ("memory-safe") {
            mstore(seated, size)
        }
    }

    /// @dev The index of the validator that the first `steps` swaps left at `position`; the latest swap counts.
    function _entryAt(uint256 position, uint256[] memory positions, uint256[] memory moved, uint256 steps)
        private
        pure
        returns (uint256)
    {
        while (steps > 0) {
            --steps;
            if (positions[steps] == position) return moved[steps];
        }
        return position;
    }

    function _mayJudge(StoredModel storage model, address candidate, Bid[] memory bids, Tip[] memory tips)
        private
        view
        returns (bool)
    {
        if (model.validatorOf[candidate].stake < model.rules.validatorStake) return false;
        for (uint256 i; i < bids.length; ++i) {
            if (bids[i].trainer == candidate) return false;
        }
        for (uint256 i; i < tips.length; ++i) {
            if (tips[i].owner == candidate) return false;
        }
        return true;
    }

    function _ranksBefore(Bid memory a, Bid memory b, bytes32 seed) private pure returns (bool) {
        if (a.amount != b.amount) return a.amount > b.amount;
        return sha256(abi.encodePacked(seed, a.trainer)) < sha256(abi.encodePacked(seed, b.trainer));
    }

    function _ranksBefore(Tip memory a, Tip memory b, bytes32 seed) private pure returns (bool) {
        if (a.offered != b.offered) return a.offered;
        if (a.score != b.score) return a.score > b.score;
        return sha256(abi.encodePacked(seed, a.root)) < sha256(abi.encodePacked(seed, b.root));
    }
}
