"""Codes => scenes, and items => codes: a fitted model read from its file, the SIRENs that it writes, the codes that it finds.

Letters: S items, D numbers of a code.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from g3d import config
from g3d.config import setting
from g3d.data.dataset import Dataset, Item
from g3d.latents import LatentSpace
from g3d.methods.contract import Encoded
from g3d.methods.mnif import adaptation, batches, signals
from g3d.methods.mnif.config import Config
from g3d.methods.mnif.networks import MixtureOfSirens, code_size, field
from g3d.scenes.scene import MlpField, World
from g3d.storage import artifacts
from g3d.training import schedules
from g3d.training.checkpoint import load_module


@dataclass(frozen=True)
class DecodeSettings:
    """What --set may change when scenes are made from codes: nothing, for this method."""


@dataclass(frozen=True)
class EncodeSettings:
    """What --set may change when codes are found; 0 stands for what the model was trained with."""

    steps: int = setting(
        0, "steps an item; 0: the inner steps of meta-learning, or 300 for an auto-decoded model", low=0
    )
    lr: float = setting(
        0.0, "plain steps of meta-learning, or Adam (cosine to 0) for an auto-decoded model; 0: see above", low=0
    )
    start: Literal["random", "zero"] = setting("random", "phi ~ N(0, sigma^2), one stream an item; or 0")


@dataclass(frozen=True)
class Model:
    """A fitted mixture and the world that its scenes live in."""

    network: MixtureOfSirens
    config: Config
    world: World


AUTODECODE_STEPS, AUTODECODE_LR = 300, 1e-2  # of one item alone: its code moves further than one of many in an epoch


def load(file: artifacts.Artifact, device: torch.device) -> Model:
    """Read a model from its file."""
    settings = config.from_json(Config, file.config["settings"], f"the model '{file.path}'")
    mixture = MixtureOfSirens(settings)
    load_module(mixture, file.values, str(file.path))
    world = World.from_json(file.config["world"], str(file.path))
    return Model(mixture.to(device).eval(), settings, world)


def latent_space(settings: Config) -> LatentSpace:
    """What codes of a model look like."""
    return LatentSpace.codes("phi", code_size(settings))


@torch.no_grad()
def decode(model: Model, codes: Tensor, settings: DecodeSettings | None = None) -> MlpField:
    """Codes [B, D] => B scenes."""
    return field(model.config, model.network(codes), model.world, drawn=True)


def unfitted(network: MixtureOfSirens, settings: Config) -> Model:
    """A model without data, for `profile`: a unit box, the samples of its settings."""
    return Model(network, settings, World(samples=settings.points_per_ray))


def items(model: Model, dataset: Dataset, split: str) -> list[Item]:
    """The items of a split that `encode` can take; refuses data of another signal."""
    signals.world_of(model.config, dataset)
    return signals.items(model.config, dataset, split)


def encoder(
    model: Model, dataset: Dataset, chosen: Sequence[Item], settings: EncodeSettings | None = None, seed: int = 0
) -> Callable[[Sequence[int]], Encoded]:
    """A function from places in `chosen` to their codes [S, D] and the mean squared error [S] with them.

    A code depends on (seed, item) alone. The basis networks stay as they are. Meta-learnt models take the steps of their
    inner loop on all points of an item (rays: as many as a training step); auto-decoded ones are optimised by Adam on points
    drawn anew each step. The error is that of the items' points: all of them, or rays drawn anew."""
    how, fitted = settings or EncodeSettings(), model.config
    device = next(model.network.parameters()).device
    whole = fitted.signal != "radiance" and fitted.adaptation != "autodecode"
    drawn = signals.source(fitted, dataset, chosen, model.world, seed, whole=whole)
    judged = drawn if whole else signals.source(fitted, dataset, chosen, model.world, seed, whole=True)
    loss_of = signals.loss(fitted, model.world, device)

    def encode(places: Sequence[int]) -> Encoded:
        picked, keys = torch.tensor(list(places), dtype=torch.int64), [chosen[place].number for place in places]
        codes = torch.zeros(len(picked), code_size(fitted), device=device)
        if how.start == "random":
            codes = adaptation.starts(fitted, seed, 0, keys).to(device)
        if fitted.adaptation == "autodecode":
            codes = _optimised(model, codes, lambda step: drawn.draw(picked, step, keys), how, loss_of)
        else:
            steps, lr = how.steps or fitted.inner_steps, how.lr or fitted.inner_lr
            seen = batches.sent(drawn.draw(picked, 0, keys), device)
            codes = adaptation.inner_loop(model.network, codes, seen, fitted, loss_of, steps, lr, learns=False)
        return Encoded({"codes": codes.detach()}, _errors(model, codes, judged.draw(picked, _JUDGED, keys), loss_of))

    return encode


_JUDGED = 1 << 40  # a step that no optimisation comes to, so that the error is that of rays drawn anew


def _optimised(
    model: Model, codes: Tensor, draw: Callable[[int], Any], how: EncodeSettings, loss_of: signals.Loss
) -> Tensor:
    """Adam on the codes alone, on each item's own loss and decay."""
    fitted, steps = model.config, how.steps or AUTODECODE_STEPS
    codes = codes.clone().requires_grad_()
    lr = how.lr or AUTODECODE_LR
    optimiser = torch.optim.Adam([{"params": [codes], "lr": lr, "base_lr": lr}])
    for step in range(steps):
        schedules.set_lr(optimiser, schedules.cosine(step, steps))
        _, gradient = adaptation.code_gradient(
            model.network, codes, batches.sent(draw(step), codes.device), fitted, loss_of
        )
        codes.grad = gradient + 2 * fitted.latent_decay / codes.shape[1] * codes.detach()
        optimiser.step()
    return codes.detach()


@torch.no_grad()
def _errors(model: Model, codes: Tensor, batch: Any, loss_of: signals.Loss) -> Tensor:
    """Mean squared error of each item [S]."""
    device, mixed = codes.device, model.network.mix(codes)
    found = torch.zeros(len(codes))
    for place in range(len(codes)):
        one = batches.sent(batches.items(batch, slice(place, place + 1)), device)
        weights = [w[place : place + 1] for w in mixed]
        share, size = signals.shares(model.config, one), signals.chunk(model.config)
        for start in range(0, share.shape[1], size):
            some = slice(start, start + size)
            found[place] += loss_of(weights, batches.points(one, some), share[:, some]).cpu()
    return found
