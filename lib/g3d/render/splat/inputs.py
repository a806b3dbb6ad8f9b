"""What a back end is given and what it gives back: plain tensors, everything else being settled before.

Letters: B scenes, V views of each, N Gaussians, H, W the picture.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from g3d.cameras import Cameras
from g3d.errors import G3dError
from g3d.render.splat import rule
from g3d.render.splat.harmonics import sh_colour
from g3d.scenes.scene import Gaussians


@dataclass(frozen=True)
class Inputs:
    """Gaussians of B scenes and the V cameras of each, on one device and of one precision."""

    means: Tensor  # [B, N, 3]
    log_scales: Tensor  # [B, N, 3]
    quats: Tensor  # [B, N, 4] wxyz
    logits: Tensor  # [B, N] of the opacity
    colours: Tensor  # [B, V, N, 3]
    w2c: Tensor  # [B, V, 3, 4] world => camera
    intrinsics: Tensor  # [B, V, 4] fx fy cx cy, pixels
    background: Tensor  # [B, V, 3]
    width: int
    height: int
    antialiased: bool
    depth: bool  # whether the sum of depths is wanted


class Sums(NamedTuple):
    """`rgb` [B, V, H, W, 3] over the background, the transmittance `through` [B, V, H, W] that is left, and `far`, the sum
    of depths by weight (None: not wanted)."""

    rgb: Tensor
    through: Tensor
    far: Tensor | None


def prepared(
    scenes: Gaussians, cameras: Cameras | Sequence[Cameras], background: Tensor | Sequence[float], colours: Tensor | None,
    scale_modifier: float, antialiased: bool, depth: bool,
) -> Inputs:  # fmt: skip
    """What `rasterize` was given, checked and in one form."""
    means, b = scenes.means, len(scenes)
    each = [cameras] * b if isinstance(cameras, Cameras) else list(cameras)
    if len(each) != b or len({(len(c), c.width, c.height) for c in each}) > 1:
        raise G3dError(f"{b} scenes need one set of cameras for all, or {b} sets of as many views of one size each")
    c2w = torch.stack([c.c2w for c in each]).to(means)  # [B, V, 4, 4]
    intrinsics = torch.stack([c.intrinsics for c in each]).to(means)
    views = c2w.shape[1]
    turn = c2w[..., :3, :3].transpose(-1, -2)
    w2c = torch.cat([turn, -turn @ c2w[..., :3, 3:]], dim=-1)
    if colours is None:
        seen_along = means.unsqueeze(1) - c2w[..., None, :3, 3]  # [B, V, N, 3]
        colours = (sh_colour(scenes.sh.unsqueeze(1), seen_along) + 0.5).clamp(min=0)
    elif colours.dim() == 3:
        colours = colours.unsqueeze(1)
    log_scales = (
        scenes.log_scales if scale_modifier == 1 else scenes.log_scales + torch.log(means.new_tensor(scale_modifier))
    )
    back = torch.as_tensor(background, dtype=means.dtype, device=means.device)
    while back.dim() < 3:
        back = back.unsqueeze(-2)
    made = Inputs(
        means, log_scales, scenes.quats, scenes.opacity_logits, colours.expand(b, views, -1, 3), w2c, intrinsics,
        back.expand(b, views, 3), each[0].width, each[0].height, antialiased, depth,
    )  # fmt: skip
    _check_finite(made, scenes)
    return made


def in_single(rasterize: Callable[..., tuple[Tensor, Tensor, Tensor]], inputs: Inputs) -> Sums:
    """What kernels of single precision make of the inputs, in the precision of the inputs. `rasterize` takes the tensors of the
    scenes, the cameras, the background, the intrinsics (without gradients), width, height, antialiased, depth."""
    plain = (
        t.float() for t in (inputs.means, inputs.log_scales, inputs.quats, inputs.logits, inputs.colours, inputs.w2c)
    )
    how = (inputs.intrinsics.float().detach(), inputs.width, inputs.height, inputs.antialiased, inputs.depth)
    rgb, through, far = rasterize(*plain, inputs.background.float(), *how)
    dtype = inputs.means.dtype
    return Sums(rgb.to(dtype), through.to(dtype), far.to(dtype) if inputs.depth else None)


def _check_finite(inputs: Inputs, scenes: Gaussians) -> None:
    """NaN or infinity in a tensor is named. A log-scale may be minus infinity (a point), a logit either (opacity 0 or 1)."""
    tensors = {
        "means": scenes.means, "log_scales": inputs.log_scales, "quats": scenes.quats, "opacity_logits": scenes.opacity_logits,
        "colours": inputs.colours, "cameras": inputs.w2c, "intrinsics": inputs.intrinsics, "background": inputs.background,
    }  # fmt: skip
    with torch.no_grad():
        if math.isfinite(_total(list(tensors.values()))):
            return
        for name, tensor in tensors.items():
            bad = ~torch.isfinite(tensor)
            if name in ("log_scales", "opacity_logits"):
                bad = torch.isnan(tensor) | (torch.isposinf(tensor) & (name == "log_scales"))
            if bad.any():
                where = [int(i) for i in bad.nonzero()[0]]
                raise G3dError(
                    f"the Gaussians cannot be drawn: '{name}' holds {int(bad.sum())} values that are NaN or infinite, the "
                    f"first at {where}; leave these out, or look for where they arose"
                )


def _total(tensors: Sequence[Tensor]) -> float:
    """A number that is finite only if all are: one answer from a GPU; on a CPU without waking torch's threads."""
    if tensors[0].device.type != "cpu":
        return float(torch.stack([t.sum() for t in tensors]).sum())
    with np.errstate(all="ignore"):
        return float(sum(t.detach().numpy().sum() for t in tensors))


def expected_depth(sums: Sums) -> Tensor | None:
    """The mean depth of what a pixel shows; 0 where nothing is."""
    if sums.far is None:
        return None
    alpha = 1 - sums.through
    return torch.where(alpha > rule.MIN_COVERAGE, sums.far / alpha.clamp(min=rule.MIN_COVERAGE), 0.0)
