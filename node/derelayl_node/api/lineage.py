"""Endpoints about models, rounds, checkpoints and their lineage."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Response
from sqlalchemy import Connection

from derelayl_protocol.spelling import ANY_CASE_HASH_PATTERN, from_hex, to_hex
from derelayl_protocol.types import ModelId, Root

from ..lineage import proof as proofs
from ..lineage import queries
from ..lineage.proof_format import Proof
from ..lineage.records import ACCEPTED, Checkpoint, CheckpointStatus, Head, Round, Tip
from ..lineage.records import Model as ModelRecord
from .pagination import Page, Paging, bad_cursor, list_paging, proof_paging
from .problems import Problem, not_found
from .readers import reads
from .schemas import CheckpointView, ModelView, RoundView, TipView
from .status import ApiContext, context_of

FINAL_BLOCKS = 64
"""Blocks on top of a settlement after which its answer may be cached for ever: no chain we know reorganises so deep."""

FOR_EVER = "public, max-age=31536000, immutable"

router = APIRouter(prefix="/v1", tags=["lineage"])

Context = Annotated[ApiContext, Depends(context_of)]
ModelPath = Annotated[
    str, Path(alias="model", pattern=ANY_CASE_HASH_PATTERN, description="Id of a model, 0x and 64 hex digits")
]
RootPath = Annotated[
    str, Path(alias="root", pattern=ANY_CASE_HASH_PATTERN, description="Root of a checkpoint, 0x and 64 hex digits")
]
WhichModel = Annotated[
    str | None,
    Query(alias="model", pattern=ANY_CASE_HASH_PATTERN, description="Needed where several models share the root"),
]
Pages = Annotated[Paging, Depends(list_paging)]


@router.get("/models")
@reads("pages")
def list_models(context: Context, pages: Pages) -> Page[ModelView]:
    """All models in the order of their creation."""
    with context.reading() as connection:
        found = queries.all_models(connection, pages.position(1)[0], pages.limit + 1)
    return pages.page(found, lambda one: (one.created.seq,), ModelView.of)


@router.get("/models/{model}")
@reads("lookups")
def show_model(context: Context, model: ModelPath) -> ModelView:
    """One model with its rules and its running round."""
    with context.reading() as connection:
        return ModelView.of(_model(connection, model))


@router.get("/models/{model}/tips")
@reads("pages")
def list_tips(context: Context, model: ModelPath, pages: Pages) -> Page[TipView]:
    """The checkpoints that legs may continue from now, best first."""

    def place(tip: Tip) -> tuple[int, ...]:
        return (tip.position + 1,)

    with context.reading() as connection:
        found = queries.all_tips(connection, _model(connection, model).model)
    rest = [tip for tip in found if place(tip) > pages.position(1)]
    return pages.page(rest[: pages.limit + 1], place, TipView.of)


@router.get("/models/{model}/rounds")
@reads("pages")
def list_rounds(context: Context, model: ModelPath, pages: Pages) -> Page[RoundView]:
    """A model's rounds with their legs, the first round first."""

    def place(one: Round) -> tuple[int, ...]:
        return (one.number,)

    with context.reading() as connection:
        known = _model(connection, model).model
        found = queries.all_rounds(connection, known, pages.position(1)[0], pages.limit + 1)
    return pages.page(found, place, RoundView.of)


@router.get("/models/{model}/checkpoints")
@reads("pages")
def list_checkpoints(
    context: Context,
    model: ModelPath,
    pages: Pages,
    status: CheckpointStatus | None = None,
    order: Annotated[Literal["oldest", "newest"], Query(description="Which come first")] = "oldest",
) -> Page[CheckpointView]:
    """A model's checkpoints, refused ones too, in the order of their first submission."""
    after = pages.position(1)[0] if pages.after else None
    with context.reading() as connection:
        known = _model(connection, model).model
        wanted = None if status is None else str(status)
        found = queries.all_checkpoints(connection, known, after, pages.limit + 1, wanted, order == "newest")
    return pages.page(found, _seq, CheckpointView.of)


@router.get("/checkpoints/{root}")
@reads("lookups")
def show_checkpoint(context: Context, response: Response, root: RootPath, model: WhichModel = None) -> CheckpointView:
    """One checkpoint; cacheable for ever once it is accepted and buried deep in the chain."""
    with context.reading() as connection:
        found = _checkpoint(connection, root, model)
        if _is_final(found, queries.head(connection)):
            response.headers["cache-control"] = FOR_EVER
    return CheckpointView.of(found)


