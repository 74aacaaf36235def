"""The arrows of the architecture: imports point from simulations, training and node to protocol, never back."""

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
IMPURE = """
asyncio concurrent ctypes datetime ftplib getpass glob http io locale logging marshal mmap multiprocessing os
pathlib pickle platform queue random secrets select selectors shelve shutil signal socket socketserver sqlite3 ssl
subprocess sys tempfile threading time urllib uuid
"""
PURE = sys.stdlib_module_names - set(IMPURE.split())
ADAPTERS = ("network", "store", "evm", "devchain", "training")
READERS = ("api", "lineage", "evm", "cli/lineage.py", "cli/rewards.py", "cli/stake.py")
EXTRAS = ("torch", "safetensors", "psutil", "mlxtend", "libp2p", "multiaddr", "open_spiel", "eth")  # `eth` is py-evm
SECONDS = 120.0
MOUNT = "node/derelayl_node/cli/main.py"  # the line that mounts `derelayl sim`


def imports(folder: str) -> Iterator[tuple[Path, str]]:
    """Yield (file, absolute name of an imported module or of a name in it) for the Python files of a folder."""
    there = ROOT / folder
    files = [there] if there.is_file() else sorted(there.rglob("*.py"))
    assert files, f"there is no {folder}: a wall around nothing holds always"
    for path in files:
        package = path.relative_to(ROOT).parts[1:-1]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                above = package[: len(package) - node.level + 1] if node.level else ()
                base = ".".join([*above, *filter(None, [node.module])])
                yield from ((path, f"{base}.{alias.name}") for alias in node.names)


def offenders(folder: str, is_wrong: Callable[[str], bool]) -> list[tuple[str, str]]:
    return sorted({(path.relative_to(ROOT).as_posix(), name) for path, name in imports(folder) if is_wrong(name)})


def within(name: str, *packages: str) -> bool:
    return any(f"{name}.".startswith(f"{package}.") for package in packages)


def test_relative_imports_are_seen_by_their_absolute_name() -> None:
    names = {name for path, name in imports("protocol") if path.name == "state.py"}
    assert {
        "derelayl_protocol.ledger.phases.Phase",
        "derelayl_protocol.ledger.rules.Rules",
        "dataclasses.dataclass",
    } <= names


def test_the_protocol_imports_only_itself_blake3_and_what_is_pure_in_the_standard_library() -> None:
    allowed = (*PURE, "blake3", "derelayl_protocol")
    assert offenders("protocol", lambda name: not within(name, *allowed)) == []


def test_the_simulations_import_nothing_of_the_node() -> None:
    assert offenders("simulations", lambda name: within(name, "derelayl_node", "derelayl_training")) == []


def test_the_node_imports_the_simulations_in_one_line() -> None:
    found = offenders("node/derelayl_node", lambda name: within(name, "derelayl_simulations"))
    assert [path for path, _ in found] == [MOUNT]


def test_nothing_needs_the_demo_or_the_devnet_but_their_own_commands() -> None:
    own = ("node/derelayl_node/demo/", "node/derelayl_node/devnet/", "node/derelayl_node/cli/demo.py")
    found = offenders("node/derelayl_node", lambda name: within(name, "derelayl_node.demo", "derelayl_node.devnet"))
    others = {path for path, _ in found if not path.startswith((*own, "node/derelayl_node/cli/devnet.py"))}
    assert others <= {"node/derelayl_node/cli/model.py"}  # the rules of a devnet, until they are a preset
    assert offenders("node/derelayl_node/devnet", lambda name: within(name, "derelayl_node.demo")) == []


def test_training_knows_no_network_and_no_chain() -> None:
    forbidden = ["derelayl_node", "derelayl_simulations", "trio", "anyio", "web3", "libp2p", "fastapi", "starlette"]
    assert offenders("node/derelayl_training", lambda name: within(name, *forbidden)) == []


def test_what_finds_plugins_needs_nothing_but_the_errors_and_the_standard_library() -> None:
    allowed = (*sys.stdlib_module_names, "derelayl_protocol.errors")
    assert offenders("node/derelayl_plugins", lambda name: not within(name, *allowed)) == []


def test_the_embedded_chain_knows_nothing_of_a_relay() -> None:
    ours = [f"derelayl_{part}" for part in ("node", "training", "simulations", "protocol", "plugins")]
    allowed = ["derelayl_node.devchain", "derelayl_node.failures", "derelayl_node.recursion"]
    allowed += ["derelayl_protocol.errors", "derelayl_protocol.types"]
    found = offenders("node/derelayl_node/devchain", lambda name: within(name, *ours) and not within(name, *allowed))
    assert found == []


def modules(place: str) -> list[str]:
    """The names of the modules in a folder, or of a module by its file."""
    there = ROOT / place
    parts = [path.relative_to(ROOT).with_suffix("").parts[1:] for path in [*there.rglob("*.py"), there] if path.suffix]
    return [".".join(part for part in names if part != "__init__") for names in parts]


def test_what_reads_a_ledger_and_what_simulates_load_nothing_that_only_extras_bring() -> None:
    places = ["simulations/derelayl_simulations", *(f"node/derelayl_node/{place}" for place in READERS)]
    names = [name for place in places for name in modules(place) if not name.endswith("__main__")]
    assert {"derelayl_simulations.cli", "derelayl_node.lineage.index", "derelayl_node.cli.stake"} <= set(names)
    program = (
        f"import importlib, sys; [importlib.import_module(name) for name in {names}]; "
        f"print(*(name for name in {EXTRAS} if name in sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=SECONDS, check=True)
    assert ran.stdout.strip() == ""


@pytest.mark.parametrize("folder", ["protocol", "node", "simulations"])
def test_nothing_imports_the_facade(folder: str) -> None:
    found = offenders(folder, lambda name: within(name, "derelayl"))
    assert {path for path, _ in found if not path.startswith("node/derelayl/")} == set()


def test_roles_import_no_adapter() -> None:
    adapters = [f"derelayl_node.{adapter}" for adapter in (*ADAPTERS, "lineage", "api")]
    assert offenders("node/derelayl_node/roles", lambda name: within(name, *adapters)) == []


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_an_adapter_imports_no_other(adapter: str) -> None:
    others = [f"derelayl_node.{other}" for other in ADAPTERS if other != adapter]
    assert offenders(f"node/derelayl_node/{adapter}", lambda name: within(name, *others)) == []


@pytest.mark.parametrize(
    ("place", "allowed"),
    [
        ("checkpoint", ()),
        ("ledger", ()),
        ("statement", ("ledger",)),
        ("types.py", ()),
        ("errors.py", ()),
        ("limits.py", ()),
        ("spelling.py", ()),
        ("encoding.py", ()),
    ],
)
def test_a_wing_of_the_protocol_imports_only_what_lies_below_it(place: str, allowed: tuple[str, ...]) -> None:
    wings = {"checkpoint", "ledger", "statement"} - {place, *allowed}
    forbidden = [f"derelayl_protocol.{wing}" for wing in wings]
    assert offenders(f"protocol/derelayl_protocol/{place}", lambda name: within(name, *forbidden)) == []


def test_what_is_simulated_knows_nothing_of_how_it_is_studied_or_shown() -> None:
    above = [f"derelayl_simulations.{part}" for part in ("study", "search", "show", "cli")]
    for rules in ("world", "ledger", "published", "scenarios"):
        folder = f"simulations/derelayl_simulations/{rules}"
        assert offenders(folder, lambda name: within(name, *above)) == []
    assert offenders("simulations/derelayl_simulations/study", lambda name: within(name, *above[1:])) == []
