"""Events as text: every event survives, nothing else is read."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from derelayl_node.lineage.event_json import EVENTS, event_from_json, event_to_json
from derelayl_node.testing.history import RULES, named, person
from derelayl_protocol.ledger import events as ev
from derelayl_protocol.ledger.phases import Phase, VoidReason
from derelayl_protocol.ledger.rules import Rules
from derelayl_protocol.types import UNAVAILABLE, ModelId, Ppm, Root, Timestamp, Wei


def example(field: dataclasses.Field[Any]) -> Any:
    """A value for a field of an event, by its declared type's name, as large as it can get."""
    values = {
        "Address": person("somebody"),
        "Wei": Wei(2**96 - 1),
        "Ppm": UNAVAILABLE,
        "Timestamp": Timestamp(2**63 - 1),
        "Root": named("root"),
        "ModelId": named("model"),
        "bytes": named("bytes"),
        "bool": True,
        "int": 2**63 - 1,
        "Phase": Phase.REVEAL,
        "VoidReason": VoidReason.TOO_FEW_COMMITS,
        "Rules": RULES,
        "tuple[Address, ...]": (person("a"), person("b")),
        "tuple[Ppm, ...]": (Ppm(-3), UNAVAILABLE),
        "tuple[int, ...]": (0, 1, 0),
    }
    return values[str(field.type)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Nonsense", "{}"),
        ("os.system", '{"command":"true"}'),
        ("Deposited", "[]"),
        ("Deposited", '{"account":"0x00"}'),
        ("Deposited", '{"account":"0x00","amount":7}'),
        ("Deposited", '{"account":"0x00","amount":"7","more":"1"}'),
        ("Deposited", '{"account":"0x00","amount":"seven"}'),
        ("Deposited", "not JSON"),
    ],
)
def test_text_that_is_no_event_is_refused(name: str, text: str) -> None:
    with pytest.raises(ValueError):
        event_from_json(name, text)


@pytest.mark.parametrize("kind", EVENTS.values(), ids=lambda kind: kind.__name__)
def test_every_event_comes_back_equal_with_its_types(kind: type[Any]) -> None:
    event = kind(**{field.name: example(field) for field in dataclasses.fields(kind)})
    back = event_from_json(kind.__name__, event_to_json(event))
    assert back == event
    assert [type(v) for v in dataclasses.astuple(back)] == [type(v) for v in dataclasses.astuple(event)]


def test_the_text_is_canonical() -> None:
    text = event_to_json(ev.ModelCreated(ModelId(named("m")), person("c"), Root(named("g")), RULES))
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    assert set(json.loads(text)["rules"]) == {field.name for field in dataclasses.fields(Rules)}
