"""Scenes: Gaussians | MlpField | Triplane, each a frozen dataclass with a leading batch axis; what a field says at points.

A scene is all that a renderer needs: its tensors and its `World`. The set of kinds is closed.

Letters: B scenes, N Gaussians, K spherical-harmonic coefficients, P points, C channels of a plane.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from g3d.cameras import SIDE_MOST, CameraPrior, Cameras, focal_from_fov
from g3d.errors import G3dError
from g3d.scenes import mlp, planes

Corner = planes.Corner


@dataclass(frozen=True)
class ImportedFrame:
    """How imported weights (GSGAN's public code) were drawn: with one field of view, and with x of the translation negated."""

    fixed_fov_deg: float | None = None
    negate_tx: bool = False

    def seen_by(self, cameras: Cameras) -> Cameras:
        """The cameras as such weights saw them."""
        if self.fixed_fov_deg is not None:
            factor = focal_from_fov(self.fixed_fov_deg, cameras.width) / cameras.intrinsics[:, :1]
            k = torch.cat([cameras.intrinsics[:, :2] * factor, cameras.intrinsics[:, 2:]], dim=1)
            cameras = replace(cameras, intrinsics=k)
        if self.negate_tx:  # of world to camera: the camera moves along its x by twice the x of the origin in its frame
            right, eye = cameras.c2w[:, :3, 0], cameras.c2w[:, :3, 3]
            moved = eye - 2 * (right * eye).sum(dim=1, keepdim=True) * right
            upper = torch.cat([cameras.c2w[:, :3, :3], moved.unsqueeze(2)], dim=2)
            cameras = replace(cameras, c2w=torch.cat([upper, cameras.c2w[:, 3:]], dim=1))
        return cameras


SAMPLES_MOST = 4096  # a ray


@dataclass(frozen=True)
class World:
    """What a renderer must know besides the tensors. Lengths in world units, near and far along the camera's z."""

    bounds: tuple[Corner, Corner] = ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0))
    near_world: float = 0.1
    far_world: float = 10.0
    background: Corner = (1.0, 1.0, 1.0)  # colour behind everything, [0, 1]
    samples: int = 64  # a ray, of a field
    proposal_samples: int = 0  # a ray, before them; only where the scene has a proposal network
    spacing: Literal["world", "disparity"] = "world"  # samples even in distance, or in 1 / distance
    image_size: tuple[int, int] | None = None  # width, height in pixels that an image field was fitted to
    opaque_end: bool = False  # the last interval: of an MLP infinitely long, of a triplane opaque (weights sum to one)
    camera_prior: CameraPrior | None = None  # where the training cameras stood; also holds the default camera
    condition_camera: tuple[float, ...] | None = None  # the 25 numbers at which view-conditioned colours were baked
    imported: ImportedFrame | None = None
    unbounded: bool = False  # a field that goes on outside the bounds, which are then of meshes alone

    def seen_by(self, cameras: Cameras) -> Cameras:
        """The cameras as they see this world: changed only for imported weights that were drawn in another way."""
        return cameras if self.imported is None else self.imported.seen_by(cameras)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        plain = {k: v for k, v in asdict(self).items() if v is not None and k != "imported"}
        if not self.unbounded:  # so that files of bounded scenes are as they were
            del plain["unbounded"]
        frame = self.imported or ImportedFrame()
        plain |= {k: v for k, v in asdict(frame).items() if v is not None}
        return {**plain, **({"camera_prior": self.camera_prior.as_json()} if self.camera_prior else {})}

    @staticmethod
    def from_json(data: Mapping[str, Any], where: str) -> "World":
        """From a file's metadata; `where` names it in messages."""
        known = {f.name for f in fields(World)}
        try:
            values = {k: _tuples(v) for k, v in data.items() if k not in ("camera_prior", "imported") and k in known}
            frame = ImportedFrame(data.get("fixed_fov_deg"), data.get("negate_tx", False))
            prior = data.get("camera_prior")
            values["imported"] = None if frame == ImportedFrame() else frame
            world = World(**values, camera_prior=CameraPrior.from_json(prior, where) if prior else None)
            sane = 1 <= world.samples <= SAMPLES_MOST and 0 <= world.near_world < world.far_world < math.inf
            sane = sane and type(world.samples) is int and type(world.proposal_samples) is int
            sane = sane and 0 <= world.proposal_samples <= SAMPLES_MOST and len(world.background) == 3
            numbers = (*world.background, *world.bounds[0], *world.bounds[1], *(world.condition_camera or ()))
            sane = sane and all(math.isfinite(v) for v in numbers)
            sane = (
                sane and world.spacing in ("world", "disparity") and (world.spacing == "world" or world.near_world > 0)
            )
            sane = (
                sane and all(low < high for low, high in zip(*world.bounds, strict=True)) and len(world.bounds[0]) == 3
            )
            sane = sane and (frame.fixed_fov_deg is None or 0 < float(frame.fixed_fov_deg) < 180)
            sane = sane and type(world.unbounded) is bool
            sane = sane and (world.condition_camera is None or len(world.condition_camera) == 25)
            if world.image_size is not None:
                sane = (
                    sane
                    and len(world.image_size) == 2
                    and all(type(n) is int and 1 <= n <= SIDE_MOST for n in world.image_size)
                )
        except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as error:
            raise G3dError(f"the world of '{where}' cannot be read ({error}); write it again") from error
        if not sane:
            raise G3dError(
                f"the world of '{where}' is not sane (bounds, near < far, samples >= 1, image size); write it again"
            )
        return world


