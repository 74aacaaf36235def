#!/usr/bin/env bash
# Expected: a tensor that hivemind compresses to 8 bits is read back by hivemind.
# Happens:  it is compressed and sent, and then no receiver can read it: TypeError from numpy. hivemind turns an array
#           of one element into an int, which numpy warned about from 1.25 and refuses from 2.4. hivemind asks for
#           numpy>=1.17 without an upper bound, so a plain installation has it. 16-bit compression is not affected.
# Versions: hivemind 1.1.12, numpy 2.4.6 (with 2.3.5 it works), torch 2.13.0, protobuf 7.36.2; seen 2026-11-30.
# Matters to whoever averages or fetches state between peers with 8-bit compression: numpy<2.4 beside hivemind.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
install() { "$work/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }
install "hivemind==1.1.12" "torch==2.13.0" "protobuf==7.36.2" "numpy==2.4.6"

cat >"$work/program.py" <<'PY'
import importlib.metadata
import sys
import warnings

import numpy
import torch

warnings.simplefilter("ignore")
from hivemind.compression import deserialize_torch_tensor, serialize_torch_tensor
from hivemind.proto.runtime_pb2 import CompressionType

print(f"hivemind {importlib.metadata.version('hivemind')}, numpy {numpy.__version__}")
refuses = numpy.__version__ == "2.4.6"
for name, broken in {"FLOAT16": False, "UNIFORM_8BIT": refuses, "QUANTILE_8BIT": refuses}.items():
    torch.manual_seed(0)
    message = serialize_torch_tensor(torch.randn(1000), CompressionType.Value(name))
    try:
        outcome = f"read back, {tuple(deserialize_torch_tensor(message).shape)}"
    except TypeError as error:
        outcome = f"TypeError: {error}"
    print(f"{name}: {len(message.buffer)} bytes, {outcome}")
    if outcome.startswith("TypeError") != broken:
        sys.exit("changed: with numpy 2.4.6 only the 8-bit tensors should be unreadable, with 2.3.5 none")
PY
"$work/venv/bin/python" "$work/program.py"
install "numpy==2.3.5"
"$work/venv/bin/python" "$work/program.py"
