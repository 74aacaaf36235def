"""Lineage proofs: building one from the index, checking one against a chain.

Checking trusts nothing but `fetch_event`: every claim of the proof is compared with the event the chain holds, and
every header with the root it must hash to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pydantic import ValidationError

from derelayl_protocol.checkpoint import merkle
from derelayl_protocol.checkpoint.manifest import HEADER_LEAF, ManifestRejected, header_proof, parse_manifest
from derelayl_protocol.encoding import EncodingError, decode, read_mapping
from derelayl_protocol.ledger import events as ev
from derelayl_protocol.ledger.rules import is_id_of
from derelayl_protocol.ledger.selection import LegEnding
from derelayl_protocol.limits import MAX_MANIFEST_BYTES
from derelayl_protocol.spelling import from_hex, to_hex
from derelayl_protocol.types import NO_ROOT, UNAVAILABLE, LedgerId

from ..failures import Failure
from .proof_format import HeaderMembership, LedgerReference, Proof, ProofStatus, ProofStep
from .records import Checkpoint, Reference

FetchEvent = Callable[[LedgerReference], ev.Event | None]
"""Reads the event at a place from the chain; None if the chain has no such event there."""


class ProofMalformed(Failure):
    """What was given is no proof; the message says why in one sentence."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Which ledger an index follows."""

    network: str
    ledger: LedgerId


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that was checked; `holds` tells the outcome, `root` (0x hex) the checkpoint it is about."""

    holds: bool
    root: str
    text: str


def proof_step(chain: Chain, checkpoint: Checkpoint, manifest: bytes | None) -> ProofStep:
    """Describe one checkpoint; `manifest` are its wire bytes, if at hand. Raises ManifestRejected if damaged."""
    return ProofStep(
        root=to_hex(checkpoint.root),
        parent=to_hex(checkpoint.parent),
        owner=checkpoint.owner,
        round=checkpoint.round,
        leg=checkpoint.leg,
        status=_status(checkpoint),
        gain_ppm=checkpoint.gain,
        recorded=_place(chain, checkpoint.submitted),
        settled=None if checkpoint.settled is None else _place(chain, checkpoint.settled),
        manifest=None if manifest is None else _membership(manifest),
    )


def join_pages(pages: Iterable[Mapping[str, Any]]) -> Proof:
    """Put the pages of one proof together, in the order they came. Raises ProofMalformed."""
    parsed = [_parse(page) for page in pages]
    if not parsed:
        raise ProofMalformed("no page of a proof was given")
    if len({(page.network, page.model) for page in parsed}) != 1:
        raise ProofMalformed("the pages belong to different proofs")
    steps = tuple(step for page in parsed for step in page.steps)
    return parsed[-1].model_copy(update={"steps": steps})


def verify_proof(proof_json: Mapping[str, Any] | Proof, fetch_event: FetchEvent) -> list[Claim]:
    """Check every claim of a proof; it is good if all statements hold. Raises ProofMalformed.

    Statements: the steps form one line to a genesis, each parent link is what the ledger's event says, each outcome is
    what the ledger settled, each header hashes to its root and names that parent. Absent headers are no failure: the
    ledger's events alone fix the line.
    """
    proof = proof_json if isinstance(proof_json, Proof) else _parse(proof_json)
    if not proof.steps:
        raise ProofMalformed("the proof has no steps")
    statements = [_one_line(proof.steps), _one_ledger(proof.steps), _reaches_genesis(proof.steps)]
    for step in proof.steps:
        statements.append(_recorded(proof.model, step, fetch_event))
        if step.settled is not None and step.status != "genesis":
            statements.append(_settled(proof.model, step, step.settled, fetch_event))
        elif step.status in ("selected", "rejected"):
            statements.append(Claim(False, step.root, f"the proof names no event that {step.status} it"))
        if step.manifest is not None:
            statements.append(_header(proof.model, step, step.manifest))
    return statements


def _parse(page: Mapping[str, Any]) -> Proof:
    try:
        return Proof.model_validate(page)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise ProofMalformed(f"this is not a lineage proof: {where}: {first['msg']}") from error


def _one_line(steps: Sequence[ProofStep]) -> Claim:
    for child, parent in pairwise(steps):
        if child.parent != parent.root:
            return Claim(False, child.root, f"its parent is {child.parent}, but the next step is {parent.root}")
        if parent.status not in ("selected", "genesis"):
            return Claim(False, parent.root, "it has a child although it was never accepted")
    if len({step.root for step in steps}) != len(steps):
        return Claim(False, steps[0].root, "a checkpoint appears twice in the line")
    return Claim(True, steps[0].root, f"{len(steps)} checkpoints form one line of parents")


def _one_ledger(steps: Sequence[ProofStep]) -> Claim:
    places = [place for step in steps for place in (step.recorded, step.settled) if place is not None]
    ledgers = {(place.chain_id, place.ledger) for place in places}
    if len(ledgers) != 1:
        return Claim(False, steps[0].root, "the events lie on different ledgers")
    chain_id, ledger = ledgers.pop()
    return Claim(True, steps[0].root, f"all events lie on ledger {ledger} of chain {chain_id}")


def _reaches_genesis(steps: Sequence[ProofStep]) -> Claim:
    last = steps[-1]
    if last.status == "genesis" and last.parent == to_hex(NO_ROOT):
        return Claim(True, last.root, "the line ends at the model's genesis")
    return Claim(False, last.root, "the line stops before a genesis; add the following pages of the proof")


def _recorded(model: str, step: ProofStep, fetch_event: FetchEvent) -> Claim:
    event = fetch_event(step.recorded)
    if event is None:
        return Claim(False, step.root, "the chain has no event at the place where it should be recorded")
    if step.status == "genesis":
        return _created(model, step, event)
    if not isinstance(event, ev.LegSubmitted):
        return Claim(False, step.root, f"the chain records {type(event).__name__} there, not LegSubmitted")
    said = (to_hex(event.model), to_hex(event.child), to_hex(event.parent), event.trainer, event.round, event.leg)
    if said != (model, step.root, step.parent, step.owner, step.round, step.leg):
        return Claim(False, step.root, "the chain's LegSubmitted contradicts the proof")
    return Claim(True, step.root, f"the chain records that {step.owner} made it from {step.parent}")


def _created(model: str, step: ProofStep, event: ev.Event) -> Claim:
    if not isinstance(event, ev.ModelCreated):
        return Claim(False, step.root, f"the chain records {type(event).__name__} there, not ModelCreated")
    said = (to_hex(event.model), to_hex(event.genesis), event.creator, to_hex(NO_ROOT))
    if said != (model, step.root, step.owner, step.parent):
        return Claim(False, step.root, "the chain's ModelCreated contradicts the proof")
    if not is_id_of(event.model, event.creator, event.genesis, event.rules):
        return Claim(False, step.root, "the model's id is not the hash of its creator, genesis and rules")
    return Claim(True, step.root, f"the chain records that {step.owner} began the model with it")


def _settled(model: str, step: ProofStep, place: LedgerReference, fetch_event: FetchEvent) -> Claim:
    event = fetch_event(place)
    if not isinstance(event, ev.LegSettled):
        return Claim(False, step.root, "the chain has no LegSettled event at the place the proof names")
    gain = None if event.score == UNAVAILABLE else int(event.score)
    said = (to_hex(event.model), to_hex(event.child), event.round, event.leg, event.selected, gain)
    if said != (model, step.root, step.round, step.leg, step.status == "selected", step.gain_ppm):
        return Claim(False, step.root, "the chain's LegSettled contradicts the proof")
    return Claim(True, step.root, f"the chain records that it was {step.status} with a gain of {gain} ppm")


def _header(model: str, step: ProofStep, membership: HeaderMembership) -> Claim:
    data = membership.header.encode()
    path = [from_hex(sibling) for sibling in membership.path]
    leaf = merkle.leaf_hash(HEADER_LEAF + data)
    if not merkle.verify(from_hex(step.root), leaf, 0, membership.leaf_count, path):
        return Claim(False, step.root, "the header does not hash to the root")
    try:
        header = read_mapping(decode(data, MAX_MANIFEST_BYTES), "header")
    except EncodingError as error:
        return Claim(False, step.root, f"the header is not canonical: {error}")
    genesis = step.status == "genesis"
    expected = {
        "parents": [] if genesis else [step.parent[2:]],
        "model": NO_ROOT.hex() if genesis else model[2:],
        "round": step.round,
        "trainer": step.owner,
    }
    for name, value in expected.items():
        if header.get(name) != value:
            return Claim(False, step.root, f"the header's {name} differs from what the ledger recorded")
    return Claim(True, step.root, "its header hashes to the root and names the same parent, round and trainer")


def _status(checkpoint: Checkpoint) -> ProofStatus:
    if not isinstance(checkpoint.status, LegEnding):
        return checkpoint.status
    return "selected" if checkpoint.status is LegEnding.SELECTED else "rejected"


def _membership(wire: bytes) -> HeaderMembership:
    proof = header_proof(parse_manifest(wire))
    text = proof.leaf[len(HEADER_LEAF) :].decode()
    return HeaderMembership(header=text, leaf_count=proof.count, path=tuple(to_hex(sibling) for sibling in proof.path))


def _place(chain: Chain, reference: Reference) -> LedgerReference:
    return LedgerReference(
        chain_id=chain.ledger.chain_id,
        ledger=chain.ledger.address,
        block_number=reference.block_number,
        block_hash=to_hex(reference.block_hash),
        transaction_hash=to_hex(reference.transaction),
        log_index=reference.log_index,
        event=reference.event,
    )


__all__ = ["Chain", "Claim", "ManifestRejected", "ProofMalformed", "join_pages", "proof_step", "verify_proof"]
