"""Asking a node's REST API, as any user could."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from ..failures import Failure
from ..loopback import is_loopback

REQUEST_SECONDS = 30.0
"""A page of a proof, manifests included, from a node that trains on a slow machine."""

MAX_PAGES = 1_000
"""Pages of one list: with the 200 entries that a node gives at most, more than anybody reads."""

Document = dict[str, Any]
"""A JSON object as the node sent it."""


class NodeSilent(Failure):
    """The node did not answer, or not what was asked for; the message names it."""


@dataclass(frozen=True, slots=True)
class NodeClient:
    """One node's API. Every method raises NodeSilent."""

    url: str

    async def get(self, path: str) -> Document:
        """What is at a path."""
        async with self._connected() as connection:
            return await self._ask(connection, path)

    async def pages(self, path: str) -> list[Document]:
        """A paged answer from a path on, MAX_PAGES at most."""
        found: list[Document] = []
        following: str | None = path
        async with self._connected() as connection:
            while following is not None and len(found) < MAX_PAGES:
                found.append(await self._ask(connection, following))
                with self._understood(path):
                    following = found[-1]["next"]
        return found

    async def items(self, path: str) -> list[Document]:
        """The entries of a paged list."""
        pages = await self.pages(path)
        with self._understood(path):
            return [dict(item) for page in pages for item in page["items"]]

    def _connected(self) -> httpx.AsyncClient:
        with self._understood(""):
            proxies = not is_loopback(httpx.URL(self.url).host)
            return httpx.AsyncClient(base_url=self.url, timeout=REQUEST_SECONDS, trust_env=proxies)

    async def _ask(self, connection: httpx.AsyncClient, path: str) -> Document:
        with self._understood(path):
            response = await connection.get(path)
            document = dict(response.json())
        if response.is_error:
            raise NodeSilent(f"{self.url}: {document.get('detail') or document.get('title') or response.status_code}")
        return document

    @contextmanager
    def _understood(self, path: str) -> Iterator[None]:
        """Raise NodeSilent for what the network or a stranger's answer brings about."""
        try:
            yield
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
            raise NodeSilent(
                f"{self.url}{path} gave no answer that we understand ({error!r}): is it the URL of a derelayl node?"
            ) from error
