#!/usr/bin/env bash
# Expected: save_file makes a file whose mode the umask decides, as 0.7.0 did (0644 under 022).
# Happens:  0.8.0 makes it 0600 whatever the umask, also where it replaces a file that others could read.
# Versions: safetensors 0.8.0 and 0.7.0, numpy 2.4.6, Linux; seen 2026-11-30.
# Matters to whoever writes checkpoints in one account and serves or judges them in another (a web server, a second
# container, a shared volume): set the mode after saving.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for version in 0.7.0 0.8.0; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet --disable-pip-version-check "safetensors==$version" "numpy==2.4.6"
done

cat >"$work/program.py" <<'PY'
import os
import stat
import sys

import numpy as np
import safetensors
from safetensors.numpy import save_file

os.umask(0o022)
path = sys.argv[1]
modes = []
for _ in range(2):
    save_file({"weight": np.zeros(4, dtype=np.float32)}, path)
    modes.append(stat.S_IMODE(os.stat(path).st_mode))
    os.chmod(path, 0o644)
print(f"safetensors {safetensors.__version__}: new file {modes[0]:04o}, replaced file of mode 0644 {modes[1]:04o}")
if modes != [0o644 if safetensors.__version__ == "0.7.0" else 0o600] * 2:
    sys.exit("changed: under umask 022 release 0.7.0 should leave mode 0644 and 0.8.0 mode 0600")
PY
"$work/0.7.0/bin/python" "$work/program.py" "$work/old.safetensors"
"$work/0.8.0/bin/python" "$work/program.py" "$work/new.safetensors"
