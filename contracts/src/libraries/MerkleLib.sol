// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title RFC 9162 Merkle trees over SHA-256
library MerkleLib {
    /// @dev Whether `leafHash` is the leaf at `index` of the tree of `count` leaves with that root (section 2.1.3.2).
    function verify(bytes32 root, bytes32 leafHash, uint256 index, uint256 count, bytes32[] calldata path)
        internal
        pure
        returns (bool)
    {
        if (index >= count) return false;
        uint256 last = count - 1;
        bytes32 hash = leafHash;
        for (uint256 i; i < path.length; ++i) {
            if (last == 0) return false;
            if (index & 1 == 1 || index == last) {
                hash = _node(path[i], hash);
                while (index & 1 == 0 && index != 0) {
                    index >>= 1;
                    last >>= 1;
                }
            } else {
                hash = _node(hash, path[i]);
            }
            index >>= 1;
            last >>= 1;
        }
        return last == 0 && hash == root;
    }

    /// @dev The leaf hash of a manifest's chunk; the second byte tells a chunk from the header.
    function chunkLeaf(uint32 tensor, uint64 offset, uint32 length, bytes32 digest) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(hex"0002", tensor, offset, length, digest));
    }

    function _node(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return sha256(abi.encodePacked(hex"01", left, right));
    }
}
