"""Settings of INFAMOUS-NeRF, stage 1: defaults are the paper's, presets one table.

[p] is the paper with its supplement; what it leaves open is a choice, and says so. `needs` lists what has an effect only
beside something else.
"""

from dataclasses import dataclass, replace
from typing import Literal

from g3d.config import setting
from g3d.methods.contract import Needs

PAPER = (
    "INFAMOUS-NeRF: ImproviNg FAce MOdeling Using Semantically-Aligned Hypernetworks with Neural Radiance Fields "
    "(Hou, Liu, Ren, Sarkis, Bi, Tong, Liu; 2023)"
)


@dataclass(frozen=True)
class Config:
    """Codes: identity theta, appearance alpha, shape beta, expression epsilon. N rays of a picture, M points of a ray."""

    identity_dim: int = setting(256, "numbers of theta, which the hypernetwork reads [p]", low=1, high=4096)
    appearance_dim: int = setting(256, "numbers of alpha [p]", low=1, high=4096)
    shape_dim: int = setting(128, "numbers of beta [p]", low=1, high=4096)
    expression_dim: int = setting(64, "numbers of epsilon [p]", low=1, high=4096)
    expressions: int = setting(20, "different expressions, rows of the table of epsilon [p]", low=1, high=4096)
    expression_table: Literal["shared", "naive"] = setting(
        "shared", "one table of epsilon for all subjects, or one for each (the paper's 'Naive HN')"
    )
    expressions_learn: bool = setting(
        True, "the shared table moves; false: it stays that of --init, as where photographs use its expressions"
    )
    width: int = setting(128, "hidden features (tables 8 and 9)", low=1, high=4096)
    last_width: int = setting(64, "of the layers before the outputs (tables 8 and 9)", low=1, high=4096)
    x_frequencies: int = setting(
        11, "of a point's positional encoding, sin and cos of 2^k x: 66 numbers [p]; 6 where pictures have 64 pixels",
        low=1, high=20,
    )  # fmt: skip
    direction_frequencies: int = setting(
        11, "of a direction's encoding [p]; 2 where nothing shines, so that colour does not follow the camera", low=1,
        high=20,
    )  # fmt: skip
    frequency_scale: float = setting(1.0, "times x before its encoding (choice: world units)", low=1e-3, high=1e3)
    density_scale: float = setting(
        1.0,
        "density is this times the last ReLU [p: 1]; 10: a surface is sharp long before weights have grown",
        low=1e-3,
    )
    density: Literal["relu", "softplus"] = setting(
        "relu",
        "the last activation of F_S [p], or softplus(x - 2), which cannot die: with high rates a ReLU may be 0 all over",
    )
    density_bias: float = setting(0.1, "bias of that ReLU at the start, so that it does not die (choice)")
    expression_in_colour: bool = setting(
        False,
        "epsilon also reaches A_1, which the paper does not do: lids, lips and teeth then change colour in place; it is "
        "epsilon itself there, not as beta changes it, so that another shape keeps its colours",
    )
    modulation_offset: float = setting(
        0.0, "added to MS(beta), so that epsilon passes it before it has learnt anything [p: 0] (choice: 1)"
    )
    hypernetwork: Literal["full", "low-rank", "none"] = setting(
        "full", "theta => all weights, or W0 + U V of them, or one network for all subjects (table 4)"
    )
    rank: int = setting(8, "low-rank: columns of U", low=1, high=256)
    hyper_width: int = setting(256, "features of the hypernetwork's layers [p]", low=1, high=4096)
    hyper_gain: float = setting(0.1, "of the hypernetwork's last layers at the start (choice)", low=0, high=10)
    code_std: float = setting(0.01, "standard deviation of codes at the start (choice)", low=0)
    expression_std: float = setting(
        0.01, "the same of epsilon (choice); larger, and expressions differ from the first step on", low=0
    )
    code_decay: float = setting(0.0, "weight of the mean square of the codes of a step (choice)", low=0)

    recon_weight: float = setting(1.0, "of the L1 distance, eq. 10 [p]", low=0)
    mse_weight: float = setting(0.0, "of the squared error, which the paper does not have; 5 keeps expression", low=0)
    dssim_weight: float = setting(1.0, "of eq. 11 [p]", low=0)
    gradient_weight: float = setting(1.0, "of eq. 12 [p]", low=0)
    surface_weight: float = setting(1.0, "of L_sur, eq. 13 [p]", low=0)
    surface: Literal["paper", "checked"] = setting(
        "paper", "L_sur of all rays; or of pairs of views within 45 degrees, rays of alpha over 0.5, points both see"
    )
    surface_sum: bool = setting(False, "L_sur without 1/(6 N), as eq. 6 prints it")

    landmark_share: float = setting(0.5, "share of the rays around landmarks [p]", low=0, high=1)
    landmarks: Literal["inner", "all"] = setting("inner", "which: 17 to 67 [p], or the contour, too")
    landmark_sigma: float = setting(0.025, "how far from them, times the picture's height (choice)", low=0, high=1)
    sampling: Literal["adaptive", "uniform", "mask"] = setting(
        "adaptive", "of the other rays: by their loss (section 10), even, or half of them inside the mask (ours)"
    )
    adaptive_share: float = setting(0.3, "share of a picture's rays that make its map [p]", low=0, high=1)
    adaptive_sigma_px: float = setting(
        1.5, "Sigma of eq. 8 is this, squared, in pixels (choice, at 64 pixels; 12 at 512)", low=0.1
    )
    adaptive_reset: int = setting(10, "visits after which a picture's map is even again [p]", low=1)

    pairs: int = setting(1, "(subject, expression) pairs a step, two pictures of each [p]", low=1, high=1 << 16)
    together: int = setting(
        1, "pairs of a step that show one subject, with different expressions, by the same pixels of the same cameras (ours): "
        "what differs between them is then the expression alone", low=1, high=1 << 16,
    )  # fmt: skip
    pairing: Literal["auto", "any", "near"] = setting(
        "auto", "a pair's two views: any, or within 45 degrees where there are such; auto: near with surface=checked"
    )
    views: int = setting(2, "pictures of a pair [p]; 1 for photographs, which have no second view", low=1, high=2)
    micro_batch: int = setting(0, "pairs whose gradients are in memory at once, 0 for all of the step's", low=0)
    rays: int = setting(1000, "N, of a picture a step [p]", low=1, high=1 << 20)
    points: int = setting(128, "M, of a ray: one even pass, eq. 3 [p]", low=2, high=4096)
    jitter: bool = setting(False, "points anywhere in their intervals, not in the middles (choice)")
    steps: int = setting(500_000, "steps (choice)", low=0)
    lr: float = setting(5e-4, "Adam, weights that no theta writes (choice)", low=0)
    hyper_lr: float = setting(5e-4, "Adam, the hypernetwork (choice)", low=0)
    code_lr: float = setting(5e-4, "Adam, codes (choice)", low=0)
    lr_floor: float = setting(
        0.1, "share of the rates at the end, on the way an exponential (choice)", low=1e-6, high=1
    )
    warmup: int = setting(0, "steps of linear warm-up (choice)", low=0)
    clip: float = setting(0.0, "largest norm of the gradient, 0 for none (choice)", low=0)

    def __post_init__(self) -> None:
        if self.pairs % self.together:
            raise ValueError(f"pairs is {self.pairs}, no multiple of together={self.together}")
        if self.surface_weight and self.views < 2:
            raise ValueError("surface_weight compares two pictures of a pair, and views is 1; set surface_weight=0")
        if self.recon_weight == self.mse_weight == 0:
            raise ValueError("recon_weight and mse_weight are both 0, so no picture teaches anything; give one of them")

    @property
    def near_pairs(self) -> bool:
        """Whether the second view of a pair stands within 45 degrees of the first."""
        return self.pairing == "near" or (
            self.pairing == "auto" and bool(self.surface_weight) and self.surface == "checked"
        )


