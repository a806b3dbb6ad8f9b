"""Settings of HyperNeRFGAN: defaults are the public settings for CARLA, presets one table.

[c] is the method's public code, [r] the report on a 16 GB GPU, whose names for its ablations (r1_gamma, augment_p,
n_samples, patch_size) are kept.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

from g3d.config import setting
from g3d.methods.contract import Needs
from g3d.training.gan import AdversarialSettings

PAPER = "HyperNeRFGAN: Hypernetwork approach to 3D NeRF GAN (Kania et al.; arXiv:2301.11631), and a report that reproduces it"


@dataclass(frozen=True)
class Config(AdversarialSettings):
    """Letters: P side of a patch, N_s samples of a ray, r rank, gamma weight of R1."""

    layers: int = setting(4, "layers of the field before its output: 4 (carla, planes) or 8 [c]", low=1, high=64)
    width: int = setting(128, "features of a layer of the field", low=1, high=4096)
    skip_after: int = setting(4, "the encoded point comes in again after this layer, where there are more", low=0)
    frequencies: int = setting(10, "sin and cos of 2^k x for k below this", low=0, high=20)
    rank: int = setting(10, "r, of the generated factors A and B", low=1, high=256)
    modulation: Literal["demod", "plain"] = setting(
        "demod", "W * (A B / sqrt(r) + 1), rows of norm 1 [c], or W * (A B) (the report's eq. 4)"
    )
    z_dim: int = setting(128, "numbers of a latent", low=1, high=4096)
    w_dim: int = setting(128, "numbers of a style", low=1, high=4096)
    mapping_layers: int = setting(2, "layers from z to w", low=1, high=16)
    n_samples: int = setting(64, "N_s, samples of a ray", low=1, high=1024)
    patch_size: int = setting(64, "P, side of what is rendered and judged, pixels", low=4, high=1024)
    density_noise: float = setting(1.0, "standard deviation of noise on the raw density while training [c]", low=0)
    cameras: Literal["settings", "data"] = setting(
        "settings", "where cameras stand: the eight settings below, or the dataset's own camera_prior"
    )
    rays: Literal["shell", "box"] = setting(
        "shell", "samples between near and far [c], or only within the data's bounding box"
    )
    radius_world: float = setting(4.0, "distance of a camera from the middle [c]", low=0.01)
    fov_deg: float = setting(39.59755, "field of view [c: 0.6911 rad]", low=0.1, high=179)
    near_world: float = setting(3.0, "where samples begin, camera z [c]", low=0)
    far_world: float = setting(5.0, "where samples end, camera z [c]", low=0)
    azimuth_deg: tuple[float, ...] = setting((0.0, 360.0), "range, or mean -+ one deviation for azimuth_normal")
    elevation_deg: tuple[float, ...] = setting((0.0, 90.0), "range above the horizon", low=-90, high=90)
    spread: Literal["area", "uniform", "normal", "azimuth_normal"] = setting(
        "area", "how cameras are spread over these ranges"
    )
    opaque_end: bool = setting(False, "the last interval is infinitely long (the public code; for imported weights)")
    batch: int = setting(4, "pictures a step", low=1, high=1 << 20)
    g_lr: float = setting(2.5e-3, "Adam, generator ([c]; the report says 2e-3)", low=0)
    augment: Literal["none", "fixed", "ada"] = setting(
        "fixed", "augment_p as it stands [c], or moved to ada_target [r]"
    )
    augment_set: Literal["flip_crop", "colour", "bg", "bgc"] = setting("flip_crop", "transforms; see nets/augment.py")
    augment_p: float = setting(0.5, "probability of each transform; where it starts, for ada", low=0, high=1)
    checkpoint: bool = setting(False, "activation checkpointing: less memory, the field is evaluated twice")
    points_per_chunk: int = setting(8192, "points that go through the field at once", low=1)

    def __post_init__(self) -> None:
        if self.near_world >= self.far_world:
            raise ValueError(f"near_world is {self.near_world}, far_world {self.far_world}; near must be less")
        for name in ("azimuth_deg", "elevation_deg"):
            found = getattr(self, name)
            if len(found) != 2 or found[0] > found[1]:
                raise ValueError(f"{name} is {list(found)}; wanted are two angles, low and high, e.g. {name}=0,90")


_SETTINGS, _AUGMENTED, _ADA = (
    Needs("cameras", ("settings",)),
    Needs("augment", other_than=("none",)),
    Needs("augment", ("ada",)),
)
NEEDS = {
    "radius_world": _SETTINGS, "fov_deg": _SETTINGS, "near_world": _SETTINGS, "far_world": _SETTINGS,
    "azimuth_deg": _SETTINGS, "elevation_deg": _SETTINGS, "spread": _SETTINGS,
    "augment_set": _AUGMENTED, "augment_p": _AUGMENTED, "ada_target": _ADA, "ada_kimg": _ADA,
    "r1_gamma": Needs("r1_interval", other_than=(0,)), "ema_rampup": Needs("ema_kimg", other_than=(0.0,)),
}  # fmt: skip
"""Settings that have an effect beside others only."""

_8_LAYERS = Config(layers=8)
# The report's low-memory baseline (tables 2-4): one picture at a time in memory, their gradients accumulated to a batch of 4
# (section 4.3); gamma is 1 for all its sets; ADA from p = 0.5 (5.3.3) with ADA's own transforms, which the report does not name.
_LOW: dict[str, Any] = {
    "patch_size": 32, "n_samples": 32, "micro_batch": 1, "g_lr": 2e-3, "d_lr": 2e-3, "r1_gamma": 1.0, "augment": "ada",
    "augment_set": "bgc", "augment_p": 0.5, "kimg": 200,
}  # fmt: skip
_OURS = Config(  # for the cameras and the box of our own data, on a processor
    width=64, rank=5, z_dim=64, w_dim=64, frequencies=6, patch_size=32, n_samples=24, density_noise=0.5, cameras="data",
    rays="box", d_channel_base=1024, d_channel_max=128, kimg=200, ema_kimg=5, augment="ada", augment_set="flip_crop", augment_p=0,
)  # fmt: skip

# The public settings [c], the report's low-memory baseline [r], and ours.
PRESETS = {
    "carla":           Config(),
    "shapenet-cars":   _8_LAYERS,
    "shapenet-planes": Config(),
    "shapenet-chairs": replace(_8_LAYERS, r1_gamma=0.1),
    "celeba":          replace(_8_LAYERS, r1_gamma=0.1, near_world=3.5, far_world=4.5, azimuth_deg=(-5, 5), elevation_deg=(-2, 2),
                               spread="azimuth_normal"),
    "t4":              Config(**_LOW),
    "t4-batch1":       Config(**{**_LOW, "batch": 1, "micro_batch": 0}),  # nothing accumulated
    "t4-cars":         replace(_8_LAYERS, **_LOW),
    "t4-planes":       Config(**_LOW),
    "t4-chairs":       replace(_8_LAYERS, **_LOW),
    "cars64":          _OURS,
    "smoke":           replace(_OURS, layers=2, width=16, rank=2, z_dim=8, w_dim=8, frequencies=3, patch_size=8, n_samples=6,
                               d_channel_base=64, d_channel_max=8, kimg=0.08, ema_kimg=0.02, r1_interval=4),
}  # fmt: skip
