"""Commands about a model as a whole: its creation, its budget, its royalties."""

from __future__ import annotations

from dataclasses import replace

from ..errors import Reason, RuleViolation
from ..limits import BPS, MAX_COLLECT_STEPS
from ..spelling import to_hex
from ..types import NO_ROOT, ModelId, Ppm, Root, Timestamp, Wei
from .commands import CollectRoyalty, CreateModel, Fund
from .draft import Draft, check_amount, check_size
from .events import Funded, ModelCreated, RoyaltyCollected
from .phases import Phase
from .rules import model_id
from .state import CheckpointRecord, ModelState, RoundView, TipEntry


def create_model(draft: Draft, command: CreateModel) -> None:
    """Register a model whose first tip is its genesis, and begin its first round."""
    command.rules.check()
    if command.genesis == NO_ROOT:
        raise RuleViolation(Reason.ZERO_ROOT)
    model = model_id(draft.sender, command.genesis, command.rules)
    if model in draft.models:
        raise RuleViolation(Reason.MODEL_EXISTS, to_hex(model))
    check_size(command.budget)
    draft.spend(draft.sender, command.budget)
    draft.models[model] = _new_model(draft, command, model)
    draft.emit(ModelCreated(model, draft.sender, command.genesis, command.rules))
    if command.budget:
        draft.emit(Funded(model, draft.sender, command.budget))
    draft.enter(model, Phase.BID, seconds=0)


def fund(draft: Draft, command: Fund) -> None:
    """Add to a model's emission budget."""
    model = draft.model(command.model)
    check_amount(command.amount)
    draft.spend(draft.sender, command.amount)
    draft.models[command.model] = replace(model, budget=Wei(model.budget + command.amount))
    draft.emit(Funded(command.model, draft.sender, command.amount))


def collect_royalty(draft: Draft, command: CollectRoyalty) -> None:
    """Walk from a checkpoint towards genesis: each owner keeps its share of what is pending, the rest moves up."""
    model = draft.model(command.model)
    if not 1 <= command.steps <= MAX_COLLECT_STEPS:
        raise RuleViolation(Reason.BAD_STEPS, f"{command.steps} steps, allowed are 1 … {MAX_COLLECT_STEPS}")
    if command.root not in model.checkpoints:
        raise RuleViolation(Reason.UNKNOWN_CHECKPOINT, to_hex(command.root))
    checkpoints = dict(model.checkpoints)
    root = command.root
    for _ in range(command.steps):
        if root == NO_ROOT:
            break
        record = checkpoints[root]
        if record.pending:
            _collect_one(draft, command.model, checkpoints, root)
        root = record.parent
    draft.models[command.model] = replace(model, checkpoints=checkpoints)


def _new_model(draft: Draft, command: CreateModel, model: ModelId) -> ModelState:
    genesis = CheckpointRecord(draft.sender, parent=NO_ROOT, score=Ppm(0), round=0, pending=Wei(0))
    return ModelState(
        rules=command.rules,
        creator=draft.sender,
        genesis=command.genesis,
        budget=command.budget,
        carry=Wei(0),
        settled_rounds=0,
        next_seed=model,
        current=RoundView(
            number=1,
            phase=Phase.BID,
            deadline=Timestamp(0),
            seed=model,
            bids=(),
            tips=(TipEntry(command.genesis, draft.sender, score=Ppm(0), offered=False),),
            legs=(),
            seats=(),
        ),
        checkpoints={command.genesis: genesis},
        stakes={},
        validators=(),
    )


def _collect_one(draft: Draft, model: ModelId, checkpoints: dict[Root, CheckpointRecord], root: Root) -> None:
    record = checkpoints[root]
    gamma_bps = 0 if record.parent == NO_ROOT else draft.models[model].rules.gamma_bps
    passed = Wei(record.pending * gamma_bps // BPS)
    kept = Wei(record.pending - passed)
    checkpoints[root] = replace(record, pending=Wei(0))
    if passed:
        parent = checkpoints[record.parent]
        checkpoints[record.parent] = replace(parent, pending=Wei(parent.pending + passed))
    draft.pay(record.owner, kept)
    draft.emit(RoyaltyCollected(model, root, record.owner, kept, passed, record.parent))