_ADAPTIVE, _SURFACE = Needs("sampling", ("adaptive",)), Needs("surface_weight", other_than=(0.0,))
_WRITTEN = Needs("hypernetwork", ("full", "low-rank"))
NEEDS = {
    "rank": Needs("hypernetwork", ("low-rank",)), "hyper_width": _WRITTEN, "hyper_gain": _WRITTEN, "hyper_lr": _WRITTEN,
    "surface": _SURFACE, "surface_sum": _SURFACE, "landmarks": Needs("landmark_share", other_than=(0.0,)),
    "landmark_sigma": Needs("landmark_share", other_than=(0.0,)), "adaptive_share": _ADAPTIVE, "adaptive_sigma_px": _ADAPTIVE,
    "adaptive_reset": _ADAPTIVE, "pairing": Needs("views", (2,)), "lr": Needs("hypernetwork", ("low-rank", "none")),
    "expressions_learn": Needs("expression_table", ("shared",)),
}  # fmt: skip
"""Settings that have an effect beside others only."""

_OURS = Config(  # for a processor and pictures of 64 pixels; which of it was measured: docs/methods/infamous-nerf.md
    width=64, last_width=32, x_frequencies=6, direction_frequencies=2, density_scale=10.0, density="softplus",
    hypernetwork="low-rank", rank=4, hyper_width=64, expression_in_colour=True, modulation_offset=1.0, expression_std=0.5,
    mse_weight=5.0, dssim_weight=0.0, gradient_weight=0.0, surface_weight=0.0, sampling="mask", pairs=4, rays=24, points=24,
    jitter=True, steps=12_000, lr=4e-3, hyper_lr=2e-3, code_lr=1e-2, lr_floor=0.05, warmup=50, clip=1.0,
)  # fmt: skip

# The paper's two stages of fitting (photographs by --init of the first), and ours.
PRESETS = {
    "facescape512": Config(adaptive_sigma_px=12.0),
    "ffhq512":      Config(adaptive_sigma_px=12.0, views=1, pairs=2, surface_weight=0.0, expressions_learn=False, steps=100_000),
    "faces64":      _OURS,
    "laptop":       replace(_OURS, steps=3000),
    "smoke":        replace(_OURS, identity_dim=8, appearance_dim=8, shape_dim=8, expression_dim=4, width=8, last_width=4,
                            x_frequencies=3, hyper_width=8, rank=2, recon_weight=1.0, dssim_weight=1.0, gradient_weight=1.0,
                            surface_weight=1.0, sampling="adaptive", pairs=2, rays=12, points=6, steps=20, warmup=2),
}  # fmt: skip
