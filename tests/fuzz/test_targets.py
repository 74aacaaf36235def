"""Some thousand inputs to every decoder of strangers' bytes, and that the fuzzing itself would notice a fault."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from .__main__ import counts
from .campaign import MAX_SECONDS, inputs_of, run_target
from .mutation import Mutator
from .targets import Target, all_targets

SEED = 20_261_130
INPUTS = 20_000


@pytest.mark.parametrize("name", all_targets())
def test_only_the_declared_error_comes_out(name: str) -> None:
    outcome = run_target(all_targets()[name], SEED, counts(all_targets().values(), INPUTS)[name])
    assert outcome.findings == []


@pytest.mark.parametrize("name", all_targets())
def test_good_inputs_are_taken(name: str) -> None:
    target = all_targets()[name]
    outcome = run_target(target, SEED, len(target.corpus))
    assert outcome.accepted > 0


def failing(error: Exception) -> Callable[[bytes], object]:
    def run(data: bytes) -> object:
        if b"x" in data:
            raise error
        return data

    return run


def test_an_error_that_was_not_declared_is_found_and_a_declared_one_is_not() -> None:
    target = Target("any", failing(KeyError("x")), (b"x", b"y"), (ValueError,))
    assert run_target(target, SEED, 2).findings[0].what == "KeyError: 'x'"
    assert run_target(Target("any", failing(ValueError()), (b"x", b"y"), (ValueError,)), SEED, 2).accepted == 1


def test_an_input_that_takes_too_long_is_found() -> None:
    def slow(data: bytes) -> None:
        end = time.thread_time() + MAX_SECONDS + 0.05
        while time.thread_time() < end:
            pass

    assert "took" in run_target(Target("slow", slow, (b"x",), ()), SEED, 1).findings[0].what


def test_a_seed_gives_the_same_inputs_again_and_each_seed_others() -> None:
    target = all_targets()["manifest"]
    assert list(inputs_of(target, 1, 300)) == list(inputs_of(target, 1, 300))
    assert list(inputs_of(target, 1, 300)) != list(inputs_of(target, 2, 300))


def test_mutation_changes_bytes_and_the_values_of_json() -> None:
    mutator = Mutator("1", [b'{"a":[1,2],"b":"text"}'], max_bytes=64)
    found = {mutator.next() for _ in range(500)}
    assert len(found) > 200
    assert max(map(len, found)) <= 64
    assert any(b'"b":null' in data or b'"a":null' in data for data in found)


LARGE: dict[str, tuple[bytes, ...]] = {
    "canonical-json": (
        b"[" * 2**20,
        b'"' + b"\\" * 2**20,
        b"9" * 2**20,
        b'{"a":' * 2**17,
        b'["' + b"a" * 2**20 + b'"]',
    ),
    "manifest": (b'{"chunks":[' + b"[1," * 2**18, b'{"chunks":[' + b'[1,"' + b"0" * 64 + b'"],' * 2**14),
    "addresses": (b"/p2p/" + b"1" * 2**14, b"/ip4/" * 2**12, b"\n" * 2**16, b"/dns4/" + b"a" * 2**14 + b"/tcp/1"),
    "spelling": (b"\x000x" + b"a" * 2**18, b"\x03" + b"9" * 2**18, b"\x03." + b"0" * 2**18),
    "safetensors": (
        (2**20).to_bytes(8, "little") + b"[" * 2**20,
        (2**20).to_bytes(8, "little") + b'{"' + b"\\" * 2**20,
    ),
    "json-rpc": (b'\x01{"result":"0x' + b"f" * 2**20 + b'"}', b'\x05{"result":"0x' + b"1" * 2**20 + b'"}'),
    "cursor": (b"A" * 2**18, b"-" * 2**18),
    "proof": (b'{"steps":[' + b"{}," * 2**16, b"[" * 2**18),
    "job-lines": (b'{"kind":"losses","weights":[' + b'"a",' * 2**16, b"[" * 2**18),
    "devchain": (b"[" * 2**18, b'{"method":' * 2**15),
}
"""Inputs as large as a place lets through, or larger, of the shapes that make a parser slow."""


@pytest.mark.parametrize("name", LARGE)
def test_no_shape_of_input_makes_a_decoder_slow(name: str) -> None:
    target = all_targets()[name]
    outcome = run_target(Target(name, target.run, LARGE[name], target.expected), SEED, len(LARGE[name]))
    assert outcome.findings == []
