"""The names that commands read from the log: by ranges, kept between commands, never of another chain."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from derelayl_node.evm.codec import Codec
from derelayl_node.evm.deploy import artifact
from derelayl_node.evm.names import NameIndex
from derelayl_protocol.types import ModelId

from .fakechain import LEDGER, WHO, FakeChain

CODEC = Codec(artifact("RelayLedger")["abi"])
STAKED = keccak(text="Staked(bytes32,address,uint256)")


class StakingChain(FakeChain):
    """Each amount in a block is a stake in the model of that number."""

    def _logs(self, query: dict[str, Any]) -> dict[str, Any]:
        answer = super()._logs(query)
        for log in answer.get("result", ()):
            model = int(log["data"], 16).to_bytes(32, "big")
            log["topics"] = ["0x" + STAKED.hex(), "0x" + model.hex(), "0x" + encode(["address"], [WHO]).hex()]
            log["data"] = "0x" + encode(["uint256"], [5]).hex()
        return answer


def names_of(chain: FakeChain, file: Path | None = None) -> NameIndex:
    names = NameIndex(chain.rpc(), CODEC, LEDGER, 0)
    if file is not None:
        names.keep_in(file)
    names.update(len(chain.blocks) - 1)
    return names


def staking_chain(*amounts: list[int]) -> StakingChain:
    chain = StakingChain()
    chain.extend("a", *amounts)
    return chain


def model(number: int) -> ModelId:
    return ModelId(number.to_bytes(32, "big"))


def test_a_long_chain_costs_few_calls_and_any_limit_is_borne() -> None:
    chain = staking_chain([1], *[[]] * 5_000, [2])
    assert names_of(chain).staked(WHO) == (model(1), model(2))
    assert len(chain.calls) <= 5
    chain.most_blocks = 10
    assert names_of(chain).staked(WHO) == (model(1), model(2))


def test_the_next_command_reads_on_from_where_the_last_one_ended(tmp_path: Path) -> None:
    chain = staking_chain([1], *[[]] * 30_000)
    file = tmp_path / "names.json"
    names_of(chain, file)
    chain.extend("a", [2])
    chain.calls.clear()
    assert names_of(chain, file).staked(WHO) == (model(1), model(2))
    assert chain.calls.count("eth_getLogs") <= 2
    assert not list(tmp_path.glob("*.partial"))


def test_a_reading_that_was_cut_short_goes_on_where_it_stopped(tmp_path: Path) -> None:
    chain = staking_chain([1], *[[]] * 60_000, [2])
    names = NameIndex(chain.rpc(), CODEC, LEDGER, 0)
    names.keep_in(tmp_path / "names.json")
    for _ in range(4):
        assert names.step(len(chain.blocks) - 1)
    chain.calls.clear()
    again = NameIndex(chain.rpc(), CODEC, LEDGER, 0)
    again.keep_in(tmp_path / "names.json")
    again.step(len(chain.blocks) - 1)
    assert again.next > 10_000


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"version": 0}', "\x00" * 40])
def test_a_damaged_file_is_read_again_with_a_word(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    chain = staking_chain([1], [2])
    file = tmp_path / "names.json"
    file.write_text(damage)
    with caplog.at_level(logging.WARNING):
        assert names_of(chain, file).staked(WHO) == (model(1), model(2))
    assert "is not used" in caplog.text
    assert json.loads(file.read_text())["next"] == 2


def test_a_file_of_another_chain_is_not_believed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "names.json"
    names_of(staking_chain([1], [2]), file)
    other = StakingChain()
    other.extend("b", [7], [8])
    assert names_of(other, file).staked(WHO) == (model(7), model(8))
    assert "of another chain" in caplog.text


def test_names_that_a_reorganisation_brought_are_found(tmp_path: Path) -> None:
    chain = staking_chain(*[[]] * 100, [1])
    names = names_of(chain, tmp_path / "names.json")
    chain.cut(95)
    chain.extend("b", *[[]] * 8, [3])
    names.update(len(chain.blocks) - 1)
    assert set(names.staked(WHO)) >= {model(3)}
