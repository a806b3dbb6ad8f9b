"""What adversarial methods have in common: settings, the two players with what moves them, a step of an optimiser, a step of R1.

The loop, and what generator and discriminator are asked, stay in each method's own training.py.

Letters: B pictures of a step, b of them ours, F features of a picture before the discriminator's head.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import torch
from torch import Tensor, nn

from g3d import distributed
from g3d.config import setting
from g3d.losses import adversarial
from g3d.nets import augment
from g3d.training import checkpoint, lazy, whole_batch
from g3d.training.ada import Controller
from g3d.training.run import Run

BETAS = (0.0, 0.99)  # of Adam, for both players (StyleGAN2)


@dataclass(frozen=True)
class AdversarialSettings:
    """Settings of every adversarial method; a method's own class says what is different in its paper."""

    d_channel_base: int = setting(32768, "channels of the discriminator at side s: this / s", low=1)
    d_channel_max: int = setting(512, "most channels of the discriminator", low=1, high=2048)
    batch: int = setting(32, "pictures a step", low=1, high=1 << 20)
    micro_batch: int = setting(0, "pictures whose gradients are in memory at once, 0 for all of the step's", low=0)
    deviation: Literal["part", "batch"] = setting(
        "part",
        "the discriminator's minibatch deviation compares what is in memory at once [c], or all of a step's pictures",
    )
    kimg: float = setting(25_000.0, "length, in thousands of real pictures seen", low=0, high=1e9)
    g_lr: float = setting(2.5e-3, "Adam, generator", low=0)
    d_lr: float = setting(2.5e-3, "Adam, discriminator", low=0)
    r1_gamma: float = setting(1.0, "gamma, weight of R1", low=0)
    r1_interval: int = setting(16, "steps from one R1 to the next; 0 for none", low=0)
    ema_kimg: float = setting(20.0, "half-life of the average of the weights, thousands of pictures", low=0)
    ema_rampup: float = setting(0.05, "the half-life is at most this share of the pictures seen; 0 for no limit", low=0)
    augment: Literal["none", "fixed", "ada"] = setting("none", "augment_p as it stands, or moved to ada_target")
    augment_set: Literal["flip_crop", "colour", "bg", "bgc"] = setting("bgc", "transforms; see nets/augment.py")
    augment_p: float = setting(0.0, "probability of each transform; where it starts, for ada", low=0, high=1)
    ada_target: float = setting(0.6, "sign statistic that ada aims at", low=-1, high=1)
    ada_kimg: float = setting(500.0, "thousands of pictures in which ada can move p from 0 to 1", low=0.001)


C = TypeVar("C", bound=AdversarialSettings)
W = TypeVar("W")  # the world that scenes live in
G = TypeVar("G", bound=nn.Module)
D = TypeVar("D", bound=nn.Module)


@dataclass(frozen=True, eq=False)
class GanState(Generic[C, W, G, D]):
    """The two players and what moves them; `average` is the generator's, and is what gets published."""

    config: C
    world: W
    generator: G
    discriminator: D
    average: G
    g_optimizer: torch.optim.Optimizer
    d_optimizer: torch.optim.Optimizer
    controller: Controller

    def augmented(self, images: Tensor, drawn: Tensor) -> Tensor:
        """What the discriminator sees of pictures [n, 3, H, W]: augmented as `drawn` [n, ...] says, if at all."""
        if self.config.augment == "none":
            return images
        return augment.augment(images, self.controller.p, augment.SETS[self.config.augment_set], drawn)


def make_optimizers(
    generator: nn.Module, discriminator: nn.Module, settings: AdversarialSettings, device: torch.device
) -> tuple[torch.optim.Adam, torch.optim.Adam, Controller]:
    """The optimisers of both players, and the controller of the augmentation."""
    return (
        lazy.adam(generator.parameters(), settings.g_lr, BETAS, 0),
        lazy.adam(discriminator.parameters(), settings.d_lr, BETAS, settings.r1_interval),
        Controller(settings.augment_p, device, target=settings.ada_target, full_range_items=settings.ada_kimg * 1000),
    )


def restore(gan: GanState[C, W, G, D], run: Run) -> checkpoint.State:
    """All that --resume needs, put back where the run is resumed (pictures seen follow from the step); with --init the model
    becomes the generator and its average."""
    modules = {"generator": gan.generator, "discriminator": gan.discriminator, "average": gan.average}
    optimizers = {"g_optimiser": gan.g_optimizer, "d_optimiser": gan.d_optimizer}  # names in state files
    found = checkpoint.State(modules, optimizers, {"augment": gan.controller.state})
    if run.restore(found, [gan.generator, gan.average]):
        run.progress.log("these are the generator's and its average's; the discriminator starts afresh")
    return found


def micro_batches(gan: GanState[C, W, G, D], count: int) -> list[slice]:
    """Our pictures in the parts whose gradients are in memory at once."""
    return distributed.micro_batches(slice(0, count), gan.config.micro_batch)


def optimizer_step(
    optimizer: torch.optim.Optimizer, parameters: Iterable[nn.Parameter], clip: float | None = None
) -> None:
    """One step along the gradients of all processes, their norm at most `clip`; where one is missing (R1 has none for the last
    bias) it counts as zero, whether there is one process or more."""
    parameters = list(parameters)
    for p in parameters:
        p.grad = torch.zeros_like(p) if p.grad is None else p.grad
    distributed.sum_gradients(parameters)
    if clip is not None:
        nn.utils.clip_grad_norm_(parameters, clip)
    optimizer.step()


def r1_step(
    gan: GanState[C, W, G, D],
    real: Tensor,
    look: Callable[[Tensor, slice], Tensor],
    head: Callable[[Tensor], Tensor],
    device: torch.device,
    clip: float | None = None,
) -> Tensor:
    """Move the discriminator by R1 alone, as much as in all the steps since the last time; returns R1 without gamma.

    `look` gives the features [n, F...] of a part of the real pictures [b, 3, H, W], `head` makes logits of them."""
    config = gan.config
    gan.d_optimizer.zero_grad(set_to_none=True)
    value, weight = torch.zeros((), device=device), config.r1_gamma * config.r1_interval
    parts: Sequence[slice] = micro_batches(gan, len(real))
    if config.deviation == "batch":
        value = whole_batch.r1(look, head, real.to(device), parts, config.batch, weight)
        parts = []
    for part in parts:
        few = real[part].to(device).requires_grad_()
        found = adversarial.r1(head(look(few, part)), few).sum() / config.batch
        (found * weight).backward()
        value = value + found.detach()
    optimizer_step(gan.d_optimizer, gan.discriminator.parameters(), clip)
    return distributed.sum_value(value)
