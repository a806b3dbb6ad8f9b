"""The two players of an adversarial game: their optimisers, the generator's average, what --resume needs of them, one step.

A method's own game has these fields besides what only it knows.
"""

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import nn

from g3d import distributed
from g3d.training import checkpoint, lazy
from g3d.training.ada import Controller
from g3d.training.run import Run

BETAS = (0.0, 0.99)  # of Adam, for both (StyleGAN2)


class Players(Protocol):
    """Who plays: `average` is the generator's, and is what gets published."""

    @property
    def generator(self) -> nn.Module: ...
    @property
    def discriminator(self) -> nn.Module: ...
    @property
    def average(self) -> nn.Module: ...
    @property
    def g_optimiser(self) -> torch.optim.Optimizer: ...
    @property
    def d_optimiser(self) -> torch.optim.Optimizer: ...
    @property
    def controller(self) -> Controller: ...


class Rates(Protocol):
    """The settings that say how both move, and what the discriminator's pictures go through."""

    @property
    def g_lr(self) -> float: ...
    @property
    def d_lr(self) -> float: ...
    @property
    def r1_interval(self) -> int: ...
    @property
    def augment_p(self) -> float: ...
    @property
    def ada_target(self) -> float: ...
    @property
    def ada_kimg(self) -> float: ...


def movers(
    generator: nn.Module, discriminator: nn.Module, rates: Rates, device: torch.device
) -> tuple[torch.optim.Adam, torch.optim.Adam, Controller]:
    """The optimisers of both players, and the controller of the augmentation."""
    return (
        lazy.adam(generator.parameters(), rates.g_lr, BETAS, 0),
        lazy.adam(discriminator.parameters(), rates.d_lr, BETAS, rates.r1_interval),
        Controller(rates.augment_p, device, target=rates.ada_target, full_range_items=rates.ada_kimg * 1000),
    )


def state(game: Players) -> checkpoint.State:
    """All that --resume needs: items seen follow from the step, the losses since the last checkpoint are the run's."""
    modules = {"generator": game.generator, "discriminator": game.discriminator, "average": game.average}
    optimisers = {"g_optimiser": game.g_optimiser, "d_optimiser": game.d_optimiser}
    return checkpoint.State(modules, optimisers, {"augment": game.controller.state})


def restore(game: Players, run: Run) -> checkpoint.State:
    """The game's state, put back where the run is resumed; with --init the model becomes the generator and its average."""
    found = state(game)
    if run.restore(found, [game.generator, game.average]):
        run.progress.log("these are the generator's and its average's; the discriminator starts afresh")
    return found


def move(optimiser: torch.optim.Optimizer, parameters: Iterable[nn.Parameter], clip: float | None = None) -> None:
    """One step along the gradients of all processes, their norm at most `clip`; where one is missing (R1 has none for the last
    bias) it counts as zero, whether there is one process or more."""
    parameters = list(parameters)
    for p in parameters:
        p.grad = torch.zeros_like(p) if p.grad is None else p.grad
    distributed.sum_gradients(parameters)
    if clip is not None:
        nn.utils.clip_grad_norm_(parameters, clip)
    optimiser.step()
