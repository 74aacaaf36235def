#!/usr/bin/env bash
# Expected: saving the same tensors with the same metadata twice gives the same bytes; tensors have a fixed order.
# Happens:  the keys of the metadata are written in an order that changes from call to call, so the file has another
#           hash each time although its content is equal. With no more than one key the bytes repeat.
# Versions: safetensors 0.8.0, numpy 2.4.6; seen 2026-11-30. Upstream: safetensors/safetensors#584.
# Matters to whoever names, signs or deduplicates checkpoints by the hash of the file: hash tensors, or write the
# header oneself with sorted keys.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "safetensors==0.8.0" "numpy==2.4.6"

"$work/venv/bin/python" - <<'PY'
import hashlib
import sys

import numpy as np
import safetensors
from safetensors.numpy import save

SAVES = 50


def hashes(metadata: dict[str, str]) -> int:
    tensors = {"weight": np.zeros(4, dtype=np.float32)}
    return len({hashlib.sha256(save(tensors, metadata=metadata)).digest() for _ in range(SAVES)})


one, six = hashes({"format": "np"}), hashes({key: "same" for key in ("a", "b", "c", "d", "e", "f")})
print(f"safetensors {safetensors.__version__}: {SAVES} saves of equal content have {one} hash with one metadata key")
print(f"and {six} hashes with six")
if one != 1 or six == 1:
    sys.exit("changed: with six metadata keys the bytes should differ from save to save, with one they should repeat")
PY
