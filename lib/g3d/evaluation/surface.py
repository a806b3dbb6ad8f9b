"""A surface fitted to posed pictures: a signed distance in grids, its density as in VolSDF (Yariv et al. 2021, eqs. 2, 3).

It is what multi-view consistency is measured by: a scene whose pictures one surface explains is consistent. Its colour does
not depend on the direction, so nothing that differs between views is explained away.

Letters: V views, H W their sides, P points, C features, R rays of a step, S samples of a ray.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g3d.cameras import Cameras
from g3d.render import rays, volume
from g3d.scenes.scene import Corner
from g3d.seeds import rng

_GRIDS, _FEATURES, _HIDDEN = (12, 24, 48), 4, 32
_BALL = 0.5  # radius of the first surface, of half the box
_EIKONAL_POINTS, _EIKONAL = 512, 0.1
_STEP = 1 / 48  # of finite differences, of half the box


@dataclass(frozen=True)
class Fitting:
    """How a surface is fitted."""

    steps: int = 500
    rays: int = 512
    samples: int = 48
    lr: float = 0.01


class Surface(nn.Module):
    """Points in [-1, 1]^3 [P, 3] => signed distance [P], colour [P, 3] in [0, 1]."""

    def __init__(self, stream: torch.Generator):
        super().__init__()
        self.grids = nn.ParameterList(
            nn.Parameter(torch.randn(1, _FEATURES, n, n, n, generator=stream) * 0.01) for n in _GRIDS
        )
        self.hidden = nn.Linear(_FEATURES * len(_GRIDS) + 3, _HIDDEN)
        self.out = nn.Linear(_HIDDEN, 4)
        for layer in (self.hidden, self.out):
            nn.init.normal_(layer.weight, std=1 / math.sqrt(layer.in_features), generator=stream)
            nn.init.zeros_(layer.bias)
        nn.init.normal_(self.out.weight, std=0.01, generator=stream)
        self.log_beta = nn.Parameter(torch.tensor(math.log(0.1)))

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        place = points.view(1, 1, 1, -1, 3)
        found = [F.grid_sample(g, place, align_corners=True, padding_mode="border")[0, :, 0, 0].t() for g in self.grids]
        raw = self.out(F.softplus(self.hidden(torch.cat([*found, points], dim=1)), beta=10))
        return raw[:, 0] + points.norm(dim=1) - _BALL, raw[:, 1:].sigmoid()

    def density(self, distance: Tensor) -> Tensor:
        """Laplace's distribution function of minus the distance, over its scale beta."""
        beta = self.log_beta.exp()
        tail = 0.5 * torch.exp(-distance.abs() / beta)
        return torch.where(distance > 0, tail, 1 - tail) / beta


class Fitted:
    """A surface in a box, which draws views."""

    def __init__(self, box: tuple[Corner, Corner], background: Tensor, how: Fitting, stream: torch.Generator):
        low, high = (torch.tensor(c) for c in box)
        self.low, self.high, self.background, self.how = low, high, background, how
        self.surface = Surface(stream)

    def query(self, points: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        """Colour and density at world `points` [1, P, 3], for the volume renderer."""
        half = (self.high - self.low) / 2
        distance, rgb = self.surface((points[0] - self.low) / half - 1)
        return rgb[None], self.surface.density(distance)[None] / half.mean()

    def rays(self, origins: Tensor, directions: Tensor, jitter: Tensor | None = None) -> Tensor:
        """Colours [R, 3] of rays [R, 3]."""
        near, far = rays.clip_to_box(origins, directions, self.low, self.high, 0.0, 1e4, False)
        hit = (far > near).nonzero().squeeze(1)
        rgb = self.background.expand(len(origins), 3).clone()
        if len(hit):
            o, d, n, f = (t[hit][None] for t in (origins, directions, near, far))
            shaken = None if jitter is None else jitter[hit][None]
            sampling = volume.Sampling(self.how.samples)
            rgb = rgb.index_copy(
                0, hit, volume.render_rays(self.query, o, d, n, f, sampling, self.background, jitter=shaken).rgb[0]
            )
        return rgb

    @torch.no_grad()
    def view(self, camera: Cameras) -> Tensor:
        """[H, W, 3] of one camera."""
        origin, directions = rays.camera_rays(camera)
        parts = [self.rays(origin.expand_as(d), d) for d in directions.split(4096)]
        return torch.cat(parts).view(camera.height, camera.width, 3)

    def eikonal(self, points: Tensor) -> Tensor:
        """Mean of (|gradient of the distance| - 1)^2 at points [P, 3] of [-1, 1]^3, by differences along four directions."""
        four = points.new_tensor([[1.0, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]])
        around = points + _STEP * four.unsqueeze(1)  # [4, P, 3]
        at = self.surface(around.flatten(0, 1))[0].view(4, -1)
        gradient = at.t() @ four / (4 * _STEP)  # [P, 3]
        return torch.mean((gradient.norm(dim=1) - 1).square())


def fit_surface(
    pictures: Tensor, cameras: Cameras, box: tuple[Corner, Corner], background: Tensor, how: Fitting, seed: int
) -> Fitted:
    """The surface that explains pictures [V, H, W, 3] in [0, 1] of V cameras best: L1 of rays drawn anew each step, and the
    eikonal term; Adam with a cosine to zero."""
    stream = rng(seed, 0, "surface")
    made = Fitted(box, background, how, stream)
    origins, directions = zip(*(rays.camera_rays(cameras[v]) for v in range(len(cameras))), strict=True)
    all_origins = torch.cat([o.expand_as(d) for o, d in zip(origins, directions, strict=True)])
    all_directions, wanted = torch.cat(directions), pictures.reshape(-1, 3)
    optimiser = torch.optim.Adam(made.surface.parameters(), lr=how.lr, betas=(0.9, 0.99), fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, how.steps)
    for _ in range(how.steps):
        picked = torch.randint(len(wanted), (how.rays,), generator=stream)
        jitter = torch.rand(how.rays, how.samples, generator=stream)
        drawn = made.rays(all_origins[picked], all_directions[picked], jitter)
        points = torch.rand(_EIKONAL_POINTS, 3, generator=stream) * 2 - 1
        loss = (drawn - wanted[picked]).abs().mean() + _EIKONAL * made.eikonal(points)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
    return made
