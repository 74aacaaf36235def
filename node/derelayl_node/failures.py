"""The base of everything that can go wrong outside of us."""

from __future__ import annotations


class Failure(Exception):
    """Something outside failed and a person may mend it; the message is one sentence with the remedy."""
