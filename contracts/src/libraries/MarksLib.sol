// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {WHOLE_MODEL} from "./ConstantsLib.sol";
import {StoredRound} from "./StoredTypes.sol";

/// @title Marks of bids and seats
/// @notice A few bits of each account, which tell most accounts apart without a look at their slots.
/// @dev Each word of `bidMarks` is about 16 bids. From below: their number (five bits), eleven bits of the round that
/// the first word is about, and for each bid eight bits of its trainer and seven of its segment. The second word counts
/// only when the first is full; whoever fills that empties the second.
library MarksLib {
    uint256 private constant BIDS = 16; // in a word
    uint256 private constant COUNT_BITS = 5;
    uint256 private constant HEAD_BITS = 16;
    uint256 private constant ACCOUNT_BITS = 8;
    uint256 private constant MARK_BITS = 15;
    uint256 private constant EACH = (2 ** (MARK_BITS * BIDS) - 1) / (2 ** MARK_BITS - 1); // the first bit of each place
    uint256 private constant SEAT_BITS = 6;
    uint256 private constant WHOLE = 64; // stands for WHOLE_MODEL

    /* BIDS */

    /// @dev The number of bids in the round. The first word is never older than the round before.
    function bidCount(StoredRound storage round) internal view returns (uint256 count) {
        uint256 word = round.bidMarks[0];
        if ((word ^ _head(round.number)) & _low(HEAD_BITS) >> COUNT_BITS << COUNT_BITS != 0) return 0;
        count = word & _low(COUNT_BITS);
        if (count == BIDS) count += round.bidMarks[1] & _low(COUNT_BITS);
    }

    /// @dev Marks the bid at `place`, which is at most the next free one.
    function markBid(StoredRound storage round, uint256 place, uint256 count, address trainer, uint8 segment) internal {
        uint256 word = place == 0 && count == 0 ? _head(round.number) : round.bidMarks[place / BIDS];
        uint256 shift = _shift(place);
        uint256 mark = (uint256(segment == WHOLE_MODEL ? WHOLE : segment) << ACCOUNT_BITS) | _mark(trainer);
        word = (word & ~(_low(MARK_BITS) << shift)) | (mark << shift);
        if (place == count) ++word;
        round.bidMarks[place / BIDS] = word;
        if (count + 1 == BIDS) round.bidMarks[1] = _head(round.number);
    }

    /// @dev The segment that the bid at `place` is for.
    function segmentOf(StoredRound storage round, uint256 place) internal view returns (uint8) {
        uint256 code = (round.bidMarks[place / BIDS] >> (_shift(place) + ACCOUNT_BITS)) & _low(MARK_BITS - ACCOUNT_BITS);
        return code == WHOLE ? WHOLE_MODEL : uint8(code);
    }

    /// @dev Whether the account has placed one of the first `count` bids.
    function hasBid(StoredRound storage round, uint256 count, address account) internal view returns (bool) {
        for (uint256 first; first < count; first += BIDS) {
            uint256 among = count - first < BIDS ? _low(MARK_BITS * (count - first)) : type(uint256).max;
            uint256 alike = _alike(round.bidMarks[first / BIDS] >> HEAD_BITS, _mark(account)) & among;
            for (uint256 place = first; alike != 0; ++place) {
                if (alike & (1 << ACCOUNT_BITS) != 0 && round.bids[place].trainer == account) return true;
                alike >>= MARK_BITS;
            }
        }
        return false;
    }

    /// @dev The bit above the account's in each place that has this mark. A place whose account differs in any bit
    /// carries into that bit when all of them are added to the difference.
    function _alike(uint256 marks, uint256 mark) private pure returns (uint256) {
        unchecked {
            uint256 differences = (marks ^ (mark * EACH)) & (_low(ACCOUNT_BITS) * EACH);
            return ~(differences + _low(ACCOUNT_BITS) * EACH) & (EACH << ACCOUNT_BITS);
        }
    }

    /* SEATS */

    /// @dev The marks of the seats with one more.
    function withSeat(uint256 marks, uint256 seat, address validator) internal pure returns (uint256) {
        return marks | ((uint256(uint160(validator)) & _low(SEAT_BITS)) << (SEAT_BITS * seat));
    }

    /// @dev The number of the account's seat, or the number of seats if it has none.
    function findSeat(StoredRound storage round, address account) internal view returns (uint256 number) {
        uint256 mark = uint256(uint160(account)) & _low(SEAT_BITS);
        uint256 count = round.seatCount;
        for (uint256 marks = round.seatMarks; number < count; ++number) {
            if (marks & _low(SEAT_BITS) == mark && round.seats[number].validator == account) return number;
            marks >>= SEAT_BITS;
        }
    }

    /* INTERNAL */

    /// @dev A word about no bids of that round.
    function _head(uint256 number) private pure returns (uint256) {
        return (number << COUNT_BITS) & _low(HEAD_BITS);
    }

    function _shift(uint256 place) private pure returns (uint256) {
        return HEAD_BITS + MARK_BITS * (place % BIDS);
    }

    function _mark(address trainer) private pure returns (uint256) {
        return uint256(uint160(trainer)) & _low(ACCOUNT_BITS);
    }

    function _low(uint256 bits) private pure returns (uint256) {
        return (1 << bits) - 1;
    }
}