@router.get("/checkpoints/{root}/ancestors")
@reads("pages")
def list_ancestors(context: Context, root: RootPath, pages: Pages, model: WhichModel = None) -> Page[CheckpointView]:
    """What it was made from, the nearest first, its genesis last."""
    with context.reading() as connection:
        start = _resume(connection, _checkpoint(connection, root, model), pages)
        found = queries.ancestors(connection, start.model, start.root, pages.limit + 1)
    return pages.page(found, _seq, CheckpointView.of)


@router.get("/checkpoints/{root}/descendants")
@reads("pages")
def list_descendants(context: Context, root: RootPath, pages: Pages, model: WhichModel = None) -> Page[CheckpointView]:
    """What was made from it, refused checkpoints too, in the order of their first submission."""
    with context.reading() as connection:
        start = _checkpoint(connection, root, model)
        after = pages.position(1)[0]
        found = queries.descendants(connection, start.model, start.root, after, pages.limit + 1)
    return pages.page(found, _seq, CheckpointView.of)


@router.get("/checkpoints/{root}/proof")
@reads("pages", index_alone=False)
def show_proof(
    context: Context,
    root: RootPath,
    pages: Annotated[Paging, Depends(proof_paging)],
    model: WhichModel = None,
) -> Proof:
    """All that is needed to check the lineage against the chain without trusting this node."""
    with context.reading() as connection:
        first = _checkpoint(connection, root, model)
        start = _resume(connection, first, pages)
        found = queries.ancestors(connection, start.model, start.root, pages.limit + 1)
    line = [first, *found] if not pages.after else found
    shown = line[: pages.limit]
    following = pages.link(_seq(shown[-1])) if len(line) > pages.limit else None
    steps = tuple(proofs.proof_step(context.chain, one, context.manifests(one.root)) for one in shown)
    name = to_hex(first.model)
    return Proof(network=context.chain.network, model=name, steps=steps, next=following)


@router.get(
    "/checkpoints/{root}/manifest", response_class=Response, responses={200: {"content": {"application/json": {}}}}
)
@reads("lookups", index_alone=False)
def show_manifest(context: Context, root: RootPath) -> Response:
    """The manifest's wire bytes: canonical JSON of header, chunk table and signature, if this node holds them."""
    with context.reading() as connection:
        if not queries.models_of(connection, _root(root)):
            raise not_found("checkpoint", root.lower())
    wire = context.manifests(_root(root))
    if wire is None:
        detail = "This node does not hold the manifest; ask a peer that seeds the checkpoint."
        raise Problem(404, "manifest-not-here", "Manifest not here", detail)
    return Response(wire, 200, {"cache-control": FOR_EVER}, "application/json")


def _seq(checkpoint: Checkpoint) -> tuple[int, ...]:
    return (checkpoint.seq,)


def _root(text: str) -> Root:
    return Root(from_hex(text))


def _model(connection: Connection, text: str) -> ModelRecord:
    found = queries.model(connection, ModelId(from_hex(text)))
    if found is None:
        raise not_found("model", text.lower())
    return found


def _checkpoint(connection: Connection, text: str, model: str | None) -> Checkpoint:
    """Find a checkpoint by its root; a genesis root may belong to several models, then `model` must tell which."""
    found = queries.checkpoints_named(connection, _root(text))
    if model is not None:
        found = [one for one in found if one.model == from_hex(model)]
    if len(found) > 1:
        names = [to_hex(one.model) for one in found]
        detail = "Several models begin with this root: add ?model= and one of the ids."
        raise Problem(409, "ambiguous-root", "Ambiguous root", detail, models=names)
    if not found:
        raise not_found("checkpoint", text.lower())
    return found[0]


def _resume(connection: Connection, first: Checkpoint, pages: Paging) -> Checkpoint:
    """Return the checkpoint after which a walk to genesis goes on."""
    if not pages.after:
        return first
    found = queries.checkpoint_at(connection, first.model, pages.position(1)[0])
    if found is None:
        raise bad_cursor()
    return found


def _is_final(checkpoint: Checkpoint, head: Head) -> bool:
    """A refused child may be submitted again in a later round, so only accepted checkpoints never change."""
    if checkpoint.status not in ACCEPTED or checkpoint.settled is None or head.block is None:
        return False
    return head.block - checkpoint.settled.block_number >= FINAL_BLOCKS
