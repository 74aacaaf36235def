#!/usr/bin/env bash
# Expected: after `pip install model-signing` its module can be imported and its command runs.
# Happens:  `import model_signing` ends with ModuleNotFoundError: No module named 'OpenSSL'. The package imports
#           pyOpenSSL without naming it among its requirements, and none of those brings it today. `pip check` is
#           content. With pyOpenSSL beside it, it works.
# Versions: model-signing 1.1.1 with sigstore 4.5.1 and pyOpenSSL 26.4.0; seen 2026-11-30.
# Matters to whoever signs or verifies models in a fresh environment or image: install pyOpenSSL too.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
install() { "$work/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }
imports() { "$work/venv/bin/python" -c "import model_signing" 2>"$work/error"; }

install "model-signing==1.1.1" "sigstore==4.5.1"
"$work/venv/bin/pip" freeze | grep -iE '^(model-signing|sigstore)=='
"$work/venv/bin/pip" --disable-pip-version-check check
if imports || ! grep "No module named 'OpenSSL'" "$work/error"; then
    echo "changed: without pyOpenSSL the import should fail for want of OpenSSL" >&2
    exit 1
fi
install "pyOpenSSL==26.4.0"
imports || { echo "changed: with pyOpenSSL the import should succeed" >&2; exit 1; }
echo "with pyOpenSSL 26.4.0 the import succeeds"
