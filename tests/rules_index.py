"""docs/RULES-INDEX.md from docs/rules.toml: where each rule of the protocol is, in every form that it has.

    python -m tests.rules_index --write

writes the page; without `--write` it prints it.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TABLE, PAGE, PROTOCOL = ROOT / "docs" / "rules.toml", ROOT / "docs" / "RULES-INDEX.md", ROOT / "docs" / "PROTOCOL.md"
PARTS = {"derelayl_protocol": "protocol", "derelayl_simulations": "simulations"}  # the others are in node/

HEAD = """# Rules, and where they are

For each rule of [PROTOCOL.md](PROTOCOL.md): the reference in Python, the contract, the simulator's vectorised form, and
tests of it. Written from [rules.toml](rules.toml) by `python -m tests.rules_index --write`; a test checks that every
heading, name and test exists, and that no heading of sections 1 to 6 is left out.

The forms are also compared as wholes: histories on disk
([reference](../tests/vectors/test_ledger_vectors.py), [contract](../contracts/test/Vectors.t.sol)), random histories
([contract and reference](../tests/contracts/test_equals_reference.py)), and random rounds
([simulator, reference and contract](../tests/simulations/ledger/test_equals_reference.py)).
"""

COLUMNS = "| rule | reference | contract | simulator | tests |\n|---|---|---|---|---|\n"


@dataclass(frozen=True)
class Rule:
    """One row. Names are `module:attribute`, `File.function` and `file::test`; a text says why there is none."""

    at: str
    rule: str
    reference: Sequence[str]
    contract: Sequence[str] | str
    simulator: Sequence[str] | str
    tests: Sequence[str]


def rules() -> list[Rule]:
    """The table."""
    document: dict[str, Any] = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    return [Rule(**row) for row in document["rule"]]


def headings() -> dict[str, str]:
    """The headings of PROTOCOL.md by their anchors, those of sections 1 to 6."""
    specified = PROTOCOL.read_text(encoding="utf-8").partition("\n## 7.")[0]
    found = re.findall(r"^###? (.*)$", specified, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-"): title for title in found}


def file_of(name: str) -> Path:
    """The source file of a name. Raises FileNotFoundError."""
    if "::" in name:
        path = ROOT / name.partition("::")[0]
    elif ":" in name or name.startswith("derelayl_"):
        module = name.partition(":")[0].split(".")
        path = ROOT / PARTS.get(module[0], "node") / Path(*module).with_suffix(".py")
        if not path.exists():
            path = path.with_suffix("") / "__init__.py"
    else:
        path = next((ROOT / "contracts" / "src").rglob(f"{name.partition('.')[0]}.sol"), ROOT / name)
    if not path.exists():
        raise FileNotFoundError(f"{name} is nowhere: {path}")
    return path


def page() -> str:
    """The page."""
    parts, titles, section = [HEAD], headings(), ""
    for rule in rules():
        heading = _section_of(rule.at)
        if heading != section:
            section = heading
            parts.append(
                f"\n## {heading}\n| rule | reference | contract | simulator | tests |\n|---|---|---|---|---|\n"
            )
        title = titles[rule.at]
        name = rule.rule if title == heading else f"{title}: {rule.rule}"
        cells = [_cell(names) for names in (rule.reference, rule.contract, rule.simulator, rule.tests)]
        parts.append(f"| [{name}](PROTOCOL.md#{rule.at}) | {' | '.join(cells)} |\n")
    return "".join(parts)


def _section_of(anchor: str) -> str:
    """The title of the section that a heading stands in, or is."""
    titles = headings()
    above = [title for each, title in titles.items() if list(titles).index(each) <= list(titles).index(anchor)]
    return next(title for title in reversed(above) if title[:1].isdigit())


def _cell(names: Sequence[str] | str) -> str:
    if isinstance(names, str):
        return f"– ({names})"
    return ", ".join(f"[{_shown(name)}](../{file_of(name).relative_to(ROOT).as_posix()})" for name in names)


def _shown(name: str) -> str:
    if "::" in name:
        return name.rpartition("::")[2].removeprefix("test_").replace("_", " ")
    return f"`{name.rpartition(':')[2]}`" if ":" in name else f"`{name}`"


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        print(page())  # noqa: T201 - that is what it is for
