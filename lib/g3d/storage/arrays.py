"""Arrays of other programs' files, .npy, .npz and .pt, without executing anything."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d.errors import G3dError, existing
from g3d.storage import impostors

SUFFIXES = (".npy", ".npz", ".pt", ".pth")
_MOST = 1 << 28  # numbers of one array


def read(path: Path, preferred: Sequence[str]) -> NDArray[np.float32]:
    """The only array of a file, or the first one of `preferred` names; floats that are finite."""
    impostors.refuse_file(existing(path, "the file"))
    try:
        found = _numpy(path) if path.suffix.lower() in (".npy", ".npz") else _torch(path)
    except G3dError:
        raise
    except Exception as error:  # a damaged or crafted file may raise anything
        reason = " ".join(str(error).split())[:160]
        raise G3dError(f"'{path}' is not a file of arrays that can be read ({type(error).__name__}: {reason}); write it again"
                       ) from error  # fmt: skip
    name = next((n for n in preferred if n in found), next(iter(found)) if len(found) == 1 else None)
    if name is None:
        names = ", ".join(sorted(found)[:8]) or "none"
        raise G3dError(f"'{path}' holds the arrays {names}; wanted is one, or one called {', '.join(preferred)}")
    values = np.asarray(found[name])
    if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise G3dError(f"'{path}' holds {values.dtype} that are no finite numbers; write it again")
    return values.astype(np.float32)


def _numpy(path: Path) -> dict[str, Any]:
    if path.suffix.lower() == ".npy":
        return {"array": np.load(path, allow_pickle=False)}
    with zipfile.ZipFile(path) as opened:
        members = [n for n in opened.namelist() if n.endswith(".npy")]
        return {n[:-4]: np.lib.format.read_array(io.BytesIO(opened.read(n)), allow_pickle=False) for n in members}


def _torch(path: Path) -> dict[str, Any]:
    import torch

    # Torch's own reader of tensors alone, which executes nothing: `safe_pickle` reads no zips of torch.save.
    found = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(found, torch.Tensor):
        found = {"tensor": found}
    if isinstance(found, list | tuple) and all(isinstance(v, torch.Tensor) for v in found):
        found = {"tensors": torch.stack(list(found))}
    if not isinstance(found, dict):
        raise G3dError(f"'{path}' holds a {type(found).__name__}; wanted is a tensor, or tensors by name")
    tensors = {str(n): v for n, v in found.items() if isinstance(v, torch.Tensor)}
    large = next((n for n, v in tensors.items() if v.numel() > _MOST), None)
    if large is not None:  # a few bytes can say so: a tensor without strides
        raise G3dError(
            f"'{path}' holds {tensors[large].numel()} numbers as '{large}'; at most {_MOST} are read: give fewer codes"
        )
    return {n: v.detach().float().numpy() for n, v in tensors.items()}
