"""One leg in several processes of one machine, by torchrun: each has a part of every batch, gradients are summed.

The worker starts them with a job file; the first of them tells progress and the result on its standard output.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from pydantic import ValidationError

from derelayl_protocol.errors import LocalFault, ProtocolError

from . import data
from .compute import Compute
from .job_lines import MAX_LINE_BYTES, MAX_REASON, Reply, TrainDone, TrainJob, encode
from .resources import Resources, open_resources
from .train import Progress, configure_torch, run_leg

MODULE = "derelayl_training.distributed"

EXCHANGE_SECONDS = 600.0
"""How long a process waits for the others' gradients before the leg fails."""

TAIL_CHARACTERS = 1000
"""How much of the processes' stderr an error shows."""


def run_leg_in_processes(job: TrainJob, data_spec: str, compute: Compute, progress: Progress) -> TrainDone:
    """Train one leg in `compute.processes` processes. Raises LocalFault."""
    with tempfile.TemporaryDirectory(prefix="derelayl-leg-") as folder:
        path = Path(folder) / "leg.json"
        path.write_text(json.dumps([job.model_dump_json(), data_spec, compute.model_dump_json()]), encoding="utf-8")
        command = [sys.executable, "-P", "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", str(compute.processes), "-m", MODULE, str(path)]
        with (
            (Path(folder) / "stderr").open("w+", encoding="utf-8", errors="replace") as errors,
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors) as processes,
        ):
            try:
                answer = _listen(processes, progress)
            finally:
                processes.terminate()  # torchrun ends its children
            if answer is None:
                errors.seek(0)
                raise LocalFault(f"the {compute.processes} processes ended without a child: {_tail(errors.read())}")
            return answer


def _listen(processes: subprocess.Popen[bytes], progress: Progress) -> TrainDone | None:
    """Read replies until the result. Raises LocalFault with the reason that the processes give."""
    assert processes.stdout is not None
    while line := processes.stdout.readline(MAX_LINE_BYTES + 1):
        try:
            reply = Reply.model_validate_json(line)
        except ValidationError:
            continue  # a library printed something
        if reply.failed is not None:
            raise LocalFault(reply.failed)
        if isinstance(reply.done, TrainDone):
            return reply.done
        if reply.progress is not None:
            progress(reply.progress)
    return None


def _tail(text: str) -> str:
    return text[-TAIL_CHARACTERS:].strip() or "they said nothing"


def main() -> None:
    """Be one of the processes."""
    parser = argparse.ArgumentParser(prog=MODULE)
    parser.add_argument("leg", type=Path)
    job_text, spec, compute_text = json.loads(parser.parse_args().leg.read_text(encoding="utf-8"))
    job, compute = TrainJob.model_validate_json(job_text), Compute.model_validate_json(compute_text)
    configure_torch(compute.threads)
    resources = _own_resources(compute)
    backend = "nccl" if resources.device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=timedelta(seconds=EXCHANGE_SECONDS))
    try:
        result = run_leg(job.leg_job(), data.load(spec), lambda part: _say(resources, Reply(progress=part)), resources)
        _say(resources, Reply(done=TrainDone.of(result)))
    except ProtocolError as error:
        _say(resources, Reply(failed=str(error)[:MAX_REASON]))
        raise SystemExit(1) from error
    finally:
        dist.destroy_process_group()


def _own_resources(compute: Compute) -> Resources:
    """This process's place among the others, and its own device of several."""
    rank, world, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    resources = replace(open_resources(compute), rank=rank, world=world)
    if resources.device.type != "cuda":
        return resources
    if local >= torch.cuda.device_count():
        raise LocalFault(
            f"{compute.processes} processes need as many GPUs; this machine has {torch.cuda.device_count()}"
        )
    return replace(resources, device=torch.device("cuda", local))


def _say(resources: Resources, reply: Reply) -> None:
    if resources.rank == 0:
        sys.stdout.buffer.write(encode(reply))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
