"""The REST application: read-only JSON over the lineage index, and the plain page that shows it."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Response
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware
from starlette.staticfiles import StaticFiles

from ..lineage.index import LineageIndex
from ..lineage.proof import Chain
from . import accounts, lineage, node, operations, problems, statement
from .answers import KEPT_BYTES, Answers
from .edge import METHODS, Edge
from .problems import MEDIA_TYPE, ProblemDetails
from .status import ApiContext, Manifests, NodeStatus

DESCRIPTION = """
Where did a model come from? A projection of the ledger's events, rebuilt from the chain at any time; every lineage
can be checked against the chain with `/v1/checkpoints/{root}/proof`. Read-only. Amounts are wei as decimal strings,
scores ppm. Lists are paged: follow `next` until it is null.
"""

PREFLIGHT_SECONDS = 86_400
"""How long a browser may remember what other origins are allowed, in seconds: it never changes."""

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemDetails, "description": text}
    for status, text in {
        400: "A cursor that belongs to another list",
        404: "Not known",
        409: "The root belongs to several models",
        422: "A parameter is not understood",
        500: "A defect of the node",
        503: "The index or the store cannot answer now",
    }.items()
}


def create_app(
    index: LineageIndex,
    *,
    chain: Chain,
    manifests: Manifests,
    status: Callable[[], NodeStatus],
    kept_bytes: int = KEPT_BYTES,
) -> FastAPI:
    """Make the application. `manifests` and `status` are called in threads, once or more for each request.

    Answers up to `kept_bytes` are kept until the index changes.
    """
    context = ApiContext(index, chain, manifests, status)
    app = _Api(
        title="derelayl lineage",
        version=version("derelayl"),
        description=DESCRIPTION.strip(),
        docs_url=None,  # both pages would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        responses=_ERRORS,
        generate_unique_id_function=_operation_name,
    )
    app.state.context = context
    app.state.metrics = operations.metrics_of(context)
    problems.install(app)
    app.add_middleware(Edge, answers=Answers(lambda: index.changes, kept_bytes))
    app.add_middleware(  # around the edge, so that a page elsewhere can read its refusals too
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=METHODS,
        allow_headers=["If-None-Match"],
        expose_headers=["ETag", "Link"],
        max_age=PREFLIGHT_SECONDS,
    )
    for router in (lineage.router, accounts.router, statement.router, node.router, operations.router):
        app.include_router(router)
    _add_dashboard(app)
    return app


class _Api(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """Describe the API; errors have the media type they are sent with."""
        if self.openapi_schema is None:
            for path in super().openapi()["paths"].values():
                for operation in path.values():
                    for code, answer in operation["responses"].items():
                        if int(code) >= 400:
                            answer["content"] = {MEDIA_TYPE: answer["content"]["application/json"]}
        return super().openapi()


def _operation_name(route: APIRoute) -> str:
    return route.name


def _add_dashboard(app: FastAPI) -> None:
    folder = files("derelayl_node").joinpath("dashboard")
    page = folder.joinpath("index.html").read_bytes()

    @app.get("/", include_in_schema=False)
    def show_page() -> Response:
        return Response(page, 200, {"cache-control": "no-cache"}, "text/html; charset=utf-8")

    app.mount("/static", StaticFiles(directory=str(folder)), name="static")
