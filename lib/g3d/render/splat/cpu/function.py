"""The stages on the CPU as one differentiable function of torch.

Everything that a backward pass needs hangs on its own forward pass: any number of them may be alive at once.

Letters: B scenes, V views, N Gaussians, E entries of all lists, H, W the picture.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from g3d.kernels import threads
from g3d.render.splat import rule
from g3d.render.splat.cpu.bins import fill, lay_out
from g3d.render.splat.cpu.blend import TABLE, blend
from g3d.render.splat.cpu.blend_backward import MOMENTS, blend_backward
from g3d.render.splat.cpu.lane_type import LANES
from g3d.render.splat.cpu.project import CAMERA, RECORD, TILE, project
from g3d.render.splat.cpu.project_backward import project_backward
from g3d.render.splat.inputs import Inputs, Sums, in_single

Array = NDArray[Any]
F32 = np.float32
ALONE = 4096  # Gaussians or pixels up to which a second thread costs more than it saves


class Scene(NamedTuple):
    """The tensors of one scene as arrays: [N, 3], [N, 3], [N, 4], [N]."""

    means: Array
    log_scales: Array
    quats: Array
    logits: Array


@dataclass(frozen=True)
class Lists:
    """What is known of one view before it is blended; see the kernels for the shapes."""

    cam: Array
    width: int
    height: int
    parts: int  # threads
    antialiased: bool
    records: Array
    boxes: Array
    depth_keys: Array
    slots: Array
    starts: Array
    order: Array
    longest: int

    @property
    def tiles_x(self) -> int:
        return -(-self.width // TILE)


@dataclass(frozen=True)
class Picture:
    """One view, blended. `depth` is None where it is not wanted."""

    rgb: Array  # [H W 3]
    through: Array  # [H W]
    depth: Array | None  # [H W]
    ends: Array  # [tiles]
    vectors: int


def draw(inputs: Inputs) -> Sums:
    """All views of all scenes."""
    return in_single(_Rasterize.apply, inputs)


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, means: Tensor, log_scales: Tensor, quats: Tensor, logits: Tensor, colours: Tensor, w2c: Tensor,
        background: Tensor, intrinsics: Tensor, width: int, height: int, antialiased: bool, deep: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        scenes, views = w2c.shape[:2]
        rgb = torch.empty(scenes, views, height, width, 3)
        through = torch.empty(scenes, views, height, width)
        far = torch.empty(scenes, views, height, width) if deep else torch.empty(0)
        ctx.set_materialize_grads(False)  # what the loss did not look at comes back as None, not as a tensor of zeros
        keep = any(ctx.needs_input_grad)
        ctx.kept = []
        for b in range(scenes):
            scene = Scene(*(_array(t[b]) for t in (means, log_scales, quats, logits)))
            for v in range(views):
                cam = camera(w2c[b, v], intrinsics[b, v], width, height)
                lists = listed(scene, _array(colours[b, v]), cam, width, height, antialiased)
                into = (rgb[b, v], through[b, v], far[b, v] if deep else None)
                picture = blended(lists, _array(background[b, v]), into)
                ctx.kept += [(scene, lists, picture)] if keep else []
        ctx.shapes = (tuple(means.shape), tuple(colours.shape), deep)
        ctx.save_for_backward(rgb, through, far)  # so that torch notices when they are changed before the backward pass
        return rgb, through, far

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_rgb: Tensor | None, grad_through: Tensor | None, grad_far: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        (b_n, n, _), of_colours, deep = ctx.shapes
        rgb, through, far = ctx.saved_tensors
        grad_rgb, grad_through, grad_far = (
            torch.from_numpy(np.zeros(t.shape, F32)) if g is None else g
            for g, t in ((grad_rgb, rgb), (grad_through, through), (grad_far, far))
        )
        views = of_colours[1]
        sums = [np.zeros((b_n, n, *s), F32) for s in ((3,), (3,), (4,), ())]
        colours = np.empty(of_colours, F32)
        pose = np.zeros((b_n, views, 12), F32) if ctx.needs_input_grad[5] else None
        for at, (scene, lists, picture) in enumerate(ctx.kept):
            b, v = divmod(at, views)
            grads = (grad_rgb[b, v], grad_through[b, v], grad_far[b, v] if deep else None)
            found, mine = gradients(scene, lists, picture, *grads, colours[b, v], pose is not None)
            for total, part in zip(sums, found, strict=True):
                total[b] += part
            if pose is not None:
                pose[b, v] = mine
        back = (grad_rgb * through.unsqueeze(-1)).sum(dim=(2, 3)) if ctx.needs_input_grad[6] else None
        w2c = None
        if pose is not None:  # rotation row by row, then translation => [3, 4]
            w2c = torch.cat(
                [torch.from_numpy(pose[..., :9]).unflatten(-1, (3, 3)), torch.from_numpy(pose[..., 9:, None])], -1
            )
        means, log_scales, quats, logits = (torch.from_numpy(t) for t in sums)
        return (means, log_scales, quats, logits, torch.from_numpy(colours), w2c, back, *[None] * 5)


def camera(w2c: Tensor, intrinsics: Tensor, width: int, height: int) -> Array:
    """[3, 4] and fx fy cx cy => the numbers of a camera that kernels read."""
    fx, fy, cx, cy = (float(x) for x in intrinsics)
    margin_x, margin_y = rule.MARGIN * 0.5 * width / fx, rule.MARGIN * 0.5 * height / fy
    limits = (-cx / fx - margin_x, (width - cx) / fx + margin_x, -cy / fy - margin_y, (height - cy) / fy + margin_y)
    numbers = [*w2c[:, :3].flatten().tolist(), *w2c[:, 3].tolist(), fx, fy, cx, cy, *limits]
    assert len(numbers) == CAMERA
    return np.array(numbers, F32)


def listed(scene: Scene, colours: Array, cam: Array, width: int, height: int, antialiased: bool) -> Lists:
    """Project every Gaussian and list those of each tile."""
    n, tiles = len(scene.means), -(-width // TILE) * -(-height // TILE)
    parts = 1 if max(n, width * height) <= ALONE else threads.count()
    records, boxes = np.empty(n * RECORD, F32), np.empty((n, 4), np.int32)
    depth_keys, slots = np.empty(n, np.int32), np.empty(n, np.int64)
    counts, totals = np.zeros((parts, tiles), np.int64), np.zeros(parts, np.int64)

    def project_share(part: int) -> None:
        project(
            part,
            parts,
            *scene,
            colours,
            cam,
            width,
            height,
            antialiased,
            records,
            boxes,
            depth_keys,
            slots,
            counts,
            totals,
        )

    def fill_share(part: int) -> None:
        fill(part, parts, boxes, width, counts, totals, slots, order)

    threads.share(project_share, parts)
    starts = np.empty(tiles + 1, np.int64)
    longest = lay_out(counts, totals, starts)
    order = np.empty(int(starts[-1]), np.int32)
    threads.share(fill_share, parts)
    return Lists(cam, width, height, parts, antialiased, records, boxes, depth_keys, slots, starts, order, longest)


def blended(lists: Lists, background: Array, into: tuple[Tensor, Tensor, Tensor | None]) -> Picture:
    """Draw a view into tensors [H, W, 3], [H, W] and, where depth is wanted, [H, W]."""
    rgb, through = (t.view(-1).numpy() for t in into[:2])
    depth = None if into[2] is None else into[2].view(-1).numpy()
    ends, ticket = np.empty(len(lists.starts) - 1, np.int64), np.zeros(1, np.int64)
    work = np.zeros((lists.parts, 1), np.int64)

    def blend_tiles(part: int) -> None:
        blend(
            ticket, TABLE, lists.tiles_x, lists.width, lists.height, lists.longest, lists.starts, lists.order,
            lists.depth_keys, lists.records, background, rgb, through, depth, ends, work[part],
        )  # fmt: skip

    threads.share(blend_tiles, lists.parts)
    return Picture(rgb, through, depth, ends, int(work.sum()))


def gradients(
    scene: Scene, lists: Lists, picture: Picture, grad_rgb: Tensor, grad_through: Tensor, grad_far: Tensor | None,
    grad_colours: Array, with_pose: bool,
) -> tuple[tuple[Array, Array, Array, Array], Array | None]:  # fmt: skip
    """Those of the scene's tensors and of the pose [12] of a view; `grad_colours` [N, 3] is written."""
    moments, seen = pixel_sums(lists, picture, grad_rgb, grad_through, grad_far)
    return chained(scene, lists, moments, seen, grad_colours, with_pose)


