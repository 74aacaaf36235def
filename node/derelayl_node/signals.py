"""Ending on Ctrl-C or SIGTERM in an orderly way: what was opened is closed, what was started is stopped."""

from __future__ import annotations

import signal

import trio


async def stop_on_signal(scope: trio.CancelScope) -> None:
    """Cancel the scope on SIGTERM or SIGINT."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            scope.cancel()
            return
