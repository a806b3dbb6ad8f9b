"""Several processes, started by torchrun: who we are, shares of a batch, sums of gradients.

Each process computes the sum over its share divided by the whole batch, so that a plain sum over processes gives
the very gradient of one process, also for uneven shares. DDP's hooks would not survive R1 or second-order gradients.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from g3d.errors import Failure, G3dError
from g3d.storage import files

_PATIENCE = timedelta(hours=6)  # an evaluation in rank 0 may take long; a process that is gone is noticed at once
_control: Any = None  # the group that flags go over; None is the default one


@contextmanager
def processes(device: torch.device) -> Iterator[None]:
    """Join the group that torchrun's environment describes, and leave it; one process needs nothing."""
    if os.environ.get("WORLD_SIZE", "1") in ("", "1"):
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise G3dError(
            f"WORLD_SIZE asks for several processes, but they cannot meet ({reason}); use torchrun"
        ) from error
    global _control
    _control = dist.new_group(backend="gloo", timeout=_PATIENCE) if device.type == "cuda" else None
    try:
        yield
    finally:
        _control = None
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


def check_batch(batch: int) -> None:
    """Refuse a batch that leaves a process without work."""
    if world() > batch:
        raise G3dError(f"{world()} processes cannot share a batch of {batch}; set batch to at least that")


def micro_batches(mine: slice, most: int) -> list[slice]:
    """Parts of our share, at most `most` items each (0: one part), as slices of the share; none where it is empty."""
    count = mine.stop - mine.start
    size = most or max(count, 1)
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


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
    """The sum of a tensor over processes, in its place."""
    if world() > 1:
        _reduce(value, _control if value.device.type == "cpu" else None)
    return value


def mine(index: int) -> bool:
    """Whether part `index` of a piece of work that is dealt out, part by part, is ours."""
    return index % world() == rank()


@contextmanager
def shared_folder(out: Path, overwrite: bool, inputs: tuple[Path, ...] = ()) -> Iterator[Path]:
    """`files.output_folder` for all processes: rank 0 makes it, all write into it, and it appears when all are done."""
    if world() == 1:
        with files.output_folder(out, overwrite, inputs) as folder:
            yield folder
        return
    if rank() == 0:
        with files.output_folder(out, overwrite, inputs) as folder:
            _tell(folder.name)
            yield folder
            barrier()
    else:
        folder = out.parent / _tell("")
        try:
            yield folder
            barrier()
        except BaseException:  # rank 0 has removed it, and what we wrote since has made it anew
            shutil.rmtree(folder, ignore_errors=True)
            raise


def barrier() -> None:
    """Wait for all processes; one that is gone ends the others with a sentence."""
    agree(False)


def _tell(text: str) -> str:
    """The text of rank 0, in every process."""
    data = torch.zeros(4096, dtype=torch.uint8)
    if rank() == 0:
        found = text.encode()
        data[: len(found)] = torch.frombuffer(bytearray(found), dtype=torch.uint8)
    try:
        dist.broadcast(data, 0, group=_control)
    except RuntimeError as error:
        raise _gone(error) from error
    return bytes(data.tolist()).rstrip(b"\0").decode()


def agree(*flags: bool) -> list[bool]:
    """Which flags are up in any process; all of them get the same answer at the same step.

    Goes over the processors' own group, so no GPU is waited for, and a process that is gone is noticed at the next step."""
    if world() == 1:
        return list(flags)
    raised = torch.tensor([float(flag) for flag in flags])
    _reduce(raised, _control)
    return [value > 0 for value in raised.tolist()]


def _reduce(tensor: Tensor, group: Any = None) -> None:
    try:
        dist.all_reduce(tensor, group=group)
    except RuntimeError as error:
        raise _gone(error) from error


def _gone(error: RuntimeError) -> Failure:
    return Failure(
        f"another process of this run is gone ({str(error).splitlines()[0]}); start the same command again (a run: with --resume)"
    )
