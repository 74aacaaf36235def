#!/usr/bin/env bash
# Expected: torch.add(parent, delta, alpha=scale) is parent + delta * scale, bit for bit.
# Happens:  on a processor with fused multiply-add it is rounded once instead of twice, so about 2 % of float32 words
#           differ in the last bit; addcmul and lerp likewise. A loop over numpy or other hardware rounds twice.
#           The same torch on the same machine adds otherwise with ATEN_CPU_CAPABILITY=default: there all agree.
# Versions: torch 2.13.0, numpy 2.4.6, x86-64 with AVX2 or AVX-512; seen 2026-11-30.
# Matters to whoever sends weights as a base and a scaled delta and names the result by a hash: fix the operations
# (multiply, then add) in the format, not just the formula.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "torch==2.13.0" "numpy==2.4.6"

cat >"$work/program.py" <<'PY'
import sys

import numpy as np
import torch

SCALE = 0.01
torch.manual_seed(0)
parent, delta = torch.randn(100_000), torch.randn(100_000)
two_steps = parent + delta * SCALE
in_numpy = torch.from_numpy(parent.numpy() + delta.numpy() * np.float32(SCALE))
fused = {
    "add(alpha=)": torch.add(parent, delta, alpha=SCALE),
    "addcmul": torch.addcmul(parent, delta, torch.tensor(SCALE)),
}
print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}")
print(f"numpy equals multiply, then add: {torch.equal(two_steps, in_numpy)}")
shares = {name: (result != two_steps).float().mean().item() for name, result in fused.items()}
print(", ".join(f"{name} differs in {share:.2%} of the words" for name, share in shares.items()))
vectorised = torch.backends.cpu.get_cpu_capability() != "DEFAULT"
if not torch.equal(two_steps, in_numpy) or any((share > 0) != vectorised for share in shares.values()):
    sys.exit("changed: words should differ with AVX2 and AVX-512, and none should by default")
PY
"$work/venv/bin/python" "$work/program.py"
ATEN_CPU_CAPABILITY=default "$work/venv/bin/python" "$work/program.py"
