"""Gaussians fitted to pictures by our own rasteriser: L1 and SSIM, Adam, densified and pruned (`density.py`).

Kerbl et al. 2023, with what a scene of our own allows: the start lies on its surface, views cost nothing to make, and their
coverage is known, so every step may lie on a background of its own. That keeps Gaussians from standing in for it.

Letters: N Gaussians, K spherical-harmonic coefficients, H, W the picture.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from g3d.conversion.density import Parameters, Pull, changed
from g3d.conversion.views import Points, Views, psnr
from g3d.losses.paired import ssim
from g3d.progress import Progress
from g3d.render.splat import rasterize
from g3d.render.splat.harmonics import C0
from g3d.scenes.scene import Gaussians, World
from g3d.seeds import rng

SSIM_SHARE = 0.2  # of the loss, eq. 7
START_SHARE = 0.5  # of the number, on the surface; the others are added where they are needed
START_OPACITY = 0.5
ROUND_STEPS = 100  # between rounds of densification
DENSIFY = (0.1, 0.6)  # of the steps: from here to there
# Of means: times the extent. Twice to five times those of Kerbl et al., who take 30,000 steps.
RATES = {"means": 8e-4, "log_scales": 1e-2, "quats": 2e-3, "opacity_logits": 5e-2, "sh": 1e-2}
MEANS_END = 0.01  # the last rate of means, as a share of the first
BETAS, EPSILON = (0.9, 0.999), 1e-15


@dataclass(frozen=True)
class Fit:
    """How many Gaussians, steps, and coefficients of colour."""

    num: int = 20000
    steps: int = 1000
    coefficients: int = 1
    seed: int = 0

    @property
    def begun(self) -> int:
        """Gaussians at the start."""
        return max(1, round(self.num * START_SHARE))


class Adam:
    """Kingma and Ba 2015, for tensors whose rows come and go."""

    def __init__(self, of: Parameters):
        self._moments = {n: (torch.zeros_like(t), torch.zeros_like(t)) for n, t in of.items()}
        self._steps = 0

    def step(self, of: Parameters, rates: dict[str, float]) -> None:
        """By the gradients that hang on the tensors, which are taken off."""
        self._steps += 1
        first, second = (1 - beta**self._steps for beta in BETAS)
        for name, tensor in of.items():
            assert tensor.grad is not None
            m, v = self._moments[name]
            m.lerp_(tensor.grad, 1 - BETAS[0])
            v.mul_(BETAS[1]).addcmul_(tensor.grad, tensor.grad, value=1 - BETAS[1])
            tensor.data.addcdiv_(m, (v / second).sqrt_().add_(EPSILON), value=-rates[name] / first)
            tensor.grad = None

    def keep(self, history: Tensor) -> None:
        """Rows follow their Gaussians [N]; those of new ones (-1) start at 0."""
        new = history < 0
        for name, pair in self._moments.items():
            moved = [moment[history.clamp(min=0)] for moment in pair]
            for moment in moved:
                moment[new] = 0
            self._moments[name] = (moved[0], moved[1])


def fitted(views: Views, points: Points, world: World, how: Fit, progress: Progress) -> Gaussians:
    """The scene that draws the views, begun at the points, with at most `how.num` Gaussians."""
    extent = 1.1 * points.depth_world
    of = {name: tensor.requires_grad_() for name, tensor in _start(points, how.coefficients).items()}
    adam, pull = Adam(of), Pull(len(of["means"]))
    draws = rng(how.seed, 0, "convert")
    order = torch.cat(
        [torch.randperm(len(views), generator=draws) for _ in range(-(-how.steps // len(views)))]
    )  # epochs
    backgrounds = torch.rand(how.steps, 3, generator=draws)
    first, last = (round(share * how.steps) for share in DENSIFY)
    progress.start("fit", how.steps)
    for step in range(how.steps):
        view = int(order[step])
        loss = _loss(of, views, view, world, backgrounds[step])
        loss.backward()
        grad = of["means"].grad
        assert grad is not None
        pull.add(of["means"].detach(), grad, views.cameras[view])
        rate = RATES["means"] * extent * MEANS_END ** (step / how.steps)
        adam.step(of, {**RATES, "means": rate})
        if first <= step < last and (step + 1) % ROUND_STEPS == 0:
            with torch.no_grad():
                found, history = changed(of, pull.mean(), extent, how.num, draws)
            of = {name: tensor.detach().requires_grad_() for name, tensor in found.items()}
            adam.keep(history)
            pull = Pull(len(history))
        progress.update(step + 1, how.steps, loss=float(loss.detach()), gaussians=len(of["means"]))
    return _scene({name: tensor.detach() for name, tensor in of.items()}, world)


def held_out_psnr(scene: Gaussians, views: Views) -> float:
    """dB of the views, drawn by the Gaussians."""
    drawn = [
        rasterize(scene, views.cameras[v], background=scene.world.background, depth=False).rgb[0, 0]
        for v in range(len(views))
    ]
    return psnr(torch.stack(drawn).clamp(0, 1), views.rgb)


def _loss(of: Parameters, views: Views, view: int, world: World, background: Tensor) -> Tensor:
    """L1 and 1 - SSIM of one view on a background."""
    through = (1 - views.alpha[view])[..., None]
    wanted = views.rgb[view] + through * (background - torch.tensor(world.background))
    drawn = rasterize(_scene(of, world), views.cameras[view], background=background, depth=False).rgb[0, 0]
    unlike = 1 - ssim(drawn.permute(2, 0, 1)[None], wanted.permute(2, 0, 1)[None], "zero")
    return (1 - SSIM_SHARE) * (drawn - wanted).abs().mean() + SSIM_SHARE * unlike.mean()


def _start(points: Points, coefficients: int) -> Parameters:
    """Balls on the surface, each as large as its distance from its three nearest neighbours."""
    means, count = points.means, len(points.means)
    near = min(4, count)
    found = cKDTree(means.numpy()).query(means.numpy(), k=near)[0] if near > 1 else np.full((1, 2), 1e-2)
    apart = torch.from_numpy(np.asarray(found)[:, 1:]).float().square().mean(dim=1).sqrt()
    sh = torch.zeros(count, coefficients, 3)
    sh[:, 0] = (points.rgb - 0.5) / C0
    logit = torch.logit(torch.tensor(START_OPACITY))
    return {
        "means": means.clone(), "log_scales": apart.clamp(min=1e-4 * points.depth_world).log()[:, None].repeat(1, 3),
        "quats": torch.tensor([1.0, 0, 0, 0]).repeat(count, 1), "opacity_logits": logit.repeat(count), "sh": sh,
    }  # fmt: skip


def _scene(of: Parameters, world: World) -> Gaussians:
    return Gaussians(**{name: tensor[None] for name, tensor in of.items()}, world=replace(world, imported=None))
