"""How much memory an action needs at its peak, beyond what was held when it began.

On CUDA the allocator's own counter. On the CPU torch's profiler reports every allocation and every release of its
allocator with its size; their running sum in time has the peak as its greatest value. What oneDNN and BLAS allocate for
themselves within one operator, and Python's own objects, are not in it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from itertools import accumulate

import torch
from torch.profiler import ProfilerActivity, profile

os.environ.setdefault("KINETO_LOG_LEVEL", "9")  # else the profiler tells of each start and stop on standard error

MEMORY_EVENT = "[memory]"
"""Kineto's name for an allocation (positive bytes) or a release (negative bytes)."""


def peak_bytes(action: Callable[[], object], device: torch.device) -> int:
    """Run the action once and return the greatest number of bytes that it held at a time."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        action()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        action()
    results = profiler.profiler.kineto_results  # the public tables sum per operator, which loses the order in time
    events = [(event.start_ns(), event.nbytes()) for event in results.events() if event.name() == MEMORY_EVENT]
    return greatest_sum(size for _, size in sorted(events, key=lambda event: event[0]))


def greatest_sum(changes: Iterable[int]) -> int:
    """The greatest running sum, at least 0."""
    return max(accumulate(changes, initial=0))
