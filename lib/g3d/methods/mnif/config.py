"""Settings of mNIF: defaults are the paper's SRN cars row (appendix A.2.3), presets one table."""

from dataclasses import dataclass
from typing import Literal

from g3d.config import setting

PAPER = "Generative Neural Fields by Mixtures of Neural Implicit Functions (You, Kim, Kim, Han; NeurIPS 2023)"


@dataclass(frozen=True)
class Config:
    """Letters as in the paper: L hidden layers, W width, M bases, H latent dimension."""

    signal: Literal["image", "voxel", "radiance"] = setting("radiance", "what a field maps to: 2 -> 3, 3 -> 1, 3 -> 4")
    hidden_layers: int = setting(4, "L, hidden layers; L + 2 layers in all", low=1, high=64)
    width: int = setting(64, "W, width of a layer", low=1, high=4096)
    bases: int = setting(256, "M, basis networks", low=1, high=65536)
    latent_dim: int = setting(128, "H, latent dimension (mixture=latent only)", low=1, high=65536)
    mixture: Literal["shared", "layer", "latent"] = setting(
        "latent", "coefficients: one a basis, one a layer, T phi (table 4a)"
    )
    adaptation: Literal["autodecode"] = setting("autodecode", "how codes are found (algorithm 2)")
    omega0: float = setting(30.0, "w0 of the sines", low=0.01, high=1000)
    projection_std: float = setting(0.02, "standard deviation of T at the start", low=0)
    latent_std: float = setting(0.01, "standard deviation of phi at the start", low=0)
    batch: int = setting(8, "scenes a step", low=1)
    micro_batch: int = setting(0, "scenes whose gradients are in memory at once, 0 for all of the step's", low=0)
    views_per_item: int = setting(32, "views of a scene a step", low=1)
    pixels_per_view: int = setting(512, "rays of a view a step", low=1)
    points_per_ray: int = setting(32, "samples of a ray", low=1, high=1024)
    epochs: float = setting(2000.0, "passes over the scenes", low=0)
    lr: float = setting(1e-4, "Adam, bases and T; cosine to 0", low=0)
    inner_lr: float = setting(1e-4, "Adam, codes", low=0)
    warmup: int = setting(0, "steps of linear warm-up (the paper: none)", low=0)
    clip: float = setting(0.0, "largest norm of the gradient of a step, 0 for none (the paper: none)", low=0)
    latent_decay: float = setting(1e-4, "weight of the mean square of the codes of a step in the loss (choice)", low=0)
    compile: bool = setting(
        False, "compile the loss of a chunk (torch.compile): half a minute, then up to twice as fast"
    )
    rays_per_chunk: int = setting(
        24, "rays of every scene that go through the field at once: memory against speed", low=1
    )


# What a row does not say is the default above, the paper's S model. `demo` and `smoke` are ours, for two cores.
#         L, W, M, H                                                  scenes, views, pixels, points of a step
#         length, learning rates
PRESETS = {
    "srncars": Config(),
    "demo": Config(
        hidden_layers=2, width=64, bases=64, latent_dim=64, batch=8, views_per_item=8, pixels_per_view=8, points_per_ray=24,
        epochs=900, lr=2e-3, inner_lr=2e-3, warmup=200, clip=1,
    ),
    "smoke": Config(
        hidden_layers=1, width=16, bases=4, latent_dim=8, batch=4, views_per_item=4, pixels_per_view=16, points_per_ray=8,
        epochs=20, lr=1e-3, inner_lr=1e-3,
    ),
}  # fmt: skip
