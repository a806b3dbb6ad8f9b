"""Settings of the autoregressive prior: defaults are VIM-base.

VIM-base: the base model of Yu et al. 2022, "Vector-quantized Image Modeling with Improved VQGAN". What it is
cited for is the size, the dropout, Adam's betas, the warm-up and the rate; the rest are choices.
"""

from dataclasses import dataclass
from typing import Literal

from g3d.config import setting


@dataclass(frozen=True)
class Config:
    """Defaults: VIM-base."""

    layers: int = setting(24, "blocks of the transformer (VIM-base)", low=1, high=1024)
    heads: int = setting(16, "attention heads (VIM-base)", low=1, high=1024)
    head_dim: int = setting(96, "E, numbers of a head: width / heads (choice)", low=1, high=4096)
    width: int = setting(1536, "W, width of the model (VIM-base)", low=1, high=65536)
    hidden: int = setting(6144, "width of the feed-forward parts (VIM-base)", low=1, high=262144)
    dropout: float = setting(
        0.1,
        "of embeddings and of what every part of a block adds (VIM-base; the places are a choice)",
        low=0,
        high=0.99,
    )
    batch: int = setting(256, "latents a step (choice)", low=1)
    steps: int = setting(450_000, "steps (choice)", low=0)
    lr: float = setting(4.5e-4, "AdamW, betas 0.9 and 0.96 (VIM-base): highest rate", low=0)
    warmup: int = setting(5000, "steps of linear warm-up (VIM-base)", low=0)
    lr_end: float = setting(1e-5, "rate that a half cosine ends at (choice)", low=0)
    weight_decay: float = setting(0.01, "of matrices; not of biases, norms and embeddings (choice)", low=0)
    clip: float = setting(1.0, "largest norm of the gradient of a step, 0 for none (choice)", low=0)
    held_out: float = setting(
        0.05, "share of the latents that bits a token are measured on; where the file names a test split, that (choice)",
        low=0, high=0.9,
    )  # fmt: skip
    evaluate_every: int = setting(1000, "steps between measurements on them for the log (choice)", low=1)
    micro_batch: int = setting(0, "latents whose gradients are in memory at once, 0 for all of the step's", low=0)
    checkpointing: bool = setting(False, "compute blocks again for their gradients: memory against a third more time")
    precision: Literal["fp32", "bf16"] = setting("fp32", "of the network's products while it is fitted")
    compile: bool = setting(False, "compile the network (torch.compile): worth its seconds in long runs")

    def __post_init__(self) -> None:
        if self.lr_end > self.lr:
            raise ValueError(f"lr_end is {self.lr_end}, above lr {self.lr}; the rate falls from lr to lr_end")


# What a row does not say is the default above. Those below the first are ours: one GPU, a few minutes of two cores, seconds.
PRESETS = {
    "vim-base": Config(),
    "medium": Config(
        layers=12, heads=8, head_dim=64, width=512, hidden=2048, batch=64, steps=100_000, warmup=1000, precision="bf16",
    ),
    "laptop": Config(
        layers=4, heads=6, head_dim=32, width=192, hidden=768, batch=32, steps=600, lr=1e-3, lr_end=1e-4, warmup=50,
        evaluate_every=100,
    ),
    "smoke": Config(
        layers=2, heads=2, head_dim=16, width=32, hidden=64, batch=8, steps=20, lr=3e-3, lr_end=3e-4, warmup=5, held_out=0.25,
        evaluate_every=10,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class SampleSettings:
    """Settings of sampling, in the order in which they act."""

    temperature: float = setting(1.0, "divides the logits; 0: always the most probable token", low=0)
    top_k: int = setting(0, "only the k most probable tokens, and those that equal the last of them; 0: all", low=0)
    top_p: float = setting(
        1.0, "only the most probable tokens until their sum reaches p, the one that crosses it included", low=0, high=1
    )

    def __post_init__(self) -> None:
        if self.top_p == 0:
            raise ValueError("top_p is 0, which leaves no token; it must be above 0 and at most 1 (all)")
