#!/usr/bin/env bash
# Expected: safetensors.numpy.save writes the numbers of the array that it is given, or refuses the array.
# Happens:  0.8.0 copies memory as it lies, under the array's shape. An array that is not C-contiguous (a transpose,
#           Fortran order) comes back with its numbers in other places, without an error. safetensors.torch refuses
#           such a tensor; safetensors.numpy 0.7.0 wrote it correctly. Its docstring asks for contiguous input.
# Versions: safetensors 0.8.0 and 0.7.0, numpy 2.4.6; seen 2026-11-30. Upstream: safetensors/safetensors#825.
# Matters to whoever saves weights or samples from numpy or scikit-learn: call numpy.ascontiguousarray before saving.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for version in 0.7.0 0.8.0; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet --disable-pip-version-check "safetensors==$version" "numpy==2.4.6"
done

cat >"$work/program.py" <<'PY'
import sys

import numpy as np
import safetensors
from safetensors.numpy import load, save

array = np.arange(6, dtype=np.float32).reshape(2, 3).T
back = load(save({"array": array}))["array"]
print(f"safetensors {safetensors.__version__}: {array.tolist()} came back as {back.tolist()}")
if np.array_equal(array, back) != (safetensors.__version__ == "0.7.0"):
    sys.exit("changed: 0.7.0 should return the transposed array and 0.8.0 other numbers")
PY
"$work/0.7.0/bin/python" "$work/program.py"
"$work/0.8.0/bin/python" "$work/program.py"
