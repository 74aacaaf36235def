"""What `derelayl doctor` finds on the chain and in the outbox, with the steps out of a damaged one."""

from pathlib import Path

import pytest
from safetensors.numpy import save_file

from derelayl_node.cli.doctor import Finding, _examine
from derelayl_node.evm.outbox import Outbox, SignedTransaction
from derelayl_node.keys import create_key_file
from derelayl_node.settings import Network

from ...training.tiny import tiny_tensors
from ..evm.conftest import template, world
from ..evm.world import ALICE, World

__all__ = ["template", "world"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    create_key_file(tmp_path / "alice" / "key.json", "secret", key=ALICE, iterations=2)
    monkeypatch.setenv("DERELAYL_PASSWORD", "secret")
    return tmp_path / "alice"


def found(home: Path, check: str, network: Path | None = None) -> Finding | None:
    findings = list(_examine(home, network, None, "", 0))
    return next((finding for finding in findings if finding.check == check), None)


def test_an_outbox_says_what_may_be_on_its_way_and_a_damaged_one_is_found(home: Path) -> None:
    assert found(home, "outbox") is None
    outbox = Outbox(home / "outbox.sqlite", "alice")
    outbox.reserve("a", 0, lambda nonce: SignedTransaction(b"h" * 32, b"raw", 21_000, 5, 1, 0.0))
    outbox.close()
    whole = found(home, "outbox")
    assert whole is not None
    assert (whole.fine, whole.text) == (True, "1 signed transactions not known to be mined")
    (home / "outbox.sqlite").write_bytes(b"SQLite format 3\x00" + b"\xff" * 5_000)
    damaged = found(home, "outbox")
    assert damaged is not None
    assert not damaged.fine
    assert "do not delete it" in damaged.text


@pytest.mark.parametrize(
    ("held", "said"),
    [(8, "no validator"), (20, "better a trainer or a seeder than a validator"), (400, "a validator pays")],
)
def test_it_says_what_judging_with_the_data_may_earn(home: Path, tmp_path: Path, held: int, said: str) -> None:
    save_file(tiny_tensors(held=held), tmp_path / "shard.safetensors")
    findings = list(_examine(home, None, None, f"shard:{tmp_path / 'shard.safetensors'}", 0))
    beside, alone = [finding for finding in findings if finding.check == "judging"]
    assert beside.fine  # no reason not to train
    assert beside.text.startswith(f"beside training: {said}")
    assert f"with {held + 64} held-out samples" in alone.text


@pytest.mark.parametrize("kind", ["folder", "dangling link"])
def test_an_outbox_that_is_no_file_is_found(home: Path, kind: str) -> None:
    outbox = home / "outbox.sqlite"
    if kind == "folder":
        outbox.mkdir()
    else:
        outbox.symlink_to(home / "absent")
    finding = found(home, "outbox")
    assert finding is not None
    assert not finding.fine
    assert "cannot be used" in finding.text
    assert not (home / "absent").exists()


def test_the_chain_is_asked_where_the_home_says_and_tells_what_it_holds(world: World, home: Path) -> None:
    Network(
        name="n",
        chain_url="http://127.0.0.1:1",
        chain_id=world.addresses.ledger.chain_id,
        token=world.addresses.token,
        ledger=world.addresses.ledger.address,
    ).write(home / "network.toml")
    silent = found(home, "chain", home / "network.toml")
    assert silent is not None
    assert "does not answer" in silent.text
    (home / "node.toml").write_text(f'chain_urls = ["{world.url}"]')
    fine = found(home, "chain", home / "network.toml")
    assert fine is not None
    assert fine.fine
    assert fine.text.endswith("and holds 0 transactions of the account")
