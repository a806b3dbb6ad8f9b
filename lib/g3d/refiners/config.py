"""Settings of the conditional diffusion refiner, and presets."""

from dataclasses import dataclass
from typing import Literal

from g3d.config import setting


@dataclass(frozen=True)
class Config:
    """Defaults: INFAMOUS-NeRF's (128 channels, T = 1000, noise predicted); its other sizes are those of ILVR for faces of
    256 pixels (Choi et al. 2021), whose method it adopts."""

    channels: int = setting(128, "of the first level", low=8, high=1024)
    multipliers: tuple[int, ...] = setting(
        (1, 1, 2, 2, 4, 4), "of the channels, a level each, halved in size", low=1, high=16
    )
    blocks: int = setting(1, "residual blocks of a level", low=1, high=8)
    attention: tuple[int, ...] = setting(
        (4,), "levels with self-attention, from 0, and behind the last; empty for none", low=0, high=15
    )
    dropout: float = setting(0.0, "in residual blocks", low=0, high=0.9)
    time_steps: int = setting(1000, "T, steps of the noising", low=2, high=1 << 20)
    noised: Literal["picture", "change"] = setting(
        "picture",
        "what noise is added to: the picture (eq. 4), or what it adds to the coarse one, scaled to deviation 1",
    )
    predict: Literal["epsilon", "x0", "v"] = setting(
        "epsilon", "what the network tells: the noise (eq. 4), what it was added to, or v (Salimans, Ho 2022)"
    )
    loss: Literal["l2", "l1"] = setting(
        "l2",
        "mean squared (eq. 4) or absolute distance: l1 leaves alone what seldom changes (SR3, Saharia et al. 2021)",
    )
    patch: int = setting(
        0, "side of the squares that it is fitted to, pixels; 0 for whole pictures", low=0, high=1 << 14
    )
    flip: bool = setting(True, "mirror half of the pairs")
    batch: int = setting(8, "pairs a step", low=1, high=1 << 16)
    steps: int = setting(500_000, "training steps", low=0, high=1 << 40)
    lr: float = setting(1e-4, "Adam; cosine to lr_floor of it", low=0)
    lr_floor: float = setting(0.1, "share of lr at the end", low=0, high=1)
    warmup: int = setting(500, "steps over which lr grows from 0", low=0)
    clip: float = setting(1.0, "largest norm of the gradient of a step, 0 for none", low=0)
    ema: float = setting(0.9999, "decay a step of the averaged weights, which are kept", low=0, high=1)
    ddim_steps: int = setting(100, "of refining, unless told otherwise; 0: all T steps, ancestral (DDPM)", low=0)
    micro_batch: int = setting(0, "pairs whose gradients are in memory at once, 0 for all of the step's", low=0)
    threads: int = setting(1, "that read pictures ahead", low=0, high=64)
    precision: Literal["fp32", "bf16"] = setting("fp32", "of the network's products while it is fitted")
    compile: bool = setting(False, "compile the network (torch.compile): worth its seconds in long runs")

    def __post_init__(self) -> None:
        if not self.multipliers:
            raise ValueError("multipliers is empty; give one for each level, e.g. 1,2,2")
        if any(level >= len(self.multipliers) for level in self.attention):
            raise ValueError(
                f"attention names level {max(self.attention)}, of {len(self.multipliers)} levels; give 0 to "
                f"{len(self.multipliers) - 1}"
            )


@dataclass(frozen=True)
class SampleSettings:
    """What `refine --set` changes."""

    ddim_steps: int | None = setting(
        None, "0: ancestral (DDPM) over all T steps; n: DDIM; none: what was fitted says", low=0
    )
    clip: bool = setting(True, "keep the predicted picture between black and white at every step")
    least_change: int = setting(
        0,
        "levels: where no channel changes by more, the coarse pixel stays, so that no grain is left on it",
        low=0,
        high=255,
    )


PRESETS: dict[str, Config] = {
    # INFAMOUS-NeRF, section 3.2: the default
    "paper": Config(),
    # pictures of 64 pixels, under an hour of a core (RESULTS): whole ones, since squares cut out do not say where they lie
    "laptop": Config(
        channels=32, multipliers=(1, 2, 2, 2), attention=(), noised="change", predict="x0", batch=4, steps=7000, lr=8e-4,
        lr_floor=0.05, warmup=100, ema=0.995, ddim_steps=20,
    ),
    # seconds, to try a pipeline
    "smoke": Config(
        channels=8, multipliers=(1, 2), attention=(), time_steps=50, noised="change", predict="x0", patch=16, batch=4, steps=30,
        lr=2e-3, warmup=5, ema=0.9, ddim_steps=4,
    ),
}  # fmt: skip
