"""PLY files of 3D Gaussians => arrays: the layout of 3D Gaussian splatting, and SuperSplat's packed one.

The first has a float property for each number (any scalar type is read): x y z, f_dc_*, f_rest_* channel by channel, logit
opacity, log scales, quaternion wxyz. The second keeps positions, log scales and colours as integers between the bounds of
their chunk of 256, quaternions as their three smaller parts, and harmonics as bytes.

Letters: N Gaussians, K spherical-harmonic coefficients.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d.errors import G3dError, existing, require_module
from g3d.storage import impostors, ply_files

F32 = NDArray[np.float32]
Parts = tuple[F32, F32, F32, F32, F32]  # means, log scales, quats, opacity logits, sh
C0 = 0.28209479177387814
COUNTS = {0: 1, 9: 4, 24: 9, 45: 16}  # f_rest_* => K
CHUNK = 256
LEAST_OPACITY = 1e-6  # a packed opacity of 0 or 1 has no finite logit
_SURE = 20.0  # the logit of an opacity that is 1 in float32, and less it of one that is 0 to the eye
_FLAT = -20.0  # the log of a scale that is 0 to the eye
_FARTHEST = 1e9  # world units; around more, floats leave no room for a camera
_LARGEST = 27.0  # log scale, for the same reason


@dataclass(frozen=True)
class Splats:
    """Arrays in the conventions of a scene file, and the rows that were left out, by reason."""

    means: F32  # [N, 3]
    log_scales: F32  # [N, 3]
    quats: F32  # [N, 4] wxyz
    opacity_logits: F32  # [N]
    sh: F32  # [N, K, 3]
    left_out: Mapping[str, Sequence[str]]

    @property
    def dropped(self) -> int:
        """How many rows were left out."""
        return sum(map(len, self.left_out.values()))


def read_splats(path: Path) -> Splats:
    """Read either layout. Raises `G3dError` for a file that is none of them."""
    require_module("plyfile", "reading PLY files", "pip install plyfile")
    from plyfile import PlyElementParseError, PlyHeaderParseError

    existing(path, "the PLY file")
    if path.is_dir():
        raise G3dError(f"'{path}' is a folder; give one PLY file of 3D Gaussians")
    impostors.refuse_splats(path)
    impostors.refuse_file(path)
    try:
        elements = {e.name: e.data for e in ply_files.read(path).elements}
    except (PlyHeaderParseError, PlyElementParseError, ValueError, UnicodeDecodeError, MemoryError) as error:
        raise G3dError(f"'{path}' is no PLY file that can be read ({error}); give one of 3D Gaussians") from error
    vertex = elements.get("vertex")
    names = set(vertex.dtype.names or ()) if vertex is not None else set()
    if {"packed_position", "packed_rotation", "packed_scale", "packed_color"} <= names and "chunk" in elements:
        parts = _packed(path, elements)
    elif {"scale_0", "rot_0", "opacity"} <= names and names & {"f_dc_0", "red"}:
        parts = _plain(path, vertex)
    else:
        found = ", ".join(sorted(names)[:6]) or "no vertices"
        raise G3dError(
            f"'{path}' holds no 3D Gaussians: its vertices have {found}; wanted are x, f_dc_0 (or red), opacity, "
            "scale_0, rot_0, ... (3D Gaussian splatting) or packed_position, ... (SuperSplat)"
        )
    parts, left_out = _sound(parts)
    return Splats(*parts, left_out)


def _sound(parts: Parts) -> tuple[Parts, dict[str, list[str]]]:
    """The rows that can be drawn, with finite numbers; and the others, by reason. An opacity may be infinite: then it is 1 or
    0, as SuperSplat writes them; a scale may be 0."""
    means, log_scales, quats, logits, sh = parts
    logits = np.where(np.isinf(logits), np.copysign(np.float32(_SURE), logits), logits)
    log_scales = np.where(np.isneginf(log_scales), np.float32(_FLAT), log_scales)
    parts, count = (means, log_scales, quats, logits, sh), len(means)
    rows = [part.reshape(count, int(np.prod(part.shape[1:]))) for part in parts]
    finite = np.all([np.isfinite(row).all(1) for row in rows], axis=0)
    empty = np.all([(row == 0).all(1) for row in rows], axis=0)
    with np.errstate(invalid="ignore"):
        far = (np.abs(means).max(1, initial=0) > _FARTHEST) | (log_scales.max(1, initial=-np.inf) > _LARGEST)
    faults = {
        "rows with NaN or infinity": ~finite, "rows of zeros, without an orientation": finite & empty,
        f"rows farther or larger than {_FARTHEST:g} world units": finite & ~empty & far,
    }  # fmt: skip
    left_out = {why: [f"row {i}" for i in np.nonzero(bad)[0]] for why, bad in faults.items() if bad.any()}
    kept = finite & ~empty & ~far
    means, log_scales, quats, logits, sh = (np.ascontiguousarray(part[kept], np.float32) for part in parts)
    return (means, log_scales, quats, logits, sh), left_out


def _columns(path: Path, table: Any, *names: str) -> F32:
    """Properties as columns [N, len(names)]."""
    missing = [n for n in names if n not in table.dtype.names or table.dtype[n].hasobject]
    if missing:
        raise G3dError(f"'{path}' lacks the property '{missing[0]}' of 3D Gaussians; write it again")
    return np.stack([table[n].astype(np.float32) for n in names], axis=-1)


def _rest(path: Path, table: Any) -> F32:
    """f_rest_* [N, 3 (K - 1)], channel by channel => [N, K - 1, 3]."""
    count = sum(n.startswith("f_rest_") for n in table.dtype.names or ())
    if count not in COUNTS:
        raise G3dError(f"'{path}' has {count} properties f_rest_*; possible are 0, 9, 24 and 45 (degrees 0 to 3)")
    if not count:
        return np.zeros((len(table), 0, 3), np.float32)
    return _columns(path, table, *(f"f_rest_{i}" for i in range(count))).reshape(len(table), 3, -1).transpose(0, 2, 1)


def _plain(path: Path, table: Any) -> Parts:
    if "f_dc_0" in table.dtype.names:
        dc = _columns(path, table, "f_dc_0", "f_dc_1", "f_dc_2")[:, None]
    else:  # colours of degree 0
        rgb = _columns(path, table, "red", "green", "blue")
        whole = 65535 if table.dtype["red"].itemsize == 2 else 255
        dc = (
            (rgb / np.float32(1 if table.dtype["red"].kind == "f" and rgb.max(initial=0) <= 1 else whole) - 0.5) / C0
        )[:, None]
    return (
        _columns(path, table, "x", "y", "z"),
        _columns(path, table, "scale_0", "scale_1", "scale_2"),
        _columns(path, table, "rot_0", "rot_1", "rot_2", "rot_3"),
        _columns(path, table, "opacity")[:, 0],
        np.concatenate([dc, _rest(path, table)], axis=1),
    )


def _packed(path: Path, elements: dict[str, Any]) -> Parts:
    vertex, chunk = elements["vertex"], elements["chunk"]
    n = len(vertex)
    if len(chunk) * CHUNK < n:
        raise G3dError(f"'{path}' has {len(chunk)} chunks for {n} Gaussians; wanted is one for each {CHUNK}")
    owner = np.arange(n) // CHUNK
    words = {k: vertex[f"packed_{k}"].astype(np.uint32) for k in ("position", "rotation", "scale", "color")}

    def within(kind: str, unit: F32, axes: str) -> F32:
        low, high = (_columns(path, chunk, *(f"{end}_{kind}{a}" for a in axes))[owner] for end in ("min", "max"))
        result: F32 = low + (high - low) * unit
        return result

    colour = _bits(words["color"], (8, 8, 8, 8))
    rgb = within("", colour[:, :3], "rgb") if "min_r" in chunk.dtype.names else colour[:, :3]
    opacity = colour[:, 3].clip(LEAST_OPACITY, 1 - LEAST_OPACITY)
    dc = ((rgb - 0.5) / C0)[:, None]
    rest = np.zeros((n, 0, 3), np.float32)
    if "sh" in elements:
        rest = _rest(path, elements["sh"]) * (8 / 255) - 4  # bytes of [-4, 4]
        if len(rest) != n:
            raise G3dError(f"'{path}' has {len(rest)} rows of harmonics for {n} Gaussians; write it again")
    return (
        within("", _bits(words["position"], (11, 10, 11)), "xyz"),
        within("scale_", _bits(words["scale"], (11, 10, 11)), "xyz"),
        _quaternions(words["rotation"]),
        np.log(opacity / (1 - opacity)),
        np.concatenate([dc, rest], axis=1),
    )


def _bits(words: NDArray[np.uint32], widths: tuple[int, ...]) -> F32:
    """Bit fields from the highest down, each as a number in [0, 1] => [N, fields]."""
    fields, shift = [], 32
    for width in widths:
        shift -= width
        most = (1 << width) - 1
        fields.append(((words >> np.uint32(shift)) & np.uint32(most)).astype(np.float32) / most)
    return np.stack(fields, axis=-1)


def _quaternions(words: NDArray[np.uint32]) -> F32:
    """The number of the largest part of wxyz in two bits, then the three others in order, in [-1, 1] / sqrt(2) => [N, 4]."""
    largest = (words >> np.uint32(30)).astype(np.int64)
    others = (_bits(words << np.uint32(2), (10, 10, 10)) - 0.5) * np.float32(2**0.5)
    whole = np.sqrt(np.maximum(0, 1 - (others**2).sum(axis=1)))
    found = np.empty((len(words), 4), np.float32)
    for k in range(4):
        mine = largest == k
        found[mine] = np.insert(others[mine], k, whole[mine], axis=1)
    return found
