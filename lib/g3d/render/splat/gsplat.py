"""The package gsplat (Apache-2.0, CUDA) as a back end: a peer to compare with. Imported only where it is asked for.

It differs from `rule.py` where it cannot be told otherwise: a pixel leaves out the Gaussian that would bring its
transmittance to 1e-4 (at most 1e-4 of the picture), and alpha is at most what its version says (0.999 or 0.99).
"""

import importlib

import torch

from g3d.render.splat import rule
from g3d.render.splat.inputs import Inputs, Sums


def draw(inputs: Inputs) -> Sums:
    """All views of all scenes; a scene's views in one call."""
    rasterization = importlib.import_module("gsplat").rasterization
    rgb, through, far = [], [], []
    for b in range(inputs.means.shape[0]):
        views = inputs.w2c.shape[1]
        last_row = inputs.w2c.new_tensor([0.0, 0, 0, 1]).expand(views, 1, 4)
        matrices = torch.zeros(views, 3, 3, dtype=inputs.intrinsics.dtype, device=inputs.intrinsics.device)
        fx, fy, cx, cy = inputs.intrinsics[b].unbind(-1)
        matrices[:, 0, 0], matrices[:, 1, 1], matrices[:, 0, 2], matrices[:, 1, 2], matrices[:, 2, 2] = (
            fx,
            fy,
            cx,
            cy,
            1,
        )
        colours, alphas, _ = rasterization(
            inputs.means[b], inputs.quats[b], inputs.log_scales[b].clamp(max=rule.MAX_LOG_SCALE).exp(),
            inputs.logits[b].sigmoid(), inputs.colours[b], torch.cat([inputs.w2c[b], last_row], dim=1), matrices,
            inputs.width, inputs.height, near_plane=rule.NEAR_WORLD, eps2d=rule.LOW_PASS_PX2,
            render_mode="RGB+D" if inputs.depth else "RGB",
            rasterize_mode="antialiased" if inputs.antialiased else "classic",
        )  # fmt: skip
        left = 1 - alphas[..., 0]  # [V, H, W]
        through.append(left)
        rgb.append(colours[..., :3] + left.unsqueeze(-1) * inputs.background[b][:, None, None])
        far.append(colours[..., 3] if inputs.depth else left)
    return Sums(torch.stack(rgb), torch.stack(through), torch.stack(far) if inputs.depth else None)
