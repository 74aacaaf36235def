// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {SignedBid} from "../interfaces/IRelayLedger.sol";
import {ErrorsLib} from "./ErrorsLib.sol";
import {ScoringLib} from "./ScoringLib.sol";

/// @title Signed messages
/// @notice EIP-712 struct hashes of what others may send, the digest that a manifest's signature is over, and its
/// check.
library SignedLib {
    bytes32 private constant BID =
        keccak256("Bid(bytes32 model,uint64 round,uint8 segment,uint256 amount,uint64 expiry)");
    bytes32 private constant COMMIT = keccak256("Commit(bytes32 model,uint64 round,bytes32 commitment)");
    bytes32 private constant REVEAL =
        keccak256("Reveal(bytes32 model,uint64 round,int64[] scores,bytes32 originals,bytes32 salt)");

    function hashBid(bytes32 model, uint64 round, SignedBid calldata bid) internal pure returns (bytes32) {
        return keccak256(abi.encode(BID, model, round, bid.segment, bid.amount, bid.expiry));
    }

    function hashCommit(bytes32 model, uint64 round, bytes32 commitment) internal pure returns (bytes32) {
        return keccak256(abi.encode(COMMIT, model, round, commitment));
    }

    function hashReveal(bytes32 model, uint64 round, int64[] calldata scores, bytes32 originals, bytes32 salt)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(REVEAL, model, round, keccak256(ScoringLib.words(scores)), originals, salt));
    }

    /// @dev What the trainer of a lease signs when it hands over a child: the signature of the child's manifest.
    function legDigest(bytes32 model, uint64 round, bytes32 parent, bytes32 child) internal view returns (bytes32) {
        return
            sha256(
                abi.encodePacked("derelayl/leg/1", hex"00", block.chainid, address(this), model, round, parent, child)
            );
    }

    /// @dev Reverts with BadSignature unless the account made that signature (r ‖ vs, EIP-2098) over the digest.
    function check(address account, bytes32 digest, bytes32 r, bytes32 vs) internal pure {
        // What is left out only details the fault.
        // slither-disable-next-line unused-return
        (address signer, ECDSA.RecoverError fault,) = ECDSA.tryRecover(digest, r, vs);
        if (fault != ECDSA.RecoverError.NoError || signer != account) revert ErrorsLib.BadSignature();
    }
}
