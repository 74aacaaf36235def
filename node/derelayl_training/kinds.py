"""The kinds of data that peers train on, told apart by type and axes alone."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derelayl_protocol.errors import LocalFault

BYTE_VALUES = 256
"""Text is bytes: a network for text tells this many next bytes apart."""


class InputKind(StrEnum):
    """What one sample is; the value is its plural, for messages."""

    IMAGE = "images"  # uint8 (N, C, H, W), labels (N,)
    TABLE = "table rows"  # float32 (N, F), labels (N,)
    TEXT = "text windows"  # uint8 (N, T), labels (N, T): the byte that follows each byte
    LABELLED_TEXT = "labelled texts"  # uint8 (N, T), filled up with zeros, labels (N,)


def kind_of(inputs: NDArray[Any], labels: NDArray[Any] | None = None) -> InputKind:
    """Tell the kind of an array of samples. Raises LocalFault for any other type or number of axes.

    Only their labels tell labelled texts from text windows; without labels both are TEXT.
    """
    match inputs.dtype, inputs.ndim:
        case np.uint8, 4:
            return InputKind.IMAGE
        case np.float32, 2:
            return InputKind.TABLE
        case np.uint8, 2:
            return InputKind.TEXT if labels is None or labels.ndim > 1 else InputKind.LABELLED_TEXT
    raise LocalFault(
        f"samples of type {inputs.dtype} and shape {inputs.shape} are of an unknown kind; allowed are images uint8 "
        f"(N, C, H, W), table rows float32 (N, F) and text windows uint8 (N, T)"
    )
