"""Denoising diffusion on latents by a residual MLP (mNIF appendix A.3; the network of functa, Dupont et al. 2022).

Letters: N codes, D numbers of a code, W width.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g3d import config, distributed
from g3d.config import setting
from g3d.errors import G3dError
from g3d.latents import Latents, LatentSpace, space_of
from g3d.nets.time_embedding import time_embedding
from g3d.priors import Prior, checked, described, numbered, refuses_tokens
from g3d.progress import Tell
from g3d.seeds import Noise, rng
from g3d.storage import artifacts
from g3d.training import checkpoint, diffusion, ema, schedules
from g3d.training.compile import compiled
from g3d.training.prefetch import sent
from g3d.training.run import Run

NARROW, WIDE = 512, 4096  # widths: for few or small codes, and the paper's for all
_MANY = 10_000  # codes that are worth a wide network


@dataclass(frozen=True)
class Config:
    """Defaults: the paper's (A.3), the same for every signal; the width follows the codes, see `suited`."""

    width: int = setting(
        NARROW, f"W, width of the residual MLP; of {_MANY:,} codes and more 8 D, at most {WIDE} (the paper: {WIDE})",
        low=1, high=1 << 20,
    )  # fmt: skip
    blocks: int = setting(4, "residual blocks", low=1)
    time_steps: int = setting(1000, "T, steps of the noising", low=2, high=1 << 20)
    batch: int = setting(32, "codes a step", low=1, high=1 << 20)
    epochs: float = setting(1000.0, "passes over the codes", low=0, high=1e9)
    lr: float = setting(1e-4, "Adam; cosine to 0, no warm-up", low=0)
    clip: float = setting(0.0, "largest norm of the gradient of a step, 0 for none (the paper: none)", low=0)
    ema: float = setting(
        0.0, "decay a step of the averaged weights that are kept, 0 for none (the paper)", low=0, high=1
    )
    micro_batch: int = setting(0, "codes whose gradients are in memory at once, 0 for all of the step's", low=0)
    precision: Literal["fp32", "bf16"] = setting("fp32", "of the network's products while it is fitted")
    compile: bool = setting(False, "compile the network (torch.compile): worth its seconds in long runs")


PRESETS = {"paper": Config(width=WIDE)}


def suited(space: LatentSpace, count: int) -> Config:
    """The settings for so many codes: the paper's width takes minutes and gigabytes, which few or small codes are not worth."""
    if count < _MANY:
        return Config()
    return Config(width=min(WIDE, max(NARROW, 1 << (8 * space.size - 1).bit_length())))


@dataclass(frozen=True)
class SampleSettings:
    """Settings of sampling."""

    ddim_steps: int = setting(0, "0: ancestral (DDPM) over all T steps; n: deterministic (DDIM) over n of them", low=0)
    clip: bool = setting(True, "keep the predicted code within the range of the fitted codes, number by number")


class ResidualMlp(nn.Module):
    """x_t [N, D], t [N] => predicted noise [N, D]: blocks of norm, SiLU, linear, with the time added in the middle."""

    def __init__(self, size: int, settings: Config):
        super().__init__()
        width = settings.width
        self.width = width
        self.enter = nn.Linear(size, width)
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.first = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, width)) for _ in range(settings.blocks)
        )
        self.second = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, width)) for _ in range(settings.blocks)
        )
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, size))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """The noise that is in x."""
        h, when = self.enter(x), self.time(time_embedding(t, self.width))
        for first, second in zip(self.first, self.second, strict=True):
            h = h + second(first(h) + when)
        noise: Tensor = self.leave(h)
        return noise


