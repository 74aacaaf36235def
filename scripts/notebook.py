"""Makes examples/incentives.ipynb from examples/incentives.py: executes its cells in order and keeps what they show.

Cells begin with `# %%`, text with `# %% [markdown]`. They run in one plain module, in this process; a notebook with its
outputs is a JSON file of a simple form (nbformat 4), so nothing of Jupyter is needed to make or to check it.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import re
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[1] / "examples" / "incentives.py"
DOTS_PER_INCH = 70
"""Small pictures: a repository keeps every one that ever was."""

Cell = dict[str, Any]


def cells(source: str) -> Iterator[tuple[bool, str]]:
    """Yield (is it text, content) for every cell."""
    _, *parts = re.split(r"^# %%(.*)$", source, flags=re.MULTILINE)
    for head, body in zip(parts[::2], parts[1::2], strict=True):
        lines = body.strip("\n").split("\n")
        if head.strip() == "[markdown]":
            yield True, "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines)
        else:
            yield False, "\n".join(lines)


def execute(source: str) -> dict[str, Any]:
    """Return the notebook of a source, with the outputs of its cells. Raises whatever a cell raises."""
    import matplotlib as mpl

    mpl.use("agg")
    module = types.ModuleType("notebook")
    sys.modules[module.__name__] = module  # classes of the cells are looked up by their module's name
    made: list[Cell] = []
    try:
        for number, (is_text, content) in enumerate(cells(source)):
            common = {"id": f"cell-{number}", "metadata": {}, "source": content.splitlines(keepends=True)}
            if is_text:
                made.append({"cell_type": "markdown", **common})
                continue
            count = sum(cell["cell_type"] == "code" for cell in made) + 1
            made.append({"cell_type": "code", **common, "execution_count": count, "outputs": _outputs(content, module)})
    finally:
        del sys.modules[module.__name__]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def text_of(cell: Cell) -> str:
    """Return what a cell printed."""
    return "".join("".join(each["text"]) for each in cell.get("outputs", ()) if each["output_type"] == "stream")


def _outputs(code: str, module: types.ModuleType) -> list[dict[str, Any]]:
    """Run a cell: what it prints is one output, every figure that it leaves open another, as in Jupyter."""
    import matplotlib.pyplot as plt

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "FigureCanvasAgg is non-interactive", UserWarning)  # shown below
        exec(compile(ast.parse(code), str(SOURCE), "exec"), module.__dict__)  # noqa: S102
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        text = printed.getvalue().splitlines(keepends=True)
        outputs.append({"name": "stdout", "output_type": "stream", "text": text})
    for number in plt.get_fignums():
        picture = io.BytesIO()
        plt.figure(number).savefig(picture, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
        data = {"image/png": base64.b64encode(picture.getvalue()).decode() + "\n"}
        outputs.append({"data": data, "metadata": {}, "output_type": "display_data"})
    plt.close("all")
    return outputs


if __name__ == "__main__":
    notebook = execute(SOURCE.read_text(encoding="utf-8"))
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    SOURCE.with_suffix(".ipynb").write_text(text, encoding="utf-8")
