"""Network files and node settings: each mistake is one sentence that names the place and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from derelayl_node.settings import MAX_NETWORK_FILE_BYTES, Network, chain_access, keystore_password, node_settings
from derelayl_protocol.errors import LocalFault

NETWORK = Network(
    name="test",
    chain_url="http://127.0.0.1:8545",
    chain_id=1,
    token="0x" + "11" * 20,
    ledger="0x" + "22" * 20,
    start_block=4,
    bootstrap=("/ip4/127.0.0.1/tcp/4001/p2p/16Uiu2HAm",),
    model="0x" + "33" * 32,
)


def test_a_missing_network_file_says_how_to_pass_one(tmp_path: Path) -> None:
    with pytest.raises(LocalFault, match="pass --network FILE"):
        Network.read(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("name = ", "not a network file"),
        ('name = "x"', "chain_url"),
        ("\xff", "ledger|not a network file"),
        ('surplus = 1\nname = "x"', "chain_url|surplus"),
    ],
)
def test_a_wrong_network_file_is_refused_with_the_field(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "net.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(LocalFault, match=named):
        Network.read(tmp_path / "net.toml")


def test_a_huge_network_file_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "net.toml").write_bytes(b"#" * (MAX_NETWORK_FILE_BYTES + 1))
    with pytest.raises(LocalFault, match="larger than"):
        Network.read(tmp_path / "net.toml")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ledger", "0x" + "22" * 19),
        ("ledger", "0x" + "AA" * 20),
        ("chain_url", "ftp://example"),
        ("chain_id", 0),
        ("bootstrap", ("127.0.0.1:4001",)),
        ("model", "0x12"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, field: str, value: object) -> None:
    NETWORK.model_copy(update={field: value}).write(tmp_path / "net.toml")
    with pytest.raises(LocalFault, match=field):
        Network.read(tmp_path / "net.toml")


def test_a_network_file_reads_back_as_it_was_written(tmp_path: Path) -> None:
    quoted = NETWORK.model_copy(update={"name": 'quote " and \\ backslash'})
    quoted.write(tmp_path / "net.toml")
    assert Network.read(tmp_path / "net.toml") == quoted


@pytest.mark.parametrize(
    ("setting", "value", "named"),
    [
        ("roles", ("miner",), "--role is"),
        ("roles", ("trainer", "trainer"), "at most once"),
        ("roles", (), "at least one"),
        ("p2p_port", 70_000, "p2p-port"),
        ("segment", "third", "segment"),
        ("steps", 0, "steps"),
        ("bid_wei", -1, "--bid is"),
        ("submission", "by pigeon", "submission"),
    ],
)
def test_a_wrong_setting_is_named(setting: str, value: object, named: str) -> None:
    with pytest.raises(LocalFault, match=named):
        node_settings({"home": "h", "network": "n", setting: value})


def test_what_the_command_line_does_not_say_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERELAYL_STEPS", "7")
    monkeypatch.setenv("DERELAYL_BATCH", "9")
    settings = node_settings({"home": "h", "network": "n", "steps": None, "batch": 5})
    assert (settings.steps, settings.batch) == (7, 5)


def test_a_setting_comes_from_the_first_of_flag_environment_and_file_that_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "node.toml").write_text('network = "theirs.toml"\nsteps = 1\nbatch = 2\nseed = 3\nroles = ["seeder"]\n')
    monkeypatch.setenv("DERELAYL_HOME", str(tmp_path))
    monkeypatch.setenv("DERELAYL_STEPS", "10")
    monkeypatch.setenv("DERELAYL_BATCH", "20")
    settings = node_settings({"home": None, "network": None, "steps": 100})
    assert (settings.steps, settings.batch, settings.seed) == (100, 20, 3)
    assert (settings.network, settings.roles) == (Path("theirs.toml"), ("seeder",))


def test_addresses_of_the_chain_come_at_once_or_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = ("https://a.example/key", "http://b.example")
    for given in (list(both), [", ".join(both)], ",".join(both)):
        assert node_settings({"network": "n", "home": tmp_path, "chain_urls": given}).chain_urls == both
    assert chain_access(tmp_path).chain_urls == ()
    (tmp_path / "node.toml").write_text(f'chain_urls = ["{both[0]}"]\nsteps = 4\nmax_fee_gwei = 0.5\n')
    assert (chain_access(tmp_path).chain_urls, chain_access(tmp_path).max_fee_gwei) == (both[:1], 0.5)
    monkeypatch.setenv("DERELAYL_CHAIN_URLS", ",".join(both))
    assert chain_access(tmp_path).chain_urls == both


def test_an_address_that_is_no_chains_is_refused_without_showing_its_key(tmp_path: Path) -> None:
    with pytest.raises(LocalFault, match="--chain-url is not right: give http:// or https:// URLs") as refusal:
        node_settings({"network": "n", "chain_urls": "ftp://user:hunter2@a.example"})
    assert "hunter2" not in str(refusal.value)
    (tmp_path / "node.toml").write_text("max_fee_gwei = 0")
    with pytest.raises(LocalFault, match="--max-fee-gwei is 0: it should be greater than 0"):
        chain_access(tmp_path)


def test_commas_separate_several_values_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERELAYL_ROLES", "trainer, relayer")
    monkeypatch.setenv("DERELAYL_PASSWORD", "no setting, and no error")
    assert node_settings({"network": "n"}).roles == ("trainer", "relayer")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("steps = ", "node.toml cannot be read as TOML"),
        ("stepz = 4", "stepz is no setting of a node, did you mean steps?"),
        ("wallet = 4", "wallet is no setting of a node; docs/SETTINGS.md lists them"),
        ('home = "elsewhere"', "node.toml: home is the folder that the file lies in"),
        ("steps = 0", "--steps is 0: it should be greater than or equal to 1"),
    ],
)
def test_a_wrong_file_of_settings_is_refused(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "node.toml").write_text(text)
    with pytest.raises(LocalFault, match=named):
        node_settings({"home": tmp_path, "network": "n"})


def test_the_byte_order_mark_that_some_editors_write_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text("steps = 4", encoding="utf-8-sig")
    assert node_settings({"home": tmp_path, "network": "n"}).steps == 4
    NETWORK.write(tmp_path / "net.toml")
    (tmp_path / "marked.toml").write_text((tmp_path / "net.toml").read_text(), encoding="utf-8-sig")
    assert Network.read(tmp_path / "marked.toml") == NETWORK


def test_no_network_file_is_an_error_with_both_remedies() -> None:
    with pytest.raises(LocalFault, match="setting network is missing: pass --network, or set DERELAYL_NETWORK"):
        node_settings({})


def test_a_relayer_needs_no_data_and_entries_go_directly_by_default() -> None:
    settings = node_settings({"home": "h", "network": "n", "roles": ("seeder", "relayer")})
    assert not settings.works_with_data
    assert settings.submission == "direct"


def test_no_password_is_an_error_with_both_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DERELAYL_PASSWORD", raising=False)
    with pytest.raises(LocalFault, match="DERELAYL_PASSWORD or pass --password-file"):
        keystore_password(None)


def test_a_password_file_wins_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERELAYL_PASSWORD", "other")
    (tmp_path / "password").write_text("from the file\n")
    assert keystore_password(tmp_path / "password") == "from the file"
    with pytest.raises(LocalFault, match="cannot read the password file"):
        keystore_password(tmp_path / "none")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"device": "gpu"}, "setting device: 'gpu' is unknown, allowed are auto, cpu"),
        ({"train_hours": "late"}, "setting hours: 'late' is not two different hours of a day such as 22-6"),
        ({"train_hours": "6-6"}, "setting hours: '6-6' is not two different hours"),
        ({"train_hours": "22-25"}, "setting hours: '22-25' is not two different hours"),
        ({"memory_mib": 0}, "setting memory-mib"),
        ({"method": "magic"}, "recipe: method: Input should be 'backprop'"),
        ({"recipe": "prox=-1"}, "recipe: prox: Input should be greater than or equal to 0"),
        ({"recipe": "noise=2", "method": "local", "privacy": "dp"}, "recipe: privacy=dp goes with method=backprop"),
    ],
)
def test_what_training_cannot_be_given_is_refused_when_the_node_starts(
    tmp_path: Path, wrong: dict[str, object], named: str
) -> None:
    with pytest.raises(LocalFault, match=named):
        node_settings({"home": tmp_path, "network": tmp_path / "network.toml", **wrong})


def test_method_privacy_and_dials_make_one_recipe(tmp_path: Path) -> None:
    given = {"method": "sparse", "recipe": "keep=0.5,merge=true"}
    settings = node_settings({"home": tmp_path, "network": tmp_path / "network.toml", **given})
    assert settings.leg_recipe().record() == {"method": "sparse", "keep": "0.5", "merge": True}
    assert settings.compute().private == tmp_path / "private"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"roles": "trainr"}, "--role is 'trainr': allowed are 'trainer', 'validator', 'seeder' or 'relayer'"),
        ({"segment": "all"}, "--segment is 'all': give whole, rotate, or a segment's number"),
        ({"api_port": "http"}, "--api-port is 'http': give a whole number"),
        ({"api_port": 70_000}, "--api-port is 70000: it should be less than or equal to 65535"),
        ({"learning_rate": "fast"}, "--learning-rate is 'fast': give a number"),
    ],
)
def test_a_wrong_value_is_named_by_its_option_and_in_plain_words(
    tmp_path: Path, given: dict[str, object], said: str
) -> None:
    with pytest.raises(LocalFault) as refusal:
        node_settings({"home": tmp_path, "network": tmp_path / "network.toml", **given})
    assert str(refusal.value) == said
