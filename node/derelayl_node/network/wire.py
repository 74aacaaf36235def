"""Reading and writing libp2p streams: every wait bounded, every failure one exception."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import trio
from libp2p.abc import INetStream
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.stream.exceptions import StreamEOF

from derelayl_protocol.limits import KIB

IDLE_SECONDS = 20.0
"""A stream that moves no byte for this long is dead; a loaded two-core machine was seen to pause for ten."""

MIN_BYTES_PER_SECOND = 16 * KIB
"""Slower than this in total is dead too: stops a peer that sends one byte every IDLE_SECONDS."""

CLOSE_SECONDS = 2.0
"""For closing or resetting one stream."""

STREAM_ERRORS = (BaseLibp2pError, OSError, EOFError, trio.ClosedResourceError, trio.BrokenResourceError)
"""What libp2p raises when the other side, or the connection, is gone."""


class StreamFailed(Exception):
    """The stream ended, stalled or was reset before the message was complete."""


async def read_exactly(stream: INetStream, count: int, *, or_end: bool = False) -> bytes:
    """Read `count` bytes; with `or_end`, the stream may also end before the first, which gives none.

    Raises StreamFailed. Returns as soon as the last byte is here, so a sender never waits for our later work: it gives
    up when its reader pauses for five seconds.
    """
    parts: list[bytes] = []
    missing = count
    with _deadline(_seconds_for(count), "read"):
        while missing:
            with _deadline(IDLE_SECONDS, "read"), _as_stream_failed("read"):
                try:
                    part = await stream.read(missing)
                except StreamEOF:
                    part = b""
            if not part and or_end and missing == count:
                return b""
            if not part:
                raise StreamFailed(f"the stream ended {missing} of {count} bytes early")
            parts.append(part)
            missing -= len(part)
    return b"".join(parts)


async def read_block(stream: INetStream, limit: int) -> bytes:
    """Read a u32 length and that many bytes. Raises StreamFailed, ValueError when the length is above `limit`."""
    length = int.from_bytes(await read_exactly(stream, 4), "big")
    if length > limit:
        raise ValueError(f"a block of {length} bytes, at most {limit} are allowed")
    return await read_exactly(stream, length)


async def write(stream: INetStream, data: bytes) -> None:
    """Write all of `data`. Raises StreamFailed."""
    with _deadline(_seconds_for(len(data)), "write"), _as_stream_failed("write"):
        await stream.write(data)


def block(data: bytes) -> bytes:
    """Prefix `data` with its length as u32."""
    return len(data).to_bytes(4, "big") + data


@asynccontextmanager
async def closing(stream: INetStream) -> AsyncIterator[INetStream]:
    """Close the stream after the body, or reset it when the body raises; neither can block or raise."""
    done = False
    try:
        yield stream
        done = True
    finally:
        with trio.move_on_after(CLOSE_SECONDS) as scope:
            scope.shield = True
            try:
                await (stream.close() if done else stream.reset())
            except STREAM_ERRORS:  # the other side closed first
                done = False


def _seconds_for(count: int) -> float:
    return IDLE_SECONDS + count / MIN_BYTES_PER_SECOND


@contextmanager
def _deadline(seconds: float, what: str) -> Iterator[None]:
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError:
        raise StreamFailed(f"the peer stalled for {seconds:.0f} s during a {what}") from None


@contextmanager
def _as_stream_failed(what: str) -> Iterator[None]:
    try:
        yield
    except STREAM_ERRORS as error:
        raise StreamFailed(f"the stream broke during a {what}: {error!r}") from error
