"""Arrays of other programs' files, .npy, .npz and .pt, without executing anything."""

import io
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d.errors import G3dError, existing
from g3d.storage import impostors, zips

SUFFIXES = (".npy", ".npz", ".pt", ".pth")
_MOST = 1 << 28  # numbers of one array
_WHAT = "the file of arrays"
_UNPACKED_MOST = 1 << 30  # bytes of the arrays that are taken out of an .npz


def read(path: Path, preferred: Sequence[str]) -> NDArray[np.float32]:
    """The only array of a file, or the first one of `preferred` names; floats that are finite."""
    impostors.refuse_file(existing(path, "the file"))
    with _damage(path):
        match path.suffix.lower():
            case ".npy":
                found = {"array": np.load(path, allow_pickle=False)}
            case ".npz":
                found = npz(path)
            case _:
                found = _torch(path)
    name = next((n for n in preferred if n in found), next(iter(found)) if len(found) == 1 else None)
    if name is None:
        names = ", ".join(sorted(found)[:8]) or "none"
        raise G3dError(f"'{path}' holds the arrays {names}; wanted is one, or one called {', '.join(preferred)}")
    values = np.asarray(found[name])
    if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise G3dError(f"'{path}' holds {values.dtype} that are no finite numbers; write it again")
    return values.astype(np.float32)


def npy(data: bytes, where: Path, what: str = _WHAT) -> NDArray[Any]:
    """The array in the bytes of an .npy file; `np.load` would also try zip and pickle."""
    with _damage(where, what):
        return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)


def mapped(path: Path) -> NDArray[Any]:
    """The array of an .npy file, which stays on the disk."""
    with _damage(path):
        return np.lib.format.open_memmap(path, mode="r")


def npz(path: Path, names: Sequence[str] = (), what: str = _WHAT) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file (of these names, as far as they are there), a piece at a time: a small file may state, or
    unpack to, more than there is memory."""
    with _damage(path, what), zipfile.ZipFile(path) as opened:
        inside = [n.removesuffix(".npy") for n in opened.namelist() if n.endswith(".npy")]
        chosen = [n for n in dict.fromkeys(inside) if not names or n in names]
        size = sum(opened.getinfo(f"{n}.npy").file_size for n in chosen)
        if size > _UNPACKED_MOST:
            raise G3dError(
                f"the arrays of '{path}' unpack to {size} bytes; at most {_UNPACKED_MOST} are read: give fewer"
            )
        return {n: npy(zips.member(opened, f"{n}.npy", f"{n} of {path}", "the array"), path, what) for n in chosen}


@contextmanager
def _damage(path: Path, what: str = _WHAT) -> Iterator[None]:
    """Whatever a damaged or crafted file raises, as a sentence."""
    try:
        yield
    except G3dError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise G3dError(f"{what} '{path}' cannot be read ({type(error).__name__}: {reason}); write it again") from error


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
