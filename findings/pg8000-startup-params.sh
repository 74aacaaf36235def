#!/usr/bin/env bash
# Expected: the error for a startup parameter that pg8000 wants as a keyword argument names the parameter.
# Happens:  it shows the source text of a format string: "The parameters '{common_params}' can't appear in
#           startup_params", so whoever passes several of them is not told which one is meant.
# Versions: pg8000 1.31.6, Python 3.11; seen 2026-11-30. No server is needed: it is refused before connecting.
# Matters to who hands on the query of a `postgresql://` URL as startup parameters.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "pg8000==1.31.6"

cat >"$work/refused.py" <<'PYTHON'
import pg8000.dbapi

asked = {"application_name": "reader", "search_path": "lineage"}
try:
    pg8000.dbapi.connect(user="reader", host="127.0.0.1", port=1, startup_params=asked)
except pg8000.dbapi.InterfaceError as error:
    print(error)
    assert "'{common_params}'" in str(error), "the message has changed"
    assert "application_name" not in str(error), "the parameter is named now"
PYTHON
"$work/venv/bin/python" "$work/refused.py"