def pixel_sums(
    lists: Lists, picture: Picture, grad_rgb: Tensor, grad_through: Tensor, grad_far: Tensor | None
) -> tuple[Array, Array]:
    """The sums of every entry over its pixels, [E MOMENTS], and which entries have some, [E]."""
    ticket = np.zeros(1, np.int64)
    moments, seen = np.empty(len(lists.order) * MOMENTS, F32), np.zeros(len(lists.order), np.uint8)
    of_rgb, of_through = _array(grad_rgb).reshape(-1), _array(grad_through).reshape(-1)
    of_far = None if grad_far is None else _array(grad_far).reshape(-1)

    def blend_tiles_backward(part: int) -> None:
        blend_backward(
            ticket, TABLE, lists.tiles_x, lists.width, lists.height, lists.starts, picture.ends, lists.order, lists.records,
            lists.boxes, lists.slots, picture.rgb, picture.through, picture.depth, of_rgb, of_through, of_far, moments, seen,
        )  # fmt: skip

    threads.share(blend_tiles_backward, lists.parts)
    return moments, seen


def chained(
    scene: Scene, lists: Lists, moments: Array, seen: Array, grad_colours: Array, with_pose: bool
) -> tuple[tuple[Array, Array, Array, Array], Array | None]:
    """The sums of entries => gradients."""
    found = tuple(np.empty_like(t) for t in scene)
    poses = np.empty((-(-len(scene.means) // LANES), 12), F32) if with_pose else None

    def project_share_backward(part: int) -> None:
        project_backward(
            part, lists.parts, *scene, lists.cam, lists.antialiased, lists.boxes, lists.slots, moments, seen, *found,
            grad_colours, poses,
        )  # fmt: skip

    threads.share(project_share_backward, lists.parts)
    means, log_scales, quats, logits = found
    return (means, log_scales, quats, logits), None if poses is None else poses.sum(axis=0, dtype=np.float64)


def _array(tensor: Tensor) -> Array:
    return tensor.detach().contiguous().numpy()