def fit(settings: Config, latents: Latents, run: Run) -> None:
    """Fit the noise predictor to the codes [N, D], normalised by number; the normalisation goes with the prior."""
    codes = latents.flat()
    if len(codes) < 2:
        raise G3dError(f"a diffusion prior needs at least 2 latents, found {len(codes)}; fit the model to more items")
    mean, std = codes.mean(dim=0), codes.std(dim=0).clamp(min=1e-6)
    data = ((codes - mean) / std).to(run.device)
    network = _build(codes.shape[1], settings, run.seed).to(run.device)
    kept = ema.averaged(network) if settings.ema else network
    schedule = diffusion.linear_schedule(settings.time_steps).to(run.device)
    groups = [{"params": list(network.parameters()), "lr": settings.lr, "base_lr": settings.lr}]
    optimiser = torch.optim.Adam(groups, fused=True)
    modules = {"network": network, **({"average": kept} if settings.ema else {})}
    state = checkpoint.State(modules, {"optimiser": optimiser})
    run.restore(state)
    total = math.ceil(settings.epochs * len(codes) / settings.batch)  # 0 epochs: written as it was drawn
    predict: Callable[[Tensor, Tensor], Tensor] = compiled(network, settings.compile, run.device)
    low_precision = torch.autocast(run.device.type, torch.bfloat16, enabled=settings.precision == "bf16")

    def publish() -> None:
        tensors = {
            **checkpoint.pack("network", kept.state_dict()),
            "mean": mean, "std": std, "low": codes.amin(dim=0), "high": codes.amax(dim=0),
        }  # fmt: skip
        run.write("prior.safetensors", "prior", tensors, described("diffusion", latents, settings))

    for step in run.steps(total, "fit-prior diffusion", state.pack, publish):
        schedules.set_lr(optimiser, schedules.cosine(step, total))
        batch = _batch(data, settings, run.seed, step)
        optimiser.zero_grad(set_to_none=True)
        loss = torch.zeros((), device=run.device)
        for part in distributed.micro_batches(slice(0, len(batch[0])), settings.micro_batch):
            x0, noise, t = (
                sent(values[part], run.device) if values.device.type == "cpu" else values[part] for values in batch
            )
            with low_precision:
                predicted = predict(diffusion.add_noise(schedule, x0, noise, t), t)
            share = F.mse_loss(predicted.float(), noise, reduction="sum") / (settings.batch * codes.shape[1])
            share.backward()
            loss += share.detach()
        distributed.sum_gradients(network.parameters())
        norm = nn.utils.clip_grad_norm_(network.parameters(), settings.clip or math.inf)
        optimiser.step()
        if settings.ema:
            ema.update(kept, network, settings.ema)
        lr = optimiser.param_groups[0]["lr"]
        run.log(step, total, distributed.sum_value(loss), settings.batch, clip=settings.clip, gradient_norm=norm, lr=lr)


def _batch(data: Tensor, settings: Config, seed: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, noise and times of a step, the share of this process; drawn with replacement, so any N fits any batch."""
    g = rng(seed, step, "diffusion")
    rows = torch.randint(len(data), (settings.batch,), generator=g)
    noise = torch.randn(settings.batch, data.shape[1], generator=g)
    t = torch.randint(settings.time_steps, (settings.batch,), generator=g)
    mine = distributed.share(rows)
    return data[sent(rows[mine], data.device)], noise[mine], t[mine]


def _build(size: int, settings: Config, seed: int) -> ResidualMlp:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng(seed, 0, "initial weights").initial_seed())  # any whole number => 63 bits
        return ResidualMlp(size, settings)


@dataclass(frozen=True)
class Loaded:
    """A fitted prior, ready to sample."""

    space: LatentSpace
    network: ResidualMlp
    schedule: diffusion.Schedule
    mean: Tensor  # [D]
    std: Tensor  # [D]
    within: diffusion.Range  # of the normalised codes, [D] each
    tell: Tell | None = None  # of the steps of sampling


def load(file: artifacts.Artifact, device: torch.device) -> Loaded:
    """Read a prior from its file."""
    fitted = config.from_json(Config, file.config["settings"], f"the prior '{file.path}'")
    space = space_of(file)
    size = space.size
    numbers = checked(file, dict.fromkeys(("mean", "std", "low", "high"), (size,)))
    mean, std, low, high = (value.float().to(device) for value in numbers)
    network = _build(size, fitted, 0)
    checked(file, {f"network.{name}": tuple(value.shape) for name, value in network.state_dict().items()})
    checkpoint.load_module(network, checkpoint.unpack("network", file.values), str(file.path))
    schedule = diffusion.linear_schedule(fitted.time_steps).to(device)
    return Loaded(space, network.to(device).eval(), schedule, mean, std, ((low - mean) / std, (high - mean) / std))


def sample(
    loaded: Loaded, indices: Sequence[int], seed: int, settings: SampleSettings, classes: Sequence[int] | None = None
) -> Latents:
    """A latent for each index."""
    noise = Noise(seed, indices, "prior", loaded.mean.shape)
    within = loaded.within if settings.clip else None
    steps = min(settings.ddim_steps, len(loaded.schedule.alpha_bar)) or len(loaded.schedule.alpha_bar)
    predict = loaded.network if loaded.tell is None else _counted(loaded.network, steps, loaded.tell)
    if settings.ddim_steps:
        x = diffusion.sample_ddim(predict, loaded.schedule, noise, steps, within)
    else:
        x = diffusion.sample_ddpm(predict, loaded.schedule, noise, within)
    return numbered(loaded.space, loaded.mean + loaded.std * x, indices)


def _counted(predict: diffusion.Predictor, steps: int, tell: Tell) -> diffusion.Predictor:
    """The predictor, which is asked once a step, that tells so."""
    numbers = itertools.count(1)

    def counted(x: Tensor, t: Tensor) -> Tensor:
        predicted = predict(x, t)
        tell(next(numbers), steps)
        return predicted

    return counted


def watched(loaded: Loaded, tell: Tell) -> Loaded:
    """The prior that tells its steps of denoising."""
    return replace(loaded, tell=tell)


PRIOR: Prior[Config, Loaded] = Prior(
    "diffusion",
    Config,
    SampleSettings,
    refuses_tokens,
    fit,
    load,
    sample,
    presets=PRESETS,
    suited=suited,
    watched=watched,
)
