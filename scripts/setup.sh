#!/usr/bin/env bash
# Make the virtual environment named by the first argument and install the pinned dependencies of everything that
# `derelayl` does into it; with `dev` as the second one those of the tests and benchmarks too, all data sets and encoders
# of the extras among them.
# Checks what libp2p's native part needs first, so that a missing compiler is one sentence and not a page of errors.
set -euo pipefail
venv=${1:?usage: setup.sh VENV [dev]}
wanted=.[${2:-devnet}]

fail() { echo "derelayl setup: $1" >&2; exit 1; }

find_python() {
    for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
        [ -n "$candidate" ] && command -v "$candidate" >/dev/null || continue
        "$candidate" -c 'import sys; sys.exit(not sys.version_info >= (3, 11))' 2>/dev/null && { echo "$candidate"; return; }
    done
    fail "needs Python 3.11 or newer; install it (Debian: apt-get install python3 python3-venv) or set PYTHON=/path/to/python3"
}

# libp2p builds fastecdsa from source: a C compiler and the headers of GMP.
missing=()
command -v cc >/dev/null || command -v gcc >/dev/null || missing+=(build-essential)
found_gmp=no
if command -v cc >/dev/null || command -v gcc >/dev/null; then
    compiler=$(command -v cc || command -v gcc)
    echo '#include <gmp.h>' | "$compiler" -E -x c - >/dev/null 2>&1 && found_gmp=yes
fi
[ "$found_gmp" = yes ] || missing+=(libgmp-dev)
if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "derelayl setup: installing ${missing[*]} (libp2p compiles a part of itself)"
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null ||
            fail "apt-get could not install ${missing[*]}; install them by hand and run this again"
    else
        fail "needs ${missing[*]} (Debian: sudo apt-get install ${missing[*]}; Fedora: sudo dnf install gcc gmp-devel; macOS: xcode-select --install && brew install gmp)"
    fi
fi

python=$(find_python)
"$python" -m venv "$venv" || fail "could not make $venv; on Debian install python3-venv"
echo "derelayl setup: installing the pinned dependencies into $venv (some minutes the first time)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e "$wanted" ||
    fail "pip could not install the dependencies; the lines above say which. Without network, set PIP_FIND_LINKS to a folder of wheels"
