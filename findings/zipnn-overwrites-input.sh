#!/usr/bin/env bash
# Expected: compressing a tensor leaves the tensor as it was.
# Happens:  ZipNN(input_format="torch").compress(tensor) rearranges the bytes of a contiguous float32 or bfloat16
#           tensor where they lie. The compressed bytes are right; the tensor that was handed over is garbage from
#           then on. A float16 tensor and one that is not contiguous stay whole. Nothing in the docstring says so.
# Versions: zipnn 0.5.4, torch 2.13.0, numpy 2.4.6; seen 2026-11-30.
# Matters to whoever compresses the weights of a network in use, to hand them on: compress a clone.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "zipnn==0.5.4" "torch==2.13.0" "numpy==2.4.6"

"$work/venv/bin/python" - <<'PY'
import importlib.metadata
import sys

import torch
from zipnn import ZipNN

print(f"zipnn {importlib.metadata.version('zipnn')}, torch {torch.__version__}")
expected = {torch.float32: False, torch.bfloat16: False, torch.float16: True}
for dtype, kept in expected.items():
    torch.manual_seed(0)
    tensor = torch.randn(1000, 100).to(dtype)
    before = tensor.clone()
    packed = ZipNN(input_format="torch").compress(tensor)
    whole = torch.equal(before, ZipNN(input_format="torch").decompress(packed))
    same = torch.equal(before, tensor)
    print(f"{dtype}: decompressed equal {whole}, input untouched {same}; [0, 0] was {before[0, 0]:.4g}", end="")
    print(f" and is {tensor[0, 0]:.4g}")
    if not whole or same != kept:
        sys.exit("changed: all should decompress to the original, and only float16 should leave the input untouched")
PY
