// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @dev Up to 32 small numbers in one word; number i is the byte of value 256**i.
type Packed is uint256;

using PackedLib for Packed global;

/// @title Short lists and sets in one storage slot
library PackedLib {
    /// @dev The list with its number at `index` replaced.
    function with(Packed list, uint256 index, uint8 number) internal pure returns (Packed) {
        uint256 others = Packed.unwrap(list) & ~(uint256(0xff) << (8 * index));
        return Packed.wrap(others | (uint256(number) << (8 * index)));
    }

    function get(Packed list, uint256 index) internal pure returns (uint8) {
        return uint8(Packed.unwrap(list) >> (8 * index));
    }

    /// @dev The byte at an index that is known to be within the list.
    function byteAt(bytes calldata list, uint256 index) internal pure returns (uint256 entry) {
        assembly ("memory-safe") {
            entry := byte(0, calldataload(add(list.offset, index)))
        }
    }

    /// @dev Whether the bit of `index` is set.
    function has(uint256 set, uint256 index) internal pure returns (bool) {
        return (set >> index) & 1 == 1;
    }

    /// @dev The number of bits that are set.
    function size(uint256 set) internal pure returns (uint256 count) {
        for (; set != 0; set &= set - 1) {
            ++count;
        }
    }

    /// @dev The set of the first `count` indices.
    function full(uint256 count) internal pure returns (uint256) {
        return (1 << count) - 1;
    }
}
