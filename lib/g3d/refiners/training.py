"""Fits a conditional diffusion model to pairs: eq. 4 of INFAMOUS-NeRF, or the same told as the picture or as v.

Letters: B pairs, H rows, W columns.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g3d import distributed
from g3d.config import as_json
from g3d.nets.unet import UNet
from g3d.refiners.config import Config
from g3d.refiners.pairs import Pairs, PairSource
from g3d.seeds import rng
from g3d.training import checkpoint, diffusion, ema, schedules
from g3d.training.compile import compiled
from g3d.training.prefetch import prefetch, sent
from g3d.training.run import Run


def fit(config: Config, source: PairSource, run: Run) -> None:
    """Fit the network to the pairs; writes refiner.safetensors, whose weights are the averaged ones."""
    distributed.check_batch(config.batch)
    pairs = Pairs(source, config)
    scale = pairs.change_std() if config.noised == "change" else None
    size = {"width": pairs.width, "height": pairs.height, "change_std": scale}
    network = build(config, run.seed).to(run.device)
    kept = ema.averaged(network)
    schedule = diffusion.linear_schedule(config.time_steps).to(run.device)
    groups = [{"params": list(network.parameters()), "lr": config.lr, "base_lr": config.lr}]
    optimiser = torch.optim.Adam(groups, fused=True)
    state = checkpoint.State({"network": network, "average": kept}, {"optimiser": optimiser})
    run.restore(state)
    told: Callable[[Tensor, Tensor], Tensor] = compiled(network, config.compile, run.device)
    low_precision = torch.autocast(run.device.type, torch.bfloat16, enabled=config.precision == "bf16")

    def publish() -> None:
        about = {"kind": "diffusion", "settings": as_json(config), "pictures": size}
        run.write("refiner.safetensors", "refiner", checkpoint.pack("network", kept.state_dict()), about)

    def made(step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return pairs.batch(config, run.seed, step)

    with prefetch(made, config.steps, threads=config.threads) as batches:
        for step in run.steps(config.steps, "fit-refiner", state.pack, publish):
            schedules.set_lr(optimiser, schedules.cosine(step, config.steps, config.warmup, config.lr_floor))
            coarse, true, noise, t = batches(step)
            optimiser.zero_grad(set_to_none=True)
            loss = torch.zeros((), device=run.device)
            for part in distributed.micro_batches(slice(0, len(t)), config.micro_batch):
                condition, picture, eps, when = (sent(values[part], run.device) for values in (coarse, true, noise, t))
                x0 = picture if scale is None else (picture - condition) / scale
                noisy = diffusion.add_noise(schedule, x0, eps, when)
                with low_precision:
                    found = told(torch.cat([noisy, condition], dim=1), when)
                wanted = target(config, schedule, x0, eps, when)
                distance = F.mse_loss if config.loss == "l2" else F.l1_loss
                share = distance(found.float(), wanted, reduction="sum") / (config.batch * wanted[0].numel())
                share.backward()
                loss += share.detach()
            distributed.sum_gradients(network.parameters())
            norm = nn.utils.clip_grad_norm_(network.parameters(), config.clip or math.inf)
            optimiser.step()
            ema.update(kept, network, min(config.ema, (1 + step) / (10 + step)))  # early on the average follows
            run.log(
                step, config.steps, distributed.sum_value(loss), config.batch, clip=config.clip, gradient_norm=norm,
                lr=optimiser.param_groups[0]["lr"],
            )  # fmt: skip


def target(config: Config, schedule: diffusion.Schedule, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """What the network is to tell of x_t: [B, 3, H, W]."""
    match config.predict:
        case "epsilon":
            return noise
        case "x0":
            return x0
        case "v":  # sqrt(ab) noise - sqrt(1 - ab) x0
            ab = schedule.alpha_bar[t].view(-1, 1, 1, 1)
            return ab.sqrt().to(x0.dtype) * noise - (1 - ab).sqrt().to(x0.dtype) * x0


def build(config: Config, seed: int) -> UNet:
    """The network with its first weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng(seed, 0, "initial weights").initial_seed())  # any whole number => 63 bits
        return UNet(6, 3, config.channels, config.multipliers, config.blocks, config.attention, config.dropout)
