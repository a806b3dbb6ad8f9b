"""Scenes of Gaussians that every back end must draw as the float64 reference does, and the comparison."""

import math
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from g3d.cameras import CameraPrior, Cameras
from g3d.render.splat import Rasterized, rasterize
from g3d.scenes.scene import Gaussians, World
from torch import Tensor

F64 = torch.float64
NAMES = ("means", "log_scales", "quats", "opacity_logits", "sh")
WIDTH, HEIGHT = 70, 50  # of no tile's size
# The first looks along -z, so that depths which are equal are equal in any precision.
CAMERAS = CameraPrior(3.0, 40.0, WIDTH, HEIGHT, default_azimuth_deg=0, default_elevation_deg=0).orbit(2)
FEW = 0.002  # share of pixels in which a threshold may fall otherwise


class Drawn(NamedTuple):
    """A picture and the gradients of its five tensors, of c2w and of the background."""

    picture: Rasterized
    gradients: tuple[Tensor, ...]


def crowd(count: int, scenes: int = 1, *, k: int = 4, seed: int = 0, log_scale: float = -2.0) -> Gaussians:
    """Random ones around the origin."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(scenes, count, *shape, generator=g, dtype=F64)

    return Gaussians(
        normal(3) * 0.5, normal(3) * 0.5 + log_scale, normal(4), normal() * 2, normal(k, 3) * 0.3, World()
    )  # fmt: skip


def nasty(ordinary: int = 40) -> dict[str, Gaussians]:
    """Each with some ordinary Gaussians in it, so that gradients have something to be compared with."""
    base = crowd(20 + ordinary)

    def changed(**tensors: Any) -> Gaussians:
        new = {n: getattr(base, n).clone() for n in NAMES}
        for name, value in tensors.items():
            new[name][0, :20] = torch.as_tensor(value, dtype=F64)
        return Gaussians(**new, world=World())

    eye = CAMERAS.c2w[0, :3, 3].double()
    forward, right = CAMERAS.c2w[0, :3, 2].double(), CAMERAS.c2w[0, :3, 0].double()
    steps = torch.linspace(-1, 1, 20, dtype=F64)[:, None]
    return {
        "behind and before the camera": changed(means=eye + forward * steps),
        "on the camera": changed(means=eye + (0.03 + 0.01 * steps) * forward + 0.001 * right * steps),
        "beside the camera": changed(means=eye + (0.05 + 0.01 * steps) * forward + 3 * right * steps),
        "points": changed(log_scales=-math.inf),
        "tiny": changed(log_scales=-40.0),
        "huge": changed(log_scales=6.0),
        "beyond all bounds": changed(log_scales=60.0),
        "needles": changed(log_scales=torch.tensor([1.0, -7.0, -7.0])),
        "no turn": changed(quats=0.0),
        "quaternions of all lengths": changed(quats=base.quats[0, :20] * 10.0 ** (6 * steps)),
        "opacity 0": changed(opacity_logits=-math.inf),
        "opacity 1": changed(opacity_logits=math.inf),
        "almost opaque": changed(opacity_logits=8.0),
        "one": Gaussians(**{n: getattr(base, n)[:, :1] for n in NAMES}, world=World()),
        "none": Gaussians(**{n: getattr(base, n)[:, :0] for n in NAMES}, world=World()),
        "all at one depth": changed(means=torch.cat([steps, -steps, 0 * steps], dim=1)),
    }  # fmt: skip


def weights(scenes: int, cameras: Cameras, seed: int = 1) -> list[Tensor]:
    """A random upstream gradient of rgb, alpha and depth."""
    g = torch.Generator().manual_seed(seed)
    shape = (scenes, len(cameras), cameras.height, cameras.width)
    return [torch.randn(*shape, *more, generator=g, dtype=F64) for more in ((3,), (), ())]


def drawn(
    scene: Gaussians,
    cameras: Cameras,
    upstream: list[Tensor],
    backend: str,
    *,
    antialiased: bool = False,
    depth: bool = True,
) -> Drawn:
    """By the reference in double, by any other back end in single precision."""
    dtype = F64 if backend == "reference" else torch.float32
    leaves = {n: getattr(scene, n).to(dtype).detach().requires_grad_() for n in NAMES}
    c2w = cameras.c2w.to(dtype).requires_grad_()
    back = torch.tensor([0.2, 0.4, 0.6], dtype=dtype, requires_grad=True)
    found = rasterize(
        Gaussians(**leaves, world=World()), replace(cameras, c2w=c2w), background=back, antialiased=antialiased,
        depth=depth, backend=backend,
    )  # fmt: skip
    parts = [p for p in found if p is not None]
    loss = sum((p.double() * w).sum() for p, w in zip(parts, upstream, strict=False))
    grads = torch.autograd.grad(loss, [*leaves.values(), c2w, back])  # type: ignore[arg-type]
    return Drawn(Rasterized(*(None if p is None else p.detach() for p in found)), grads)  # type: ignore[arg-type]


def compare(
    scene: Gaussians, backend: str, cameras: Cameras = CAMERAS, *, antialiased: bool = False, tolerance: float = 1e-4
) -> None:
    """Pictures to 1e-5, gradients to 1e-4 (relative L2), apart from the few pixels whose thresholds fall otherwise."""
    upstream = weights(len(scene), cameras)
    want = drawn(scene, cameras, upstream, "reference", antialiased=antialiased).picture
    have = drawn(scene, cameras, upstream, backend, antialiased=antialiased).picture
    assert want.depth is not None and have.depth is not None
    upstream[2] *= want.alpha  # where almost nothing is, the depth is a ratio of two small numbers
    differs = (have.rgb - want.rgb).abs().amax(dim=-1) > 1e-4
    differs |= ((have.alpha - want.alpha).abs() > 1e-4) | ((have.depth - want.depth).abs() > 1e-3)
    assert float(differs.double().mean()) <= FEW, f"{int(differs.sum())} pixels differ"
    same = (~differs).double()
    for name, a, b in zip(("rgb", "alpha", "depth"), have, want, strict=True):
        assert a is not None and b is not None
        keep = same.unsqueeze(-1) if name == "rgb" else same
        assert relative(a * keep, b * keep) <= 1e-5, (name, relative(a * keep, b * keep))
    masked = [w * (same.unsqueeze(-1) if w.dim() == 5 else same) for w in upstream]
    want_g = drawn(scene, cameras, masked, "reference", antialiased=antialiased).gradients
    have_g = drawn(scene, cameras, masked, backend, antialiased=antialiased).gradients
    least = 0.01 * float(want_g[NAMES.index("opacity_logits")].norm())
    for name, a, b in zip((*NAMES, "c2w", "background"), have_g, want_g, strict=True):
        assert bool(torch.isfinite(a).all()), f"the gradient of {name} is not finite"
        # What the background gets is a sum of transmittances, which after an almost opaque Gaussian (1 - alpha = 0.001) are
        # known in single precision to 1e-4 at best. Shapes count like opacities, per unit of nothing; where they have next
        # to no gradient (a Gaussian that fills the picture), its last digits are noise.
        most = 1e-3 if name == "background" else tolerance
        size = max(float(b.norm()), least if name in ("log_scales", "quats") else 0.0, 1e-12)
        error = float((a.double() - b.double()).norm()) / size
        assert error <= most, (name, error)


def relative(a: Tensor, b: Tensor) -> float:
    """|a - b| / |b|; where b is nothing, a must be too."""
    size = float(b.double().norm())
    return float((a.double() - b.double()).norm()) / size if size > 1e-12 else float(a.double().norm())
