#!/usr/bin/env bash
# Expected: a bill of materials that is read and written again keeps what the format has a field for, or is refused.
# Happens:  the modelCard of a machine-learning-model component (part of CycloneDX since 1.5: task, architecture,
#           metrics) is gone after Bom.from_json and JsonV1Dot6, silently. The pedigree stays, and what is
#           written is a valid document as well.
# Versions: cyclonedx-python-lib 11.12.0; seen 2026-11-30.
# Matters to whoever merges, signs or annotates bills of materials of models in Python: edit the JSON itself.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "cyclonedx-python-lib[json-validation]==11.12.0"

"$work/venv/bin/python" - <<'PY'
import importlib.metadata
import json
import sys

from cyclonedx.model.bom import Bom
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

document = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "version": 1,
    "components": [
        {
            "type": "machine-learning-model",
            "bom-ref": "child",
            "name": "digits",
            "version": "2",
            "pedigree": {"ancestors": [{"type": "machine-learning-model", "name": "digits", "version": "1"}]},
            "modelCard": {
                "modelParameters": {"task": "image-classification", "architectureFamily": "CNN"},
                "quantitativeAnalysis": {"performanceMetrics": [{"type": "accuracy", "value": "0.94"}]},
            },
        }
    ],
}
validator = JsonStrictValidator(SchemaVersion.V1_6)
before = json.dumps(document)
after = JsonV1Dot6(Bom.from_json(json.loads(before))).output_as_string()
print(f"cyclonedx-python-lib {importlib.metadata.version('cyclonedx-python-lib')}")
fields = []
for name, text in {"read": before, "written": after}.items():
    fields.append(sorted(json.loads(text)["components"][0]))
    print(f"{name}: valid {validator.validate_str(text) is None}, the component has {', '.join(fields[-1])}")
if set(fields[0]) - set(fields[1]) != {"modelCard"}:
    sys.exit("changed: exactly the model card should be lost")
PY
