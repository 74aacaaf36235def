"""What docs/SIMULATION.md shows of Python runs, and gives what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

SIMULATION = (Path(__file__).parents[2] / "docs" / "SIMULATION.md").read_text(encoding="utf-8")


def test_the_example_runs_and_says_what_a_deviation_gains() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", SIMULATION, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(example, "SIMULATION.md", "exec"), names)  # noqa: S102
    assert len(names["played"].table["quality"]) == names["scenario"].rounds == 40
    assert names["scenario"].ledger.royalty_share == 0.25
    tried = names["deviations"](names["small"], seed=0)
    assert {"sybil", "averager", "multi", "nudging-ring"} <= set(tried)
    assert tried["sybil"].gain == tried["sybil"].profit - tried["sybil"].before == names["gains"][0]