class Sample(NamedTuple):
    """What a field says at points: `rgb` [B, P, 3] in [0, 1] and `density` [B, P] >= 0, per world unit."""

    rgb: Tensor
    density: Tensor


@dataclass(frozen=True)
class Gaussians:
    """B scenes of N Gaussians each; conventions in `storage/formats.py`."""

    means: Tensor  # [B, N, 3]
    log_scales: Tensor  # [B, N, 3]
    quats: Tensor  # [B, N, 4] wxyz, not necessarily unit
    opacity_logits: Tensor  # [B, N]
    sh: Tensor  # [B, N, K, 3]
    world: World
    level: Tensor | None = None  # [B, N]
    background: Tensor | None = None  # [B, N] 1 where the Gaussian belongs to the background

    def __len__(self) -> int:
        return int(self.means.shape[0])


@dataclass(frozen=True)
class MlpField:
    """B scenes that are MLPs of one architecture."""

    weights: mlp.Weights  # name -> weight [B, O, I], bias [B, O]
    network: mlp.Network
    world: World
    signal: Literal["radiance", "occupancy", "image"] = "radiance"

    def __len__(self) -> int:
        return int(next(iter(self.weights.values()))[0].shape[0])


@dataclass(frozen=True)
class Triplane:
    """B scenes of three feature planes (XY, XZ, YZ), a small MLP that reads them and, optionally, a proposal MLP.

    Hidden layers are softplus; the last layer of `nerf` gives rgb and density, of `proposal` density. The planes cover the
    middle of contracted space, `extent` to both sides of each axis; rows of XY run upward in y (see `scenes.planes`)."""

    planes: Tensor  # [B, 3, C, H, W]
    nerf: tuple[tuple[Tensor, Tensor], ...]  # weight [B, O, I], bias [B, O]
    world: World
    proposal: tuple[tuple[Tensor, Tensor], ...] = ()
    contraction: Literal["none", "sphere"] = (
        "none"  # sphere: mip-NeRF 360, unbounded space into a ball; none: by bounds
    )
    extent: Corner = (1.0, 1.0, 1.0)  # half-widths of the planes along x, y, z; contracted space is [-1, 1]
    scale: float = 1.0  # of the world before the sphere contraction, which keeps what is nearer than 1 / scale straight

    def __post_init__(self) -> None:
        assert self.contraction == "sphere" or self.scale == 1, "scale belongs to the contraction"

    def __len__(self) -> int:
        return int(self.planes.shape[0])


Scene = Gaussians | MlpField | Triplane
Field = MlpField | Triplane


def unbounded(scene: Field) -> bool:
    """Whether rays are followed outside the bounds."""
    return scene.world.unbounded or (isinstance(scene, Triplane) and scene.contraction == "sphere")


def query(
    scene: Field,
    points: Tensor,
    directions: Tensor | None = None,
    buffers: mlp.Buffers | None = None,
    *,
    clamp: bool = True,
) -> Sample:
    """Colour and density at world `points` [B, P, 3], seen along unit `directions` [B, P, 3] where the field uses them.

    `buffers` is memory that an MLP may use again, where no gradients are wanted. Without `clamp` a triplane's colour may leave
    [0, 1] by a thousandth, where a clamped one has no gradient."""
    match scene:
        case MlpField():
            inputs = {"x": points} if directions is None else {"x": points, "direction": directions}
            out = mlp.evaluate(scene.network, scene.weights, inputs, buffers)
            return Sample(out["rgb"], out["density"].squeeze(-1))
        case Triplane():
            raw = _plane_mlp(scene.nerf, plane_features(scene, points))
            rgb = raw[..., :3].sigmoid() * 1.002 - 0.001  # a little wider than [0, 1], so that both ends can be reached
            return Sample(rgb.clamp(0, 1) if clamp else rgb, F.softplus(raw[..., 3] - 1))


