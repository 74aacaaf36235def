"""Every limit of the protocol, with its unit and its reason. The contract repeats those it enforces."""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB

MAX_CHUNK_BYTES = 1 * MIB
"""One chunk: large enough to amortise a request, small enough to re-fetch and to hold a few in memory."""

MAX_MANIFEST_BYTES = 4 * MIB
"""One manifest on the wire: about 40,000 chunks, a model of 40 GB."""

MAX_CHUNKS = 65_536
"""Chunks of one checkpoint; bounds the Merkle tree to 17 levels."""

MAX_TENSORS = 16_384
"""Tensors of one checkpoint."""

MAX_TENSOR_DIMENSIONS = 8
"""Dimensions of one tensor."""

MAX_TEXT = 256
"""Characters of a tensor's name or of any other text in a manifest's header."""

MAX_PARENTS = 2
"""A leg has one parent; what was composed of two legs under version 1 of the ledger names both."""

MAX_ANNOUNCEMENT_BYTES = 16 * KIB
"""One gossip message; gossipsub loses messages near 1 MiB without an error, so we stay far below."""

MAX_DIGESTS_PER_REQUEST = 16
"""Chunks that one request may name: 16 MiB of answer at most."""

MAX_SEGMENTS = 64
"""Segments of one model."""

MAX_BIDS = 32
"""Bids in one round: bounds the gas of matching and settling."""

MAX_TIPS = MAX_BIDS
"""Tips that live at once: the selected legs of one round, and a leg needs a bid."""

MAX_COMMITTEE = 15
"""Validators of one round: bounds the gas of settling (legs times seats)."""

MAX_COMMITTEE_DRAWS = 48
"""Draws when a committee is seated: at most this many validators are looked at, however many have staked."""

MAX_SCORE_PPM = 20_000_000
"""Magnitude of a score: a loss that falls or grows by a factor of e**20."""

MAX_PHASE_SECONDS = 30 * 24 * 3600
"""The longest phase: thirty days."""

MAX_AMOUNT_WEI = 2**96 - 1
"""Largest single amount; sums of 2**32 of them still fit a uint128."""

MAX_REPORTER_BPS = 5_000
"""Largest share of an equivocator's loss that its reporter may get: who reports itself still loses half."""

MAX_COLLECT_STEPS = 32
"""Royalty steps in one call: gas stays under two million."""

BPS = 10_000
"""Basis points in a whole."""
