"""Stage 1 of mNIF: bases, T and codes, by auto-decoding (algorithm 2) or by meta-learning (algorithm 1)."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from g3d import distributed
from g3d.config import as_json
from g3d.data.dataset import Dataset, Item
from g3d.data.order import step_items
from g3d.errors import G3dError
from g3d.latents import Latents
from g3d.methods.mnif import adaptation, batches, signals
from g3d.methods.mnif.codec import latent_space
from g3d.methods.mnif.config import PAPER, Config, refuse_still
from g3d.methods.mnif.networks import DIMENSIONS, MixtureOfSirens, code_size
from g3d.scenes.scene import World
from g3d.seeds import rng
from g3d.training import checkpoint, schedules
from g3d.training.prefetch import prefetch, sent
from g3d.training.run import Run


def fit(config: Config, dataset: Dataset, run: Run) -> None:
    """Fit bases and projection, and by auto-decoding one code per training item; writes the model (and those) into the run."""
    items, world = check(config, dataset)
    if distributed.world() > config.batch:
        raise G3dError(
            f"{distributed.world()} processes cannot share a batch of {config.batch}; set batch to at least that"
        )
    on_gpu = run.device.type == "cuda"
    source = signals.source(config, dataset, items, world, run.seed)
    mixture = MixtureOfSirens(config, rng(run.seed, 0, "weights")).to(run.device)
    codes = nn.Parameter(_first_codes(config, len(items), run.seed).to(run.device))  # of auto-decoding
    jointly = config.adaptation == "autodecode"
    groups = _groups(config, mixture, codes if jointly else None)
    optimiser = torch.optim.Adam(groups, fused=True)
    learnt = [p for group in groups for p in group["params"]]
    state = checkpoint.State({"model": mixture}, {"optimiser": optimiser}, {"codes": codes} if jointly else {})
    if run.restore(state, [mixture]) and jointly:
        run.progress.log("the codes of the items start afresh: the model's own belong to what it was fitted to")
    if not run.resumed:
        log_spread(mixture, codes, world, run)
    total = math.ceil(config.epochs * len(items) / config.batch)

    def publish() -> None:
        write(config, dataset, world, mixture, codes if jointly else None, run)

    loss_of = signals.loss(config, world, run.device)

    def draw(step: int) -> tuple[Tensor, range, Any]:
        picked = step_items(len(items), config.batch, run.seed, step)
        mine = distributed.share(picked)
        places = range(mine.start, mine.stop)
        return picked[mine], places, batches.pinned(source.draw(picked[mine], step, places), on_gpu)

    with prefetch(draw, total, threads=2 if on_gpu else 0) as drawn:  # on a CPU drawing would take from the step
        for step in run.steps(total, "fit-stage1 mnif", state.pack, publish):
            schedules.set_lr(optimiser, schedules.cosine(step, total, config.warmup))
            picked, places, seen = drawn(step)
            optimiser.zero_grad(set_to_none=True)
            loss = torch.zeros((), device=run.device)
            for part in distributed.micro_batches(slice(0, len(picked)), config.micro_batch):
                few = batches.sent(batches.items(seen, part), run.device)
                if jointly:
                    chosen = codes[sent(picked[part], run.device)]
                    loss += adaptation.joint_backward(mixture, chosen, few, config, loss_of)
                else:
                    start = adaptation.starts(config, run.seed, step, places[part])
                    loss += adaptation.meta_backward(mixture, sent(start, run.device), few, config, loss_of)
            distributed.sum_gradients(learnt)
            norm = nn.utils.clip_grad_norm_(learnt, config.clip or math.inf)
            optimiser.step()
            lr = optimiser.param_groups[0]["lr"]
            run.log(step, total, distributed.sum_value(loss), config.batch, clip=config.clip, gradient_norm=norm, lr=lr)
            if jointly:
                run.histogram("codes", codes, step)


def check(config: Config, dataset: Dataset) -> tuple[list[Item], World]:
    """The items to fit and the world they live in; refuses data that this method cannot use."""
    refuse_still(config)
    if config.signal == "radiance" and dataset.cameras is None and dataset.info["views"]:
        raise G3dError(
            f"'{dataset.path}' has no cameras, and mnif with signal=radiance needs posed views; for its pictures as they are use "
            "--preset flowers or --set signal=image"
        )
    world = signals.world_of(config, dataset)
    items = signals.items(config, dataset, "train")
    if not items:
        raise G3dError(f"'{dataset.path}' has no training objects; prepare it with a smaller --holdout")
    if config.signal == "radiance":
        empty = [item.name for item in items if not len(dataset.views(item.object, "train"))]
        if empty:
            raise G3dError(
                f"'{dataset.path}': the object '{empty[0]}' has no training views; prepare it with --views 1 or more"
            )
    if config.signal == "voxel":
        dataset.points(items[0].object)  # refuses data without points
        if config.grid_share:
            dataset.occupancy(items[0].object)
    return items, world


def write(
    config: Config, dataset: Dataset, world: World, mixture: MixtureOfSirens, codes: Tensor | None, run: Run
) -> None:
    """Publish the model and, where training found them, its codes."""
    space = latent_space(config)
    about: dict[str, Any] = {
        "method": "mnif",
        "paper": PAPER,
        "settings": as_json(config),
        "latent_space": space.as_json(),
        "world": world.as_json(),
    }
    run.write("model.safetensors", "model", mixture.state_dict(), about)
    if codes is not None:
        names = [item.name for item in signals.items(config, dataset, "train")]
        found = Latents(space, {"codes": codes}, names, about={"method": "mnif"})
        run.write("latents.safetensors", "latents", *found.packed())


@torch.no_grad()
def log_spread(mixture: MixtureOfSirens, codes: Tensor, world: World, run: Run) -> None:
    """Say how far the activations of each layer spread at step 0: a mean of many bases has little left (A.2.4)."""
    found = ", ".join(f"{s:.3f}" for s in spread(mixture, codes[:1], world, run.seed))
    run.progress.log(f"spread of activations by layer at step 0: {found}")


@torch.no_grad()
def spread(mixture: MixtureOfSirens, code: Tensor, world: World, seed: int) -> list[float]:
    """Standard deviation over points of a feature of each sine layer, mean of the features, of one code [1, D]."""
    low, high = (torch.tensor(c[: DIMENSIONS[mixture.config.signal][0]], device=code.device) for c in world.bounds)
    u = torch.rand(1024, len(low), generator=rng(seed, 0, "spread")).to(code.device)
    h = (low + (high - low) * u).unsqueeze(0)
    mixed = mixture.mix(code)
    spreads = []
    for weight, bias in list(zip(mixed[::2], mixed[1::2], strict=True))[:-1]:
        h = torch.baddbmm(bias.unsqueeze(1), h, weight.transpose(1, 2)).sin()
        spreads.append(float(h.std(dim=1).mean()))
    return spreads


def _first_codes(config: Config, count: int, seed: int) -> Tensor:
    """[N, D] ~ N(0, sigma^2), or 0."""
    if config.alpha_start == "even":
        return torch.zeros(count, code_size(config))
    return torch.randn(count, code_size(config), generator=rng(seed, 0, "codes")) * config.latent_std


def _groups(config: Config, mixture: MixtureOfSirens, codes: nn.Parameter | None) -> list[dict[str, Any]]:
    """Parameters with their learning rates: bases, T, codes."""
    bases = [*mixture.basis_weight, *mixture.basis_bias]
    found: list[tuple[list[Any], float]] = [(bases, config.lr)]
    if mixture.project is not None:
        found.append((list(mixture.project.parameters()), config.lr * config.projection_lr))
    if codes is not None:
        found.append(([codes], config.inner_lr))
    return [{"params": params, "lr": lr, "base_lr": lr} for params, lr in found]
