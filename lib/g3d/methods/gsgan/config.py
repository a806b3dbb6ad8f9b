"""Settings of GSGAN: defaults are those of FFHQ at 256 pixels, presets one table.

[c] is the method's public code, [p] the paper. Where they differ the default is [c], and the paper's form a setting.
"""

from dataclasses import dataclass, replace
from typing import Literal

from g3d.config import setting
from g3d.methods.contract import Needs
from g3d.training.gan import AdversarialSettings

PAPER = "GSGAN: Adversarial Learning for Hierarchical Generation of 3D Gaussian Splats (Hyun, Heo; NeurIPS 2024)"
CHILDREN = 4  # r, children of a point at the next level
CAMERA_NUMBERS = 25  # of a condition: camera to world (16), intrinsics over the picture's size (9)


@dataclass(frozen=True)
class Config(AdversarialSettings):
    """Letters: L levels, N points at level 0, W numbers of a style."""

    resolution: int = setting(256, "side of the pictures, pixels: the scale at which levels end is 1 / this", low=4)
    z_dim: int = setting(512, "numbers of a latent", low=1, high=4096)
    w_dim: int = setting(512, "numbers of a style", low=1, high=4096)
    mapping_layers: int = setting(2, "layers from z to w", low=1, high=16)
    points: int = setting(256, "N, learnt points at level 0", low=2, high=1 << 16)
    channels: tuple[int, ...] = setting((512, 512, 256, 128, 128), "features of a point, level by level", low=4)
    transformers: int = setting(6, "blocks with attention among all points at level 0", low=1, high=32)
    heads: int = setting(8, "of that attention", low=1, high=64)
    mlp_ratio: int = setting(4, "hidden features of an MLP, times its inputs", low=1, high=16)
    modulated: int = setting(
        3, "levels below this see the style and attend to nearest points; the others to siblings", low=1
    )
    neighbours: int = setting(16, "k, nearest points in feature space that a point attends to", low=1, high=256)
    table: Literal["linear", "middle"] = setting(
        "linear", "how the learnt table of positions is read: between its columns, or as the public code does [c]"
    )
    camera_channels: int = setting(32, "features of the camera's direction, which colours see [c]", low=1, high=1024)

    position: Literal["local", "free"] = setting("local", "Gaussians lie in their parent's frame (eq. 3), or anywhere")
    scale: Literal["relative", "clipped", "free"] = setting(
        "relative", "scales fall from level to level (eq. 4), have a largest value, or have none"
    )
    scale_step: Literal["public", "paper"] = setting(
        "public",
        "what a level's scales fall besides: where the parent is larger than a pixel [c], or always (eq. 13) [p]",
    )
    coarsest: Literal["public", "paper"] = setting(
        "public", "Gaussians of level 0 take from their anchor the position [c], or all parameters (eq. 7) [p]"
    )
    anchors: bool = setting(
        True, "Gaussians that are not drawn are the parents (eq. 7); else those that are drawn (eq. 6)"
    )
    background: bool = setting(True, "a second generator draws Gaussians on a sphere around the scene")
    background_points: int = setting(2000, "points on that sphere at its first level", low=1)
    background_channels: int = setting(128, "features of a point there", low=1)
    background_radius: float = setting(3.0, "of that sphere, world units", low=0.1)
    background_from_kimg: float = setting(50.0, "when the background is first drawn, thousands of pictures [c]", low=0)
    behind: Literal["black", "data"] = setting(
        "data", "colour behind all Gaussians: black [c], or the dataset's background"
    )

    pose_dim: int = setting(64, "numbers of a pose embedding", low=1, high=1024)
    kimg: float = setting(10_000.0, "length, in thousands of real pictures seen", low=0, high=1e9)
    d_lr: float = setting(2e-3, "Adam, discriminator", low=0)
    g_clip: float = setting(20.0, "largest norm of the generator's gradient; 0: any [c]", low=0)
    d_clip: float = setting(5.0, "largest norm of the discriminator's gradient; 0: any [c]", low=0)
    r1_gamma: float = setting(
        1.0, "gamma: gamma / 2 of it weighs the squared gradient [c]; eq. 8 has no half, which is 2 here [p]", low=0
    )
    ema_kimg: float = setting(10.0, "half-life of the average of the weights, thousands of pictures", low=0)
    pose_weight: float = setting(1.0, "of the contrastive pose loss (eq. 9)", low=0)
    pose_temperature: float = setting(0.1, "tau of that loss", low=1e-4)
    center_weight: float = setting(1.0, "of L_center (eq. 10): 1 FFHQ, 10 AFHQ", low=0)
    knn_weight: float = setting(10.0, "of L_knn (eq. 10)", low=0)
    knn: int = setting(64, "K of L_knn [c]", low=1)
    anchor_losses: Literal["mean", "sum"] = setting(
        "mean",
        "squares of both add up over x, y, z as the text's distances do (sum), or a third of that [c]",
        before="sum",
    )
    swap_p: float = setting(
        0.5, "probability that the mapping sees another picture's camera: 0.5 FFHQ, 0.8 AFHQ", low=0, high=1
    )
    swap_fade_kimg: float = setting(
        1000.0,
        "thousands of pictures in which that probability falls from 1 to swap_p (EG3D); 0: it does not fall",
        low=0, before=0.0,
    )  # fmt: skip
    pose_augment_p: float = setting(
        0.0, "probability of a camera drawn wider than the data's (A.1; FFHQ 0.5)", low=0, high=1
    )
    yaw_std_deg: float = setting(
        0.0, "of such a camera: yaw is N(0, this), degrees; 0: the deviation of the data's yaws (FFHQ 16.6 [c])", low=0
    )
    pitch_std_deg: float = setting(
        0.0, "of such a camera: pitch is uniform within 3 times this; 0: the data's deviation (FFHQ 7.4 [c])", low=0
    )
    blur_px: float = setting(
        8.493,
        "blur of what the discriminator sees at the start, standard deviation, pixels (2^-(x / 10)^2 in [c])",
        low=0,
    )
    blur_kimg: float = setting(200.0, "thousands of pictures until that blur is gone", low=0)
    augment: Literal["none", "fixed", "ada"] = setting("none", "augment_p as it stands, or moved to ada_target (AFHQ)")

    def __post_init__(self) -> None:
        if not self.channels:
            raise ValueError("channels is empty; give a number for each level, e.g. channels=512,512,256,128,128")
        if self.channels[0] % 2 or self.channels[0] % self.heads:
            raise ValueError(
                f"channels begin with {self.channels[0]}; it must be even and a multiple of heads={self.heads}"
            )
        if self.d_channel_base < self.resolution:
            raise ValueError(
                f"d_channel_base is {self.d_channel_base}, less than resolution={self.resolution}: no channels are left"
            )
        if self.augment == "none" and self.augment_p:
            raise ValueError(
                f"augment_p is {self.augment_p:g}, but augment is none; set augment=fixed or ada, or augment_p=0"
            )
        if not self.anchors and self.coarsest == "paper":
            raise ValueError(
                "coarsest=paper derives level 0 from its anchors, and anchors=false has none; use coarsest=public"
            )

    @property
    def levels(self) -> int:
        """L."""
        return len(self.channels)

    @property
    def copies(self) -> int:
        """Styles that a generator takes, w+: two for each block that is modulated, one for the background."""
        return 2 * (self.transformers + min(self.levels, self.modulated) - 1) + self.background


