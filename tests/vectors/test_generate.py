"""The vector files are what the generator writes today."""

import runpy
from pathlib import Path

HERE = Path(__file__).parent


def test_generating_the_vectors_again_changes_nothing() -> None:
    for path, text in runpy.run_path(str(HERE / "generate.py"))["files"]().items():
        assert (HERE / path).read_text(encoding="utf-8") == text, f"{path} is stale: python tests/vectors/generate.py"
