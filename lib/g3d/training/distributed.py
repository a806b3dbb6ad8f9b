"""Several processes, started by torchrun: who we are, shares of a batch, sums of gradients.

Each process computes the sum over its share divided by the whole batch, so that a plain sum over processes gives
the very gradient of one process, also for uneven shares. DDP's hooks would not survive R1 or second-order gradients.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from g3d.errors import Failure, G3dError


@contextmanager
def processes(device: torch.device) -> Iterator[None]:
    """Join the group that torchrun's environment describes, and leave it; one process needs nothing."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise G3dError(
            f"WORLD_SIZE asks for several processes, but they cannot meet ({reason}); use torchrun"
        ) from error
    try:
        yield
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """Our number, 0 without a group. Rank 0 alone writes."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def share(items: Tensor) -> slice:
    """The slice of `items` [S] that is ours; shares differ by at most one."""
    start, end = rank() * len(items) // world(), (rank() + 1) * len(items) // world()
    return slice(start, end)


def sum_gradients(parameters: Iterable[Tensor]) -> None:
    """Add up the gradients of all processes, in one flat message; a missing gradient counts as zero."""
    if world() == 1:
        return
    parameters = list(parameters)
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    _reduce(flat)
    offset = 0
    for p in parameters:
        p.grad = flat[offset : offset + p.numel()].view_as(p)
        offset += p.numel()


def sum_value(value: Tensor) -> Tensor:
    """The sum of a scalar over processes."""
    if world() > 1:
        _reduce(value)
    return value


def any_of(flag: bool, device: torch.device) -> bool:
    """Whether the flag is up in any process; all of them get the same answer at the same step."""
    if world() == 1:
        return flag
    raised = torch.tensor(float(flag), device=device)
    _reduce(raised)
    return bool(raised > 0)


def _reduce(tensor: Tensor) -> None:
    try:
        dist.all_reduce(tensor)
    except RuntimeError as error:
        raise Failure(
            f"another process of this run is gone ({str(error).splitlines()[0]}); start it again with --resume"
        ) from error