_BACKGROUND, _WIDER = Needs("background", (True,)), Needs("pose_augment_p", other_than=(0.0,))
_AUGMENTED, _ADA = Needs("augment", other_than=("none",)), Needs("augment", ("ada",))
NEEDS = {
    "background_points": _BACKGROUND, "background_channels": _BACKGROUND, "background_radius": _BACKGROUND,
    "background_from_kimg": _BACKGROUND, "scale_step": Needs("scale", ("relative",)), "coarsest": Needs("anchors", (True,)),
    "knn": Needs("knn_weight", other_than=(0.0,)), "pose_temperature": Needs("pose_weight", other_than=(0.0,)),
    "yaw_std_deg": _WIDER, "pitch_std_deg": _WIDER, "blur_kimg": Needs("blur_px", other_than=(0.0,)),
    "augment_set": _AUGMENTED, "augment_p": _AUGMENTED, "ada_target": _ADA, "ada_kimg": _ADA,
    "r1_gamma": Needs("r1_interval", other_than=(0,)), "ema_rampup": Needs("ema_kimg", other_than=(0.0,)),
}  # fmt: skip
"""Settings that have an effect beside others only."""

_FFHQ256 = Config(pose_augment_p=0.5, behind="black")
_AFHQ256 = replace(_FFHQ256, augment="ada", center_weight=10.0, swap_p=0.8, pose_augment_p=0.0)
_6_LEVELS = (512, 512, 256, 128, 128, 128)
_OURS = Config(  # for our own posed data, on a processor: 4 levels, 5,440 Gaussians
    resolution=64, z_dim=64, w_dim=64, points=64, channels=(64, 64, 32, 32), transformers=2, heads=4, modulated=2, neighbours=8,
    camera_channels=8, background=False, background_points=100, background_channels=16, d_channel_base=1024, d_channel_max=128,
    pose_dim=16, batch=8, kimg=200, ema_kimg=2, knn=16, anchor_losses="sum", swap_fade_kimg=0, blur_px=4, blur_kimg=8,
    r1_gamma=0.5,
)  # fmt: skip

# The paper's four models, and ours.
PRESETS = {
    "ffhq256": _FFHQ256,
    "ffhq512": replace(_FFHQ256, resolution=512, channels=_6_LEVELS),
    "afhq256": _AFHQ256,
    "afhq512": replace(_AFHQ256, resolution=512, channels=_6_LEVELS),
    "cars64":  _OURS,
    "smoke":   replace(_OURS, resolution=24, z_dim=8, w_dim=8, points=16, channels=(16, 16, 8), transformers=1, heads=2,
                       neighbours=4, d_channel_base=64, d_channel_max=8, batch=4, kimg=0.04, ema_kimg=0.01, r1_interval=4,
                       blur_px=1, blur_kimg=0.02),
}  # fmt: skip
