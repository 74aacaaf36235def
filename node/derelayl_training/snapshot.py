"""Snapshots of a leg under way, so that a crash costs at most a minute of training."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import time
from collections.abc import Callable

import torch
from blake3 import blake3
from safetensors import SafetensorError, safe_open

from derelayl_protocol.errors import LocalFault

from .architectures import SegmentedModel
from .jobs import LegJob
from .methods.port import Method
from .saving import save_tensors

SUFFIX = ".snapshot"
"""Appended to the child's name."""

SNAPSHOT_SECONDS = 60.0
"""Between two snapshots: writing one takes about as long as a step, so far below a percent of a leg."""

MODEL, METHOD = "model/", "method/"
"""Prefixes of the tensors' names."""

log = logging.getLogger(__name__)


class Snapshots:
    """The snapshot file of one leg: the last step that is on disk, with all that training needs to go on from it."""

    def __init__(
        self, job: LegJob, start: str, every: float = SNAPSHOT_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`start` names what the leg starts from."""
        self._path = job.child.with_name(job.child.name + SUFFIX)
        self._leg = job_digest(job) + start
        self._every, self._clock = every, clock
        self._last = clock()

    def resume(self, model: SegmentedModel, method: Method) -> int:
        """Take over the last snapshot of this very leg; return the number of steps it holds, 0 without one."""
        if not self._path.exists():
            return 0
        try:
            with safe_open(self._path, framework="pt") as file:
                if (file.metadata() or {}).get("leg") != self._leg:
                    return 0  # of another leg that had the same place
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            model.load_state_dict(_under(MODEL, tensors), strict=True)
            method.restore(_under(METHOD, tensors))
        except (OSError, SafetensorError, RuntimeError, KeyError) as error:
            self.remove()
            raise LocalFault(f"the snapshot {self._path} is damaged ({error}) and was removed; train again") from error
        steps = int(tensors["steps"])
        log.info("going on from step %d", steps)
        return steps

    def after_step(self, steps: int, model: SegmentedModel, method: Method) -> None:
        """Write a snapshot if it is time. A disk that refuses costs the snapshot, not the leg."""
        if self._clock() - self._last < self._every:
            return
        self._last = self._clock()
        tensors = {f"{MODEL}{name}": tensor for name, tensor in model.state_dict().items()}
        tensors |= {f"{METHOD}{name}": tensor for name, tensor in method.state().items()}
        tensors["steps"] = torch.tensor(steps)
        here = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
        }
        try:
            save_tensors(self._path, here, private=True, metadata={"leg": self._leg})
        except LocalFault as error:
            log.warning("no snapshot after step %d: %s", steps, error)

    def remove(self) -> None:
        """Forget the leg."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()


def job_digest(job: LegJob) -> str:
    """Name a leg by everything that its course depends on but its start: the parent's bytes, and the job but for
    where it is and what else there is to start from."""
    course = (
        job.architecture.name,
        sorted(job.architecture.parameters.items()),
        job.segment,
        job.steps,
        job.batch,
        job.learning_rate,
        job.seed,
        job.recipe.model_dump_json(),
        sorted(job.history.items()),
        blake3(max_threads=blake3.AUTO).update_mmap(job.parent).hexdigest(),
    )
    return hashlib.sha256(repr(course).encode()).hexdigest()


def _under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
