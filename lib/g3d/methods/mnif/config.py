"""Settings of mNIF: defaults are the paper's SRN cars row (appendix A.2.3), presets one table."""

from dataclasses import dataclass
from typing import Any, Literal

from g3d.config import setting
from g3d.errors import G3dError
from g3d.methods.contract import Needs

PAPER = "Generative Neural Fields by Mixtures of Neural Implicit Functions (You, Kim, Kim, Han; NeurIPS 2023)"


@dataclass(frozen=True)
class Config:
    """Letters as in the paper: L hidden layers, W width, M bases, H latent dimension.

    `latent_dim` is read by mixture=latent alone; the paper's table 4a names it for the other mixtures, too."""

    signal: Literal["image", "voxel", "radiance"] = setting("radiance", "what a field maps to: 2 -> 3, 3 -> 1, 3 -> 4")
    hidden_layers: int = setting(4, "L, hidden layers; L + 2 layers in all", low=1, high=64)
    width: int = setting(64, "W, width of a layer", low=1, high=4096)
    bases: int = setting(256, "M, basis networks", low=1, high=65536)
    latent_dim: int = setting(128, "H, latent dimension (mixture=latent only)", low=1, high=65536)
    mixture: Literal["shared", "layer", "latent"] = setting(
        "latent", "coefficients: one a basis, one a layer, T phi (table 4a)"
    )
    adaptation: Literal["meta", "meta-first-order", "autodecode"] = setting(
        "autodecode", "how codes are found: an inner loop (algorithm 1) or jointly (algorithm 2)"
    )
    inner_steps: int = setting(3, "meta: N_inner, steps of the inner loop", low=1, high=100)
    inner_lr: float = setting(1e-4, "codes: Adam where auto-decoded; plain steps of the inner loop (10, 1, 0.1)", low=0)
    omega0: float = setting(30.0, "w0 of the sines", low=0.01, high=1000)
    projection_std: float = setting(0.02, "standard deviation of T at the start", low=0)
    latent_std: float = setting(
        0.01, "sigma, standard deviation of phi at the start (meta: of every item, each time)", low=0
    )
    alpha_start: Literal["spread", "even"] = setting(
        "spread",
        "codes begin as N(0, sigma^2), which spreads alpha around 1/M (section 4.1), or at 0: alpha = 1/M (A.2.4)",
    )
    batch: int = setting(8, "items a step", low=1, high=1 << 20)
    micro_batch: int = setting(0, "items whose gradients are in memory at once, 0 for all of the step's", low=0)
    points_per_item: int = setting(0, "image, voxel: points of an item a step, drawn anew each time; 0 for all", low=0)
    grid_share: float = setting(
        0.0, "voxel: share of the points that are cells of the grid, the others lie near the surface (the paper: 0)",
        low=0, high=0.9,
    )  # fmt: skip
    views_per_item: int = setting(32, "radiance: views of a scene a step", low=1, high=1 << 20)
    pixels_per_view: int = setting(512, "radiance: rays of a view a step", low=1, high=1 << 20)
    points_per_ray: int = setting(32, "radiance: samples of a ray", low=1, high=1024)
    epochs: float = setting(2000.0, "passes over the items", low=0, high=1e9)
    lr: float = setting(1e-4, "Adam, bases and T; cosine to 0", low=0)
    projection_lr: float = setting(1.0, "T learns with lr times this (the paper: 1)", low=0)
    warmup: int = setting(0, "steps of linear warm-up (the paper: none)", low=0)
    clip: float = setting(0.0, "largest norm of the gradient of a step, 0 for none (the paper: none)", low=0)
    latent_decay: float = setting(
        1e-4, "autodecode: weight of the mean square of the codes of a step in the loss (choice)", low=0
    )
    compile: bool = setting(
        False, "compile the loss of a chunk (torch.compile): half a minute, then up to twice as fast"
    )
    rays_per_chunk: int = setting(
        24, "radiance: rays of every scene that go through the field at once: memory against speed", low=1
    )
    points_per_chunk: int = setting(
        2048, "image, voxel: points of every item that go through the field at once (not in second order)", low=1
    )


_META, _POINTS, _RAYS = (
    Needs("adaptation", ("meta", "meta-first-order")),
    Needs("signal", ("image", "voxel")),
    Needs("signal", ("radiance",)),
)
NEEDS = {
    "inner_steps": _META, "latent_decay": Needs("adaptation", ("autodecode",)),
    "points_per_item": _POINTS, "points_per_chunk": _POINTS, "grid_share": Needs("signal", ("voxel",)),
    "views_per_item": _RAYS, "pixels_per_view": _RAYS, "points_per_ray": _RAYS, "rays_per_chunk": _RAYS,
    "projection_lr": Needs("mixture", ("latent",)), "latent_std": Needs("alpha_start", ("spread",)),
}  # fmt: skip
"""Settings that have an effect beside others only."""


