"""A smooth camera path through key frames; `transforms.json` files whose frames are the key frames.

Places and focal lengths follow a Catmull-Rom spline (Catmull and Rom 1974), orientations Shoemake's `squad` (1987), which is its
counterpart on the sphere of quaternions. Both pass through every key frame without a jump of speed.

Letters: K key frames, N views.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from g3d.cameras import Cameras, from_transforms, to_transforms
from g3d.errors import G3dError
from g3d.render.splat.turn import rotations
from g3d.storage import files

VIEWS_A_SPAN = 24  # between two key frames, where nobody says how many: a second of a video
CLOSED = "path_closed"  # in the file: whether the path goes on from its last key frame to the first


class Path3D(NamedTuple):
    """Key frames, and whether the path returns to the first."""

    keys: Cameras
    closed: bool

    @property
    def spans(self) -> int:
        """Pieces between neighbours."""
        return len(self.keys) if self.closed else len(self.keys) - 1

    @property
    def usual_views(self) -> int:
        """So many that every key frame is one of them."""
        return max(1, VIEWS_A_SPAN * self.spans + (0 if self.closed else 1))


def read_path(path: Path) -> Path3D:
    """Key frames from a `transforms.json`."""
    data = files.read_json(path, "the camera path")
    keys = from_transforms(data, str(path))
    closed = data.get(CLOSED, False)
    if not isinstance(closed, bool):
        raise G3dError(f"'{path}' has {CLOSED} {closed!r}; it is true or false")
    if closed and len(keys) < 2:
        raise G3dError(f"'{path}' is a closed path of one key frame; give it two or more, or set {CLOSED} to false")
    return Path3D(keys, closed)


def path_json(path: Path3D) -> dict[str, Any]:
    """What `read_path` reads: a `transforms.json` that any tool opens as the key frames' cameras."""
    names = [f"{number:06d}.png" for number in range(len(path.keys))]
    return {**to_transforms(path.keys, names), CLOSED: path.closed}


def along(path: Path3D, count: int) -> Cameras:
    """`count` views, evenly in the key frames' number: an open path starts at the first and ends at the last one, a closed one
    goes round once and leaves out its end, which is its start."""
    keys, spans = path.keys, path.spans
    if spans == 0:
        return keys[[0] * count]
    # Of the last view, times N / (N - 1) where that is the last key frame itself.
    last = spans if path.closed else spans * count / max(1, count - 1)
    at = torch.arange(count, dtype=torch.float64) * last / count  # [N] in key frames
    span = at.floor().clamp(max=spans - 1).long()
    t = (at - span)[:, None]  # [N, 1] from 0 to 1
    before, here, there, beyond = (_place(span + step, len(keys), path.closed) for step in (-1, 0, 1, 2))  # [N] each
    focal_px, centre_px = keys.intrinsics.double().split(2, dim=1)
    numbers = torch.cat([keys.c2w[:, :3, 3].double(), focal_px.log(), centre_px], dim=1)  # [K, 7]
    found = _catmull_rom(numbers[before], numbers[here], numbers[there], numbers[beyond], t)
    quats = _continuous(quaternions(keys.c2w[:, :3, :3].double()))
    turn = rotations(_squad(quats[before], quats[here], quats[there], quats[beyond], t))
    c2w = torch.eye(4, dtype=torch.float64).repeat(count, 1, 1)
    c2w[:, :3, :3], c2w[:, :3, 3] = turn, found[:, :3]
    intrinsics = torch.cat([found[:, 3:5].exp(), found[:, 5:]], dim=1)
    return replace(keys, c2w=c2w.float(), intrinsics=intrinsics.float())


def _place(number: Tensor, count: int, closed: bool) -> Tensor:
    """The key frame [N] of a number that may lie beyond the ends: an open path stands still there."""
    return number % count if closed else number.clamp(0, count - 1)


def _catmull_rom(p0: Tensor, p1: Tensor, p2: Tensor, p3: Tensor, t: Tensor) -> Tensor:
    """From p1 (t = 0) to p2 (t = 1); the speed at each is half the way between its neighbours."""
    return p1 + 0.5 * t * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)))


