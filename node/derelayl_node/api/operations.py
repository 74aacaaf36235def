"""Endpoints for whoever runs the node: health and Prometheus metrics."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .lineage import Context
from .problems import Problem
from .schemas import HealthView
from .status import ApiContext, NodeStatus

router = APIRouter(tags=["operations"])


@router.get("/healthz")
def show_health(context: Context, response: Response) -> HealthView:
    """200 while the index keeps up with a chain that answers, else 503."""
    status, head = context.status(), context.index.head()
    response.headers["cache-control"] = "no-store"
    health = HealthView(
        status="ok",
        network=context.chain.network,
        chain_id=context.chain.ledger.chain_id,
        ledger=context.chain.ledger.address,
        chain_reachable=status.chain_reachable,
        stale=bool(status.stale),
        head_block=head.block,
        events=head.events,
        lag_seconds=status.lag_seconds,
    )
    if not status.healthy:
        detail = f"The index {_what_is_wrong(status)}"
        raise Problem(503, "unhealthy", "Unhealthy", detail, **health.model_dump(exclude={"status"}))
    return health


def _what_is_wrong(status: NodeStatus) -> str:
    if status.stale:
        return f"is stale: {status.stale}"
    if status.chain_reachable:
        return "has not caught up with the chain; wait, or look at the node's log."
    reason = (status.error or "the chain has not been read yet").rstrip(".")
    return f"is not advancing: {reason}; wait, or look at the node's log."


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def show_metrics(request: Request) -> Response:
    """Metrics in the text format of Prometheus."""
    registry: CollectorRegistry = request.app.state.metrics
    return Response(generate_latest(registry), 200, {"cache-control": "no-store"}, CONTENT_TYPE_LATEST)


def metrics_of(context: ApiContext) -> CollectorRegistry:
    """Make a registry of this app alone, read at every scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_NodeMetrics(context))
    return registry


class _NodeMetrics(Collector):
    def __init__(self, context: ApiContext) -> None:
        self._context = context

    def collect(self) -> Iterator[Metric]:
        """Yield what is known now; what this process does not have is left out."""
        status, head = self._context.status(), self._context.index.head()
        yield GaugeMetricFamily(
            "derelayl_chain_reachable", "1 if the chain answered last.", int(status.chain_reachable)
        )
        yield GaugeMetricFamily("derelayl_index_events", "Ledger events in the index.", head.events)
        gauges = {
            "derelayl_index_head_block": ("Newest block in the index.", head.block),
            "derelayl_index_lag_seconds": ("Seconds since the index last held all events.", status.lag_seconds),
            "derelayl_peers": ("Peers connected.", status.peers),
        }
        for name, (text, value) in gauges.items():
            if value is not None:
                yield GaugeMetricFamily(name, text, value)
        counters = {
            "derelayl_served_bytes": ("Bytes of checkpoints sent to peers.", status.bytes_served),
            "derelayl_fetched_bytes": ("Bytes of checkpoints taken from peers.", status.bytes_fetched),
        }
        for name, (text, value) in counters.items():
            if value is not None:
                yield CounterMetricFamily(name, text, value)