def refuse_still(config: Config) -> None:
    """Refuse, before a fit, an inner loop that would not move its codes, and what cannot be compiled. Files of models are read as
    they are."""
    if config.compile and config.adaptation == "meta":
        raise G3dError("mnif: compile=true cannot take the second-order gradients of adaptation=meta; leave it out")
    if config.adaptation != "autodecode" and 0 < config.inner_lr < 1e-3:
        raise G3dError(
            f"mnif: inner_lr={config.inner_lr} would leave the codes of adaptation={config.adaptation} where they start; the "
            "paper's are 10, 1 and 0.1: give --set inner_lr=1"
        )


def _meta(signal: Literal["image", "voxel"], sizes: tuple[int, int, int, int], **changes: Any) -> Config:
    """A row of the paper that meta-learns: (L, W, M, H). The paper says that codes begin at random (section 4.1) and that alpha
    begins as 1/M (A.2.4), and gives no sigma. Here sigma = sqrt(3 / M), a choice: with it alpha is 1/M +- 1/sqrt(M), so that
    its squares sum to about one and a mixed layer is as lively as one basis (T's entries have nearly the variance 1 / 3H of a
    new linear layer). alpha_start=even is A.2.4 to the letter."""
    layers, width, bases, latent = sizes
    values: dict[str, Any] = {
        "batch": 32, "micro_batch": 4, "inner_lr": 1.0, "projection_std": round((3 * latent) ** -0.5, 4),
        "latent_std": round((3 / bases) ** 0.5, 4), **changes,
    }  # fmt: skip
    sizes_by_name: dict[str, Any] = {"hidden_layers": layers, "width": width, "bases": bases, "latent_dim": latent}
    return Config(signal=signal, adaptation="meta", **sizes_by_name, **values)


# What a row does not say is the default above, the paper's S model on SRN cars. Those from `demo` on are ours, for two cores.
PRESETS = {
    "srncars": Config(),
    "celebahq64-s": _meta("image", (4, 64, 256, 1024), epochs=800),
    "celebahq64-l": _meta("image", (5, 128, 384, 512), epochs=800),
    "cifar10": _meta("image", (5, 128, 384, 512), epochs=800),  # appendix C gives no sizes: those of celebahq64-l
    "shapenet64-s": _meta("voxel", (4, 64, 256, 512), epochs=400, points_per_item=4096),
    "shapenet64-l": _meta("voxel", (5, 128, 512, 1024), epochs=400, points_per_item=4096),
    "cars": Config(
        views_per_item=8, pixels_per_view=8, epochs=3000, lr=1e-3, projection_lr=0.05, inner_lr=1e-3, warmup=200, clip=1,
    ),
    "flowers": _meta(
        "image", (2, 64, 64, 256), omega0=10.0, latent_std=0.05, batch=8, micro_batch=8, epochs=110, lr=5e-4, projection_lr=0.1,
        clip=1, points_per_item=512,
    ),
    "cars-voxels": _meta(
        "voxel", (2, 64, 64, 128), omega0=10.0, latent_std=0.05, batch=8, micro_batch=8, epochs=1000, lr=5e-4, projection_lr=0.1,
        clip=1, points_per_item=1024, grid_share=0.25,
    ),
    "demo": Config(
        hidden_layers=2, width=64, bases=64, latent_dim=64, batch=8, views_per_item=8, pixels_per_view=8, points_per_ray=24,
        epochs=900, lr=2e-3, inner_lr=2e-3, warmup=200, clip=1,
    ),
    "smoke": Config(
        hidden_layers=1, width=16, bases=4, latent_dim=8, batch=4, views_per_item=4, pixels_per_view=16, points_per_ray=8,
        epochs=20, lr=1e-3, inner_lr=1e-3,
    ),
    "smoke-image": _meta(
        "image", (1, 16, 4, 8), omega0=10.0, latent_std=0.1, batch=4, micro_batch=2, epochs=20, lr=3e-3, clip=1,
        points_per_item=64,
    ),
    "smoke-voxel": _meta(
        "voxel", (1, 16, 4, 8), omega0=10.0, latent_std=0.1, batch=4, micro_batch=2, epochs=20, lr=3e-3, clip=1,
        points_per_item=64,
    ),
}  # fmt: skip