def query_density(scene: MlpField, points: Tensor, buffers: mlp.Buffers | None = None) -> Tensor:
    """Density [B, P] alone, of a radiance field whose density depends on no direction: a branch for colour is not asked."""
    return mlp.evaluate(scene.network, scene.weights, {"x": points}, buffers, only="density")["density"].squeeze(-1)


def query_output(scene: MlpField, points: Tensor, name: str, buffers: mlp.Buffers | None = None) -> Tensor:
    """A named output [B, P, C] of a field that is no radiance: `occupancy` at [B, P, 3], `rgb` at [B, P, 2]."""
    return mlp.evaluate(scene.network, scene.weights, {"x": points}, buffers)[name]


def query_proposal(scene: Triplane, points: Tensor) -> Tensor:
    """Density [B, P] by the proposal network, only to place samples."""
    return F.softplus(_plane_mlp(scene.proposal, plane_features(scene, points))[..., 0] - 1)


def plane_features(scene: Triplane, points: Tensor) -> Tensor:
    """Mean over the planes of their bilinear features [B, P, C] at world `points`; see `scenes.planes`."""
    low, high = scene.world.bounds
    frame = planes.Frame(low, high, scene.contraction == "sphere", scene.scale, scene.extent)
    return planes.features(scene.planes, points, frame)


def _plane_mlp(layers: Sequence[tuple[Tensor, Tensor]], h: Tensor) -> Tensor:
    for i, (weight, bias) in enumerate(layers):
        h = torch.baddbmm(bias.unsqueeze(1), h, weight.transpose(1, 2))
        h = F.softplus(h) if i + 1 < len(layers) else h
    return h


def pick(scene: Scene, index: int) -> Scene:
    """Scene `index` of a batch, as a batch of one."""
    return with_tensors(scene, {k: v[index : index + 1] for k, v in tensors_of(scene).items()})


def to(scene: Scene, device: str | torch.device) -> Scene:
    """The scene on another device."""
    return with_tensors(scene, {k: v.to(device) for k, v in tensors_of(scene).items()})


def tensors_of(scene: Scene) -> dict[str, Tensor]:
    """The tensors under their names in a file, still with the batch axis."""
    match scene:
        case Gaussians():
            named = {
                n: getattr(scene, n)
                for n in ("means", "log_scales", "quats", "opacity_logits", "sh", "level", "background")
            }
            return {n: v for n, v in named.items() if v is not None}
        case MlpField():
            pairs = [(f"layer.{n}", wb) for n, wb in scene.weights.items()]
        case Triplane():
            pairs = [(f"nerf.{i}", wb) for i, wb in enumerate(scene.nerf)]
            pairs += [(f"proposal.{i}", wb) for i, wb in enumerate(scene.proposal)]
    named = {f"{n}.{part}": tensor for n, wb in pairs for part, tensor in zip(("weight", "bias"), wb, strict=True)}
    return {"planes": scene.planes, **named} if isinstance(scene, Triplane) else named


def with_tensors(scene: Scene, tensors: Mapping[str, Tensor]) -> Scene:
    """The same scene with other tensors under the same names."""
    match scene:
        case Gaussians():
            changes: dict[str, Any] = dict(tensors)
            return replace(scene, **changes)
        case MlpField():
            return replace(
                scene, weights={n: (tensors[f"layer.{n}.weight"], tensors[f"layer.{n}.bias"]) for n in scene.weights}
            )
        case Triplane():
            return replace(
                scene,
                planes=tensors["planes"],
                nerf=mlp_pairs(tensors, "nerf"),
                proposal=mlp_pairs(tensors, "proposal"),
            )


def mlp_pairs(tensors: Mapping[str, Tensor], name: str) -> tuple[tuple[Tensor, Tensor], ...]:
    """Weights and biases `name.0`, `name.1`, ... in order."""
    count = sum(key.startswith(f"{name}.") and key.endswith(".weight") for key in tensors)
    return tuple((tensors[f"{name}.{i}.weight"], tensors[f"{name}.{i}.bias"]) for i in range(count))


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list | tuple) else value
