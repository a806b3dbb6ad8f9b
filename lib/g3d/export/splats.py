"""3D Gaussians as PLY in the layout of 3D Gaussian splatting, which viewers and editors of splats open.

Little-endian float32: x y z, nx ny nz (zero), f_dc_0..2, f_rest_* channel by channel (only above degree 0), logit opacity,
log scales, quaternion wxyz.

Letters: N Gaussians, K spherical-harmonic coefficients.
"""

from pathlib import Path

import numpy as np

from g3d.export.ply import F32, write_table


def write_splats(path: Path, means: F32, log_scales: F32, quats: F32, opacity_logits: F32, sh: F32) -> int:
    """[N, 3], [N, 3], [N, 4], [N], [N, K, 3] => a file; returns how many rows were left out: NaN or infinity, or zeros alone."""
    n = len(means)
    rest = sh[:, 1:].transpose(0, 2, 1).reshape(n, -1)  # [N, 3 (K - 1)]
    columns = [means, np.zeros((n, 3), np.float32), sh[:, 0], rest, opacity_logits[:, None], log_scales, quats]
    names = [*("x", "y", "z"), *("nx", "ny", "nz"), *(f"f_dc_{i}" for i in range(3))]
    names += [*(f"f_rest_{i}" for i in range(rest.shape[1])), "opacity", *(f"scale_{i}" for i in range(3))]
    names += [f"rot_{i}" for i in range(4)]
    rows = np.concatenate([c.astype("<f4") for c in columns], axis=1)
    sound = np.isfinite(rows).all(axis=1) & (rows != 0).any(axis=1)
    rows = np.ascontiguousarray(rows[sound])
    assert rows.shape[1] == len(names), f"{rows.shape[1]} columns, {len(names)} names"
    write_table(path, rows.view([(name, "<f4") for name in names])[:, 0])
    return int((~sound).sum())
