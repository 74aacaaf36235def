"""One address of a chain: a JSON-RPC call over HTTP, and what an answer that is none means."""

from __future__ import annotations

import json
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, cast

import requests

from ..loopback import is_loopback
from ..ports import LedgerUnavailable
from .answers import Json

RECONNECTS = 2
"""Tries after a refused or dropped connection: an idle connection may be closed just when it is used again."""

RECONNECT_PAUSE_S = 0.05
"""Seconds before the first of them; twice as long before the second."""

MAX_ANSWER_BYTES = 64 * 1024**2
"""Of one answer: ten thousand logs, the most that nodes give at once, are a sixth of it."""

MAX_REASON_CHARS = 300
"""What is shown of a node's own words: they are a stranger's text of any length."""

MIN_SECRET_CHARS = 4
"""Parts of an address that are shorter are no keys: they may appear in what a node says."""

TOO_OFTEN = (
    "compute units",
    "credits",
    "quota",
    "rate limit",
    "request count exceeded",
    "request rate",
    "requests per",
    "too many requests",
)
"""Words, in lower case, of a refusal that means "later" or "pay more", whatever was asked."""

OVERLONG = (413, 504, 524)
"""HTTP statuses of an answer that was too long or took too long to make."""

_CHUNK_BYTES = 64 * 1024


class EndpointFailed(LedgerUnavailable):
    """No JSON-RPC answer came from this address; another one may give it.

    `pause` is how many seconds to leave the address alone, where it said that it is asked too often (0 if it named no
    time); `overlong` says that less may be answered.
    """

    def __init__(self, message: str, *, pause: float | None = None, overlong: bool = False) -> None:
        super().__init__(message)
        self.pause, self.overlong = pause, overlong


class Endpoint:
    """Asks one address. Thread safe, synchronous. Errors never show what the address keeps secret."""

    def __init__(self, url: str, timeout: float, clock: Callable[[], float] = time.time) -> None:
        """`timeout` in seconds for one answer. `clock` gives Unix seconds. Raises LedgerUnavailable for no http(s) URL.

        A proxy of the environment is used, but never for this machine itself.
        """
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise LedgerUnavailable(
                f"{public(url)} is not the address of a chain: give the http:// or https:// URL of a JSON-RPC node."
            )
        self.name = public(url)
        self._url, self._timeout, self._clock = url, timeout, clock
        self._secrets = _secrets(parts)
        self._session = requests.Session()
        self._session.trust_env = not is_loopback(parts.hostname)

    def ask(self, method: str, params: Sequence[Json]) -> Mapping[str, Json]:
        """The JSON-RPC answer: an object with `result` or `error`. Raises EndpointFailed."""
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        for turn in range(RECONNECTS):
            try:
                return self._once(call)
            except requests.Timeout:
                break
            except requests.ConnectionError:
                time.sleep(RECONNECT_PAUSE_S * 2**turn)
            except requests.RequestException:
                break
        try:
            return self._once(call)
        except requests.RequestException as error:
            # Not `from error`: its text holds the whole URL.
            raise EndpointFailed(f"The chain at {self.name} {_silence(error, self._timeout)}.") from None

    def _once(self, call: Mapping[str, Json]) -> Mapping[str, Json]:
        with self._session.post(
            self._url, json=call, timeout=self._timeout, stream=True, allow_redirects=False
        ) as response:
            return self._read(response.status_code, response.headers, self._body(response))

    def _body(self, response: requests.Response) -> bytes:
        body, started = bytearray(), time.monotonic()
        for chunk in response.iter_content(_CHUNK_BYTES):
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise EndpointFailed(
                    f"The chain at {self.name} sent more than {MAX_ANSWER_BYTES // 1024**2} MiB: ask another node.",
                    overlong=True,
                )
            if time.monotonic() - started > self._timeout:
                raise requests.ReadTimeout
        return bytes(body)

    def _read(self, status: int, headers: Mapping[str, str], body: bytes) -> Mapping[str, Json]:
        try:
            document: Json = json.loads(body)
        except (ValueError, RecursionError):  # bytes of no encoding are a ValueError
            document = None
        said = self._said(document, body)
        shown = f"HTTP {status}, {said}" if status != requests.codes.ok else said
        if status == requests.codes.too_many_requests or _is_too_often(document):
            pause = _retry_after(headers.get("Retry-After", ""), self._clock())
            rest = f" and wants {pause:.0f} s of rest" if pause else ""
            raise EndpointFailed(
                f"The chain at {self.name} is asked too often ({shown}){rest}: wait, or give further addresses with "
                "--chain-url.",
                pause=pause,
            )
        if status in (requests.codes.unauthorized, requests.codes.forbidden):
            raise EndpointFailed(f"The chain at {self.name} refuses access ({shown}): check the key in the URL.")
        if isinstance(document, dict) and "result" in document and document.get("error", "") is None:
            del document["error"]  # some nodes send both
        answered = isinstance(document, Mapping) and ("result" in document or "error" in document)
        if answered and status <= requests.codes.internal_server_error:
            return cast("Mapping[str, Json]", document)
        if status >= requests.codes.internal_server_error or status in OVERLONG:
            raise EndpointFailed(
                f"The chain at {self.name} is out of order ({shown}): wait.", overlong=status in OVERLONG
            )
        raise EndpointFailed(f"What answers at {self.name} is not a chain's JSON-RPC ({shown}): check the URL.")

    def _said(self, document: Json, body: bytes) -> str:
        """What was said, in one printable line without the address's secrets."""
        reason = reason_of(document)
        if reason is None:
            if not body.strip():
                return "an empty answer"
            if body.lstrip().startswith(b"<"):
                return "a web page"
            reason = body[: 4 * MAX_REASON_CHARS].decode("utf-8", "replace")
        for secret in self._secrets:
            reason = reason.replace(secret, "…")
        return printable(reason)


def reason_of(document: Json) -> str | None:
    """The words of an error, in the forms in which nodes give them."""
    if not isinstance(document, Mapping):
        return None
    error = document.get("error", document)
    message = error.get("message") if isinstance(error, Mapping) else error
    return message if isinstance(message, str) else None


def printable(text: str) -> str:
    """A stranger's text as one line of bounded length."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= MAX_REASON_CHARS else line[: MAX_REASON_CHARS - 1] + "…"


def refusal(where: str, method: str, reason: str) -> str:
    """The sentence on an error that a node answers with, in its own words."""
    ended = reason.rstrip(" .")
    return f"The chain at {where} refused {method}: {ended}. Try again, or use another URL with --chain-url."


def public(url: str) -> str:
    """The URL without what may be a secret: user, password, path and query."""
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    port = f":{parts.port}" if _has_port(parts) else ""
    return f"{parts.scheme}://{host}{port}" if host else "the given address"


def _is_too_often(document: Json) -> bool:
    """Whether a JSON-RPC error says "not so often"; a contract that reverts may use any words."""
    error: Any = document.get("error") if isinstance(document, Mapping) else None
    if error is None:
        return False
    code = error.get("code") if isinstance(error, Mapping) else None
    words = (reason_of(document) or "").lower()
    return code == requests.codes.too_many_requests or (
        code != 3 and "revert" not in words and any(each in words for each in TOO_OFTEN)
    )


def _retry_after(value: str, now: float) -> float:
    """Seconds that a Retry-After header asks for: it gives a number or a date. 0 if there is none."""
    if value.strip().isdigit():
        return float(value[:12])
    try:
        then = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp() - now)


def _silence(error: requests.RequestException, timeout: float) -> str:
    if isinstance(error, requests.exceptions.ProxyError):
        return "cannot be reached through the environment's proxy: check http_proxy and no_proxy"
    if isinstance(error, requests.exceptions.SSLError):
        return "shows no valid certificate: check the URL"
    if isinstance(error, requests.Timeout):
        return f"does not answer within {timeout:.0f} s: check that it runs and that the URL is right"
    return "does not answer: check that it runs and that the URL is right"


def _secrets(parts: urllib.parse.SplitResult) -> tuple[str, ...]:
    """What of a URL may be a key, longest first."""
    values = (value for pair in urllib.parse.parse_qsl(parts.query) for value in pair)
    found = {parts.username or "", parts.password or "", parts.query, *values, *parts.path.split("/")}
    return tuple(sorted((each for each in found if len(each) >= MIN_SECRET_CHARS), key=len, reverse=True))


def _has_port(parts: urllib.parse.SplitResult) -> bool:
    try:
        return parts.port is not None
    except ValueError:
        return False
