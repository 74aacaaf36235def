// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @dev Up to 32 small numbers in one word; number i is the byte of value 256**i.
type Packed is uint256;

using PackedLib for Packed global;

/// @title Short lists in one storage slot
library PackedLib {
    /// @dev Packs at most 32 numbers.
    function pack(uint8[] calldata numbers) internal pure returns (Packed) {
        uint256 word;
        for (uint256 i; i < numbers.length; ++i) {
            word |= uint256(numbers[i]) << (8 * i);
        }
        return Packed.wrap(word);
    }

    /// @dev The list with its number at `index`, zero so far, replaced.
    function with(Packed list, uint256 index, uint8 number) internal pure returns (Packed) {
        return Packed.wrap(Packed.unwrap(list) | (uint256(number) << (8 * index)));
    }

    function get(Packed list, uint256 index) internal pure returns (uint8) {
        return uint8(Packed.unwrap(list) >> (8 * index));
    }
}
