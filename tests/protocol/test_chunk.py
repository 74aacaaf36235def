"""Chunks and their digests."""

import pytest

from derelayl_protocol.checkpoint.chunk import HashedChunk, verified
from derelayl_protocol.errors import PeerFault


def test_a_chunk_with_other_bytes_than_its_name_says_is_its_senders_fault() -> None:
    with pytest.raises(PeerFault, match="other bytes than its name says"):
        verified(HashedChunk(b"weights").digest, b"weight")


def test_a_chunk_is_the_bytes_that_its_name_says() -> None:
    chunk = HashedChunk(b"weights")
    assert verified(chunk.digest, b"weights") == chunk
