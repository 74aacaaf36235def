// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title What participants sign
/// @notice Written from the text of docs/PROTOCOL.md section 3, apart from the contract.
library Messages {
    bytes32 private constant DOMAIN =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant BID =
        keccak256("Bid(bytes32 model,uint64 round,uint8 segment,uint256 amount,uint64 expiry)");
    bytes32 private constant COMMIT = keccak256("Commit(bytes32 model,uint64 round,bytes32 commitment)");
    bytes32 private constant REVEAL =
        keccak256("Reveal(bytes32 model,uint64 round,int64[] scores,bytes32 originals,bytes32 salt)");

    function bid(address ledger, bytes32 model, uint64 round, uint8 segment, uint256 amount, uint64 expiry)
        internal
        view
        returns (bytes32)
    {
        return _digest(ledger, keccak256(abi.encode(BID, model, round, segment, amount, expiry)));
    }

    function commit(address ledger, bytes32 model, uint64 round, bytes32 seal) internal view returns (bytes32) {
        return _digest(ledger, keccak256(abi.encode(COMMIT, model, round, seal)));
    }

    function reveal(
        address ledger,
        bytes32 model,
        uint64 round,
        int64[] memory scores,
        bytes32 originals,
        bytes32 salt
    ) internal view returns (bytes32) {
        bytes32 list = keccak256(abi.encodePacked(scores));
        return _digest(ledger, keccak256(abi.encode(REVEAL, model, round, list, originals, salt)));
    }

    /// @notice What the signature of a manifest says: the trainer hands over `child` under a lease.
    function leg(address ledger, bytes32 model, uint64 round, bytes32 parent, bytes32 child)
        internal
        view
        returns (bytes32)
    {
        return sha256(
            abi.encodePacked("derelayl/leg/1", uint8(0), block.chainid, ledger, model, round, parent, child)
        );
    }

    /// @notice What a seat commits to.
    function sealOf(
        bytes32 model,
        uint64 round,
        address validator,
        int64[] memory scores,
        bytes32 originals,
        bytes32 salt
    ) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(model, uint256(round), uint256(uint160(validator)), salt, scores, originals));
    }

    function _digest(address ledger, bytes32 message) private view returns (bytes32) {
        bytes32 domain =
            keccak256(abi.encode(DOMAIN, keccak256("derelayl"), keccak256("2"), block.chainid, ledger));
        return keccak256(abi.encodePacked(hex"1901", domain, message));
    }
}
