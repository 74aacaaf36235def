"""Serve an ASGI application from the node's own trio loop."""

from __future__ import annotations

import errno
import logging
import socket
from functools import partial
from typing import TYPE_CHECKING

import hypercorn.trio
import trio
from hypercorn.config import Config
from hypercorn.typing import ASGIFramework

from ..failures import Failure

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the stubs installed beside trio hide trio.TaskStatus from type checkers

MAX_HEADER_BYTES = 16 * 1024
"""Request line and headers of one request."""

READ_SECONDS = 30
"""A client that sends nothing for this long, in the middle of a request or between two, is disconnected."""

GRACEFUL_SECONDS = 3.0
"""What running requests get to finish when the node stops."""

MAX_PORT = 65_535

BACKLOG = 100
"""Connections that may wait to be accepted."""


class CannotListen(Failure):
    """The address cannot be used; the message is one sentence with the remedy."""


async def serve(
    app: ASGIFramework,
    host: str,
    port: int,
    shutdown: trio.Event,
    *,
    task_status: TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `shutdown` is set; with ``nursery.start`` gives the bound URL. Port 0 takes a free one.

    Raises CannotListen.
    """
    listener = await _listen(host, port)
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.errorlog = logging.getLogger("hypercorn.error")  # to our handler, not to one of its own
    config.h11_max_incomplete_size = MAX_HEADER_BYTES
    config.h2_max_header_list_size = MAX_HEADER_BYTES
    config.read_timeout = READ_SECONDS
    config.graceful_timeout = GRACEFUL_SECONDS
    config.include_server_header = False
    async with trio.open_nursery() as nursery:
        run = partial(hypercorn.trio.serve, app, config, shutdown_trigger=shutdown.wait, mode="asgi")
        bound: list[str] = await nursery.start(run)
        task_status.started(bound[0])


async def _listen(host: str, port: int) -> socket.socket:
    """Bind here, because the server would end the process's start with a bare OSError."""
    if not 0 <= port <= MAX_PORT:  # the resolver would take it modulo 65536
        raise CannotListen(f"there is no port {port}; choose one from 1 to {MAX_PORT}, or 0 for a free one")
    try:
        found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotListen(f"the API's address {host} port {port} is not understood ({error})") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise CannotListen(_reason(error, host, port)) from error
    return listener


def _reason(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use; stop the other program or choose another port (0 takes a free one)"
    if error.errno == errno.EACCES:
        return f"this user may not listen on port {port}; choose one above 1023"
    return f"the API cannot listen on {host} port {port} ({error.strerror}); choose another address"
