"""Types of fields in files, settings and answers that hold what the ledger names.

A field takes the one spelling of `derelayl_protocol.spelling`, and bytes, which it spells.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from derelayl_protocol.spelling import ADDRESS_PATTERN, HASH_PATTERN, to_hex
from derelayl_protocol.types import ADDRESS_BYTES, HASH_BYTES


def spelled(value: Any) -> Any:
    """Bytes as text, anything else as it is."""
    return to_hex(value) if isinstance(value, bytes) else value


HexAddress = Annotated[
    str,
    Field(
        pattern=ADDRESS_PATTERN, examples=[to_hex(b"\xcd" * ADDRESS_BYTES)], description="Ledger account, lower case"
    ),
]
Hex32 = Annotated[
    str,
    Field(
        pattern=HASH_PATTERN,
        examples=[to_hex(b"\xab" * HASH_BYTES)],
        description=f"{HASH_BYTES} bytes as 0x and {2 * HASH_BYTES} lower-case hex digits",
    ),
    BeforeValidator(spelled),
]