def _squad(q0: Tensor, q1: Tensor, q2: Tensor, q3: Tensor, t: Tensor) -> Tensor:
    """From q1 to q2 [N, 4]; Shoemake 1987, with the inner points that make the speed continuous."""
    q0, q2 = _near(q0, q1), _near(q2, q1)
    q3 = _near(q3, q2)
    a, b = _inner(q0, q1, q2), _inner(q1, q2, q3)
    return _slerp(_slerp(q1, q2, t), _slerp(a, b, t), 2 * t * (1 - t))


def _inner(before: Tensor, q: Tensor, after: Tensor) -> Tensor:
    """q exp(-(log(q⁻¹ before) + log(q⁻¹ after)) / 4)."""
    back = q * q.new_tensor([1, -1, -1, -1])
    return product(q, _exp(-(_log(product(back, before)) + _log(product(back, after))) / 4))


def _slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Along the arc between unit quaternions [N, 4], nearly straight where they nearly agree."""
    cosine = (a * b).sum(dim=1, keepdim=True).clamp(-1, 1)
    angle = cosine.acos()
    small = angle.sin() < 1e-6
    sine = torch.where(small, torch.ones_like(angle), angle.sin())
    u = torch.where(small, 1 - t, ((1 - t) * angle).sin() / sine)
    v = torch.where(small, t, (t * angle).sin() / sine)
    return F.normalize(u * a + v * b, dim=1)


def _log(q: Tensor) -> Tensor:
    """Unit quaternions [N, 4] => half the turn about each axis [N, 3]."""
    sine = q[:, 1:].norm(dim=1, keepdim=True)
    angle = torch.atan2(sine, q[:, :1])
    return q[:, 1:] * torch.where(sine > 1e-12, angle / sine.clamp(min=1e-12), torch.ones_like(sine))


def _exp(v: Tensor) -> Tensor:
    angle = v.norm(dim=1, keepdim=True)
    return torch.cat([angle.cos(), v * torch.sinc(angle / torch.pi)], dim=1)


def _near(q: Tensor, other: Tensor) -> Tensor:
    """Of the two quaternions of each rotation the one near `other`."""
    return torch.where((q * other).sum(dim=1, keepdim=True) < 0, -q, q)


def _continuous(quats: Tensor) -> Tensor:
    """Signs [K, 4] such that neighbours lie near each other."""
    signed = [quats[0]]
    for q in quats[1:]:
        signed.append(-q if float(q @ signed[-1]) < 0 else q)
    return torch.stack(signed)


def product(a: Tensor, b: Tensor) -> Tensor:
    """a b of quaternions wxyz [N, 4]."""
    w, v, s, u = a[:, :1], a[:, 1:], b[:, :1], b[:, 1:]
    return torch.cat([w * s - (v * u).sum(dim=1, keepdim=True), w * u + s * v + torch.linalg.cross(v, u)], dim=1)


def quaternions(rotations: Tensor) -> Tensor:
    """[K, 3, 3] => unit wxyz [K, 4]: the eigenvector of the largest eigenvalue (Bar-Itzhack 2000), stable everywhere."""
    m = rotations
    xx, yy, zz = m[:, 0, 0], m[:, 1, 1], m[:, 2, 2]
    wx, wy, wz = m[:, 2, 1] - m[:, 1, 2], m[:, 0, 2] - m[:, 2, 0], m[:, 1, 0] - m[:, 0, 1]
    xy, xz, yz = m[:, 0, 1] + m[:, 1, 0], m[:, 0, 2] + m[:, 2, 0], m[:, 1, 2] + m[:, 2, 1]
    rows = [
        [xx + yy + zz, wx, wy, wz], [wx, xx - yy - zz, xy, xz], [wy, xy, yy - xx - zz, yz], [wz, xz, yz, zz - xx - yy],
    ]  # fmt: skip
    whole = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
    vectors: Tensor = torch.linalg.eigh(whole).eigenvectors
    return vectors[:, :, -1]
