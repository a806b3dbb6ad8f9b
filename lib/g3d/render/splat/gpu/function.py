"""The stages on a GPU as one differentiable function of torch.

Letters: B scenes, V views, I = B V pictures, N Gaussians, E entries of all lists, H, W the picture.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from g3d.render.splat import rule
from g3d.render.splat.gpu.blend import blend, blend_backward
from g3d.render.splat.gpu.project import CAMERA, MOMENTS, RECORD, TILE, fill, project, project_backward
from g3d.render.splat.inputs import Inputs, Sums, in_single

BLOCK = 128  # Gaussians of a program


def draw(inputs: Inputs) -> Sums:
    """All views of all scenes at once."""
    return in_single(_Rasterize.apply, inputs)


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, means: Tensor, log_scales: Tensor, quats: Tensor, logits: Tensor, colours: Tensor, w2c: Tensor,
        background: Tensor, intrinsics: Tensor, width: int, height: int, antialiased: bool, deep: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        scene = tuple(t.contiguous() for t in (means, log_scales, quats, logits))
        colours, background = colours.contiguous(), background.contiguous()
        (scenes, views), n = w2c.shape[:2], means.shape[1]
        pictures, tiles_x, tiles_y = scenes * views, -(-width // TILE), -(-height // TILE)
        tiles = tiles_x * tiles_y
        cams = _cameras(w2c, intrinsics, width, height)
        new = means.new_empty
        records = new(pictures * n, RECORD)
        boxes, counts = (new(pictures * n, *s, dtype=torch.int32) for s in ((4,), ()))
        if n:
            project[(pictures, -(-n // BLOCK))](
                *scene, cams, records, boxes, counts, n, views, width, height, ANTIALIASED=antialiased, BLOCK=BLOCK
            )
        ends = counts.cumsum(0, dtype=torch.int64)
        entries = int(ends[-1]) if n else 0
        keys, owners = (new(entries, dtype=torch.int64) for _ in range(2))
        if entries:
            fill[(-(-pictures * n // BLOCK),)](
                records, boxes, counts, ends, keys, owners, n, tiles_x, tiles, pictures * n, BLOCK=BLOCK
            )
        keys, order = keys.sort(stable=True)  # equal depths stay in the order of their index
        owners = owners[order]
        bounds = torch.arange(pictures * tiles + 1, device=means.device)
        starts = torch.searchsorted(keys >> 32, bounds)
        stops = torch.empty_like(starts[:-1])
        rgb, through = new(scenes, views, height, width, 3), new(scenes, views, height, width)
        far = torch.empty_like(through) if deep else new(1)
        blend[(pictures * tiles,)](
            owners,
            starts,
            stops,
            records,
            colours,
            background,
            rgb,
            through,
            far,
            tiles_x,
            tiles,
            width,
            height,
            DEEP=deep,
        )
        ctx.save_for_backward(
            *scene, colours, cams, records, counts, ends, owners, order, starts, stops, rgb, through, far
        )  # fmt: skip
        ctx.how = (width, height, tiles_x, tiles, antialiased, deep)
        return rgb, through, far if deep else new(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_rgb: Tensor, grad_through: Tensor, grad_far: Tensor) -> tuple[Tensor | None, ...]:
        *scene, colours, cams, records, counts, ends, owners, order, starts, stops, rgb, through, far = (
            ctx.saved_tensors
        )
        width, height, tiles_x, tiles, antialiased, deep = ctx.how
        scenes, views, n = colours.shape[:3]
        pictures = scenes * views
        moments = torch.zeros(len(order), MOMENTS, device=rgb.device)  # entries behind a full tile have no part
        grads = (grad_rgb.contiguous(), grad_through.contiguous(), grad_far.contiguous() if deep else far)
        blend_backward[(pictures * tiles,)](
            owners, order, starts, stops, records, colours, rgb, through, far, *grads, moments, tiles_x, tiles, width, height,
            DEEP=deep,
        )  # fmt: skip
        found = [torch.empty(scenes, views, *t.shape[1:], device=rgb.device) for t in scene]
        of_colours = torch.empty_like(colours)
        with_pose, blocks = ctx.needs_input_grad[5], max(1, -(-n // BLOCK))
        poses = torch.zeros(scenes, views, blocks, 12, device=rgb.device)
        if n:
            project_backward[(pictures, blocks)](
                *scene, cams, counts, ends, moments, *found, of_colours, poses, n, views, blocks, ANTIALIASED=antialiased,
                POSE=with_pose, BLOCK=BLOCK,
            )  # fmt: skip
        w2c = None
        if with_pose:
            pose = poses.double().sum(dim=2).float()
            w2c = torch.cat([pose[..., :9].unflatten(-1, (3, 3)), pose[..., 9:, None]], dim=-1)
        back = (grad_rgb * through.unsqueeze(-1)).sum(dim=(2, 3)) if ctx.needs_input_grad[6] else None
        return (*(t.sum(dim=1) for t in found), of_colours, w2c, back, *[None] * 5)


def _cameras(w2c: Tensor, intrinsics: Tensor, width: int, height: int) -> Tensor:
    """[B, V, 3, 4] and [B, V, 4] => the numbers [B, V, CAMERA] that kernels read."""
    fx, fy, cx, cy = intrinsics.unbind(-1)
    margin_x, margin_y = rule.MARGIN * 0.5 * width / fx, rule.MARGIN * 0.5 * height / fy
    limits = (-cx / fx - margin_x, (width - cx) / fx + margin_x, -cy / fy - margin_y, (height - cy) / fy + margin_y)
    parts = [w2c[..., :3].flatten(-2), w2c[..., 3], intrinsics, torch.stack(limits, dim=-1)]
    found = torch.cat(parts, dim=-1).contiguous()
    assert found.shape[-1] == CAMERA
    return found
