"""Where Gaussians are added and taken away while they are fitted: the rule of 3D Gaussian Splatting (Kerbl et al. 2023,
section 5.2 and its code), within a number that is not exceeded.

Gaussians whose centre is pulled across the picture by more than GRADIENT on average are too few there: small ones are
cloned, large ones split in two, each SHRINK times smaller. Those that are nearly transparent are removed. Opacities are reset
every 3,000 steps there, which is longer than a fit lasts here.

Letters: N Gaussians.
"""

import torch
from torch import Tensor

from g3d.cameras import Cameras
from g3d.render.splat.turn import rotations

GRADIENT = 2e-4  # of the loss by the centre's place in the picture, which is 2 wide
LARGE = 0.01  # of the extent: from this standard deviation on a Gaussian is split, not cloned
SHRINK = 1.6
LEAST_OPACITY = 0.005
Parameters = dict[str, Tensor]  # of N Gaussians under the names of a scene's tensors


class Pull:
    """How strongly each centre was pulled across the pictures in which it was seen."""

    def __init__(self, count: int):
        self._sum, self._seen = torch.zeros(count), torch.zeros(count)

    def add(self, means: Tensor, grad: Tensor, camera: Cameras) -> None:
        """Of one view. A centre at depth z moves by f / z pixels where it moves by one world unit across."""
        c2w, k = camera.c2w[0], camera.intrinsics[0]
        z = (means - c2w[:3, 3]) @ c2w[:3, 2]
        across = grad @ c2w[:3, :2]  # [N, 2] right and down
        half = torch.tensor([camera.width / 2, camera.height / 2])
        pulled = (across * z[:, None] / k[:2] * half).norm(dim=1)
        self._sum += pulled
        self._seen += (grad != 0).any(dim=1)

    def mean(self) -> Tensor:
        """[N]; 0 where it was never seen."""
        return self._sum / self._seen.clamp(min=1)


def changed(
    of: Parameters, pull: Tensor, extent_world: float, most: int, rng: torch.Generator
) -> tuple[Parameters, Tensor]:
    """The Gaussians after one round, at most `most`, and for each of them the one whose history it keeps (-1: it is new)."""
    scales = of["log_scales"].exp().amax(dim=1)
    keep = of["opacity_logits"].sigmoid() >= LEAST_OPACITY
    room = most - int(keep.sum())
    wanted = torch.where(keep & (pull >= GRADIENT), pull, 0).sort(descending=True, stable=True)
    chosen = wanted.indices[: max(0, room)][wanted.values[: max(0, room)] > 0]
    large = chosen[scales[chosen] > LARGE * extent_world]
    small = chosen[scales[chosen] <= LARGE * extent_world]
    keep[large] = False  # two others take its place
    kept = keep.nonzero().squeeze(1)
    halves = [_half(of, large, rng) for _ in range(2)]
    parts = [{n: t[kept] for n, t in of.items()}, {n: t[small] for n, t in of.items()}, *halves]
    history = torch.cat([kept, torch.full((len(small) + 2 * len(large),), -1)])
    return {n: torch.cat([part[n] for part in parts]) for n in of}, history


def _half(of: Parameters, which: Tensor, rng: torch.Generator) -> Parameters:
    """Smaller ones, each somewhere within the Gaussian that it comes from."""
    part = {n: t[which] for n, t in of.items()}
    axes = rotations(part["quats"])
    noise = torch.randn(len(which), 3, generator=rng) * part["log_scales"].exp()
    moved = part["means"] + torch.einsum("nij,nj->ni", axes, noise)
    smaller = part["log_scales"] - torch.log(torch.tensor(SHRINK))
    return {**part, "means": moved, "log_scales": smaller}
