"""3D Gaussians as files that viewers and editors of splats open: PLY in the layout of 3D Gaussian splatting, and .splat.

PLY, little-endian float32: x y z, nx ny nz (zero), f_dc_0..2, f_rest_* channel by channel (only above degree 0), logit
opacity, log scales, quaternion wxyz.

.splat (antimatter15's viewer), 32 bytes each without a header: x y z and standard deviations as float32, then a byte each:
red, green, blue, opacity, and the unit quaternion wxyz, 128 times it plus 128.

Letters: N Gaussians, K spherical-harmonic coefficients.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g3d.export.ply import F32, write_table
from g3d.storage import files

Y00 = 0.28209479177387814  # the constant spherical harmonic, 1 / (2 sqrt(pi))
_SPLAT = [("means", "<f4", (3,)), ("scales", "<f4", (3,)), ("rgba", "u1", (4,)), ("quats", "u1", (4,))]


def write_splats(path: Path, means: F32, log_scales: F32, quats: F32, opacity_logits: F32, sh: F32) -> int:
    """[N, 3], [N, 3], [N, 4], [N], [N, K, 3] => a file; returns how many rows were left out: NaN or infinity, or zeros alone."""
    n = len(means)
    rest = sh[:, 1:].transpose(0, 2, 1).reshape(n, 3 * (sh.shape[1] - 1))
    columns = [means, np.zeros((n, 3), np.float32), sh[:, 0], rest, opacity_logits[:, None], log_scales, quats]
    names = [*("x", "y", "z"), *("nx", "ny", "nz"), *(f"f_dc_{i}" for i in range(3))]
    names += [*(f"f_rest_{i}" for i in range(rest.shape[1])), "opacity", *(f"scale_{i}" for i in range(3))]
    names += [f"rot_{i}" for i in range(4)]
    rows = np.concatenate([c.astype("<f4") for c in columns], axis=1)
    sound = _sound(rows)
    rows = np.ascontiguousarray(rows[sound])
    assert rows.shape[1] == len(names), f"{rows.shape[1]} columns, {len(names)} names"
    write_table(path, rows.view([(name, "<f4") for name in names])[:, 0])
    return int((~sound).sum())


def write_splat(path: Path, means: F32, log_scales: F32, quats: F32, opacity_logits: F32, sh: F32) -> int:
    """As `write_splats`, as .splat: colours without their part that changes with the direction, large opaque ones first, which
    a viewer shows while it still loads."""
    kept = _sound(
        np.concatenate(
            [means, log_scales, quats, opacity_logits[:, None], sh.reshape(len(means), 3 * sh.shape[1])], axis=1
        )
    )
    means, log_scales, quats, logits, sh = (part[kept] for part in (means, log_scales, quats, opacity_logits, sh))
    opacity = 1 / (1 + np.exp(-logits.astype(np.float64)))
    norm = np.linalg.norm(quats.astype(np.float64), axis=1, keepdims=True)
    wxyz = np.where(norm > 0, quats / np.where(norm > 0, norm, 1), (1.0, 0.0, 0.0, 0.0))
    table = np.empty(len(means), _SPLAT)
    table["means"], table["scales"] = means, np.exp(log_scales.astype(np.float64))
    table["rgba"] = _bytes(255 * np.concatenate([0.5 + Y00 * sh[:, 0], opacity[:, None]], axis=1))
    table["quats"] = _bytes(128 * wxyz + 128)
    order = np.argsort(-(log_scales.astype(np.float64).sum(axis=1) + np.log(opacity + 1e-30)), kind="stable")
    with files.atomic(path) as temporary:
        temporary.write_bytes(table[order].tobytes())
    return int((~kept).sum())


def _sound(rows: F32) -> NDArray[np.bool_]:
    """Rows that are numbers, and not zeros alone."""
    found: NDArray[np.bool_] = np.isfinite(rows).all(axis=1) & (rows != 0).any(axis=1)
    return found


def _bytes(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    rounded: NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded
