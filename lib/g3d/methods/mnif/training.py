"""Stage 1 of mNIF: bases and codes fitted together by auto-decoding (algorithm 2).

The loss (eq. 4) is the **mean** over rays and channels of the squared difference, of the rays that meet the box.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from g3d.config import as_json
from g3d.dataset import Dataset, step_items
from g3d.errors import G3dError
from g3d.methods.mnif.batches import RayBatch, RaySource
from g3d.methods.mnif.codec import field, latent_space
from g3d.methods.mnif.config import PAPER, Config
from g3d.methods.mnif.networks import MixtureOfSirens, code_size, weights_of
from g3d.render import volume
from g3d.scene import World, query
from g3d.seeds import generator
from g3d.training import checkpoint, distributed, schedules
from g3d.training.compile import compiled
from g3d.training.prefetch import prefetch, sent
from g3d.training.run import Run


def fit(config: Config, dataset: Dataset, run: Run) -> None:
    """Fit bases, projection and one code per training item; writes the model and the latents into the run."""
    items, world = check(config, dataset)
    if distributed.world() > config.batch:
        raise G3dError(
            f"{distributed.world()} processes cannot share a batch of {config.batch}; set batch to at least that"
        )
    on_gpu = run.device.type == "cuda"
    source = RaySource(dataset, items, world, run.seed, pinned=on_gpu)
    mixture = MixtureOfSirens(config, generator(run.seed, 0, "weights")).to(run.device)
    start = torch.randn(len(items), code_size(config), generator=generator(run.seed, 0, "codes")) * config.latent_std
    codes = nn.Parameter(start.to(run.device))
    groups = [
        {"params": list(mixture.parameters()), "lr": config.lr, "base_lr": config.lr},
        {"params": [codes], "lr": config.inner_lr, "base_lr": config.inner_lr},
    ]
    optimiser = torch.optim.Adam(groups, fused=True)
    if run.resumed:
        checkpoint.load_module(mixture, checkpoint.unpack("model", run.resumed.values), str(run.resumed.path))
        if run.resumed.values["codes"].shape != codes.shape:
            raise G3dError(
                f"'{run.resumed.path}' holds codes of shape {list(run.resumed.values['codes'].shape)}, wanted are "
                f"{list(codes.shape)}: the data has another number of objects; resume with the dataset of before"
            )
        codes.data.copy_(run.resumed.values["codes"])
        checkpoint.unpack_optimiser("optimiser", optimiser, run.resumed.values)
    else:
        log_spread(mixture, codes, world, run)
    total = math.ceil(config.epochs * len(items) / config.batch)
    learnt = [*mixture.parameters(), codes]

    def state() -> Mapping[str, Tensor]:
        slots = checkpoint.pack_optimiser("optimiser", optimiser)
        return {"codes": codes, **checkpoint.pack("model", mixture.state_dict()), **slots}

    def publish() -> None:
        write(config, dataset, items, world, mixture, codes, run)

    loss_of = chunk_loss(config, world, run.device)

    def draw(step: int) -> tuple[Tensor, RayBatch]:
        picked = step_items(len(items), config.batch, run.seed, step)
        mine = distributed.share(picked)
        rays = source.draw(picked, step, config.views_per_item, config.pixels_per_view, config.points_per_ray, mine)
        return picked[mine], rays

    with prefetch(draw, total, threads=2 if on_gpu else 0) as batches:  # on a CPU drawing would take from the step
        for step in run.steps(total, "fit-stage1 mnif", state, publish):
            schedules.set_lr(optimiser, schedules.cosine(step, total, config.warmup))
            picked, rays = batches(step)
            optimiser.zero_grad(set_to_none=True)
            loss = torch.zeros((), device=run.device)
            for part in distributed.micro_batches(slice(0, len(picked)), config.micro_batch):
                few, seen = codes[sent(picked[part], run.device)], rays.part(part).to(run.device)
                loss += backward(mixture, few, seen, config, world, config.batch, loss_of)
            distributed.sum_gradients(learnt)
            norm = nn.utils.clip_grad_norm_(learnt, config.clip or math.inf)
            optimiser.step()
            lr = optimiser.param_groups[0]["lr"]
            run.log(step, total, distributed.sum_value(loss), config.batch, clip=config.clip, gradient_norm=norm, lr=lr)
            run.histogram("codes", codes, step)


def backward(
    mixture: MixtureOfSirens,
    codes: Tensor,
    rays: RayBatch,
    config: Config,
    world: World,
    batch: int,
    loss_of: "ChunkLoss",
) -> Tensor:
    """Gradients of the loss of a step, with few rays in memory at a time; returns the loss (our share of it).

    The weights are mixed once; each chunk's gradient stops at the mixed weights, and their sum goes back through the mix
    once. Each scene counts 1 / `batch`, also when the other processes hold the rest of the batch."""
    mixed = mixture.mix(codes)
    leaves = [w.detach().requires_grad_() for w in mixed]
    share = rays.weight / (rays.weight.sum(dim=1, keepdim=True).clamp(min=1) * 3 * batch)  # [S, R]
    total = torch.zeros((), device=codes.device)
    for start in range(0, rays.near.shape[1], config.rays_per_chunk):
        c = slice(start, start + config.rays_per_chunk)
        loss = loss_of(leaves, RayBatch(*(part[:, c] for part in rays)), share[:, c])
        loss.backward()
        total += loss.detach()
    decay = config.latent_decay * codes.square().mean(dim=1).sum() / batch
    torch.autograd.backward([*mixed, decay], [*(leaf.grad for leaf in leaves), torch.ones_like(decay)])
    return total


ChunkLoss = Callable[[list[Tensor], RayBatch, Tensor], Tensor]


def chunk_loss(config: Config, world: World, device: torch.device) -> ChunkLoss:
    """(mixed weights, some rays of every scene, what each counts [S, R]) => their loss (eq. 4); compiled on demand."""
    sampling = volume.Sampling(config.points_per_ray)
    background = torch.tensor(world.background, device=device)

    def loss_of(leaves: list[Tensor], rays: RayBatch, share: Tensor) -> Tensor:
        scenes = field(config, weights_of(leaves), world, drawn=False)
        found = volume.render_rays(
            lambda points, _: query(scenes, points), rays.origins, rays.directions, rays.near, rays.far, sampling, background,
            jitter=rays.jitter,
        )  # fmt: skip
        return ((found.rgb - rays.rgb).square().sum(dim=-1) * share).sum()

    return compiled(loss_of, config.compile, device)


def check(config: Config, dataset: Dataset) -> tuple[list[int], World]:
    """The items to fit and the world they live in; refuses data that this method cannot use."""
    if config.signal != "radiance":
        raise G3dError(f"mnif fits signal=radiance in this version, not {config.signal}; set signal=radiance")
    if dataset.cameras is None:
        raise G3dError(f"'{dataset.path}' has no cameras; mnif with signal=radiance needs posed views")
    items = dataset.objects("train")
    if not items:
        raise G3dError(f"'{dataset.path}' has no training objects; prepare it with a smaller --holdout")
    empty = [dataset.object_names[i] for i in items if not len(dataset.views(i, "train"))]
    if empty:
        raise G3dError(
            f"'{dataset.path}': the object '{empty[0]}' has no training views; prepare it with --views 1 or more"
        )
    prior = dataset.camera_prior
    low, high = dataset.bounds
    world = World(
        bounds=((low[0], low[1], low[2]), (high[0], high[1], high[2])),
        near_world=0.01 * prior.radius_world,  # the bounds clip every ray, from wherever it comes
        far_world=10 * prior.radius_world,
        background=tuple(dataset.info["background"]),
        samples=config.points_per_ray,
        camera_prior=prior,
    )
    return items, world


def write(
    config: Config, dataset: Dataset, items: list[int], world: World, mixture: MixtureOfSirens, codes: Tensor, run: Run
) -> None:
    """Publish the model and its codes."""
    space = latent_space(config)
    about: dict[str, Any] = {
        "method": "mnif",
        "paper": PAPER,
        "settings": as_json(config),
        "latent_space": space,
        "world": world.as_json(),
    }
    run.write("model.safetensors", "model", mixture.state_dict(), about)
    names = [dataset.object_names[i] for i in items]
    run.write("latents.safetensors", "latents", {"codes": codes}, {**space, "names": names, "method": "mnif"})


@torch.no_grad()
def log_spread(mixture: MixtureOfSirens, codes: Tensor, world: World, run: Run) -> None:
    """Say how far the activations of each layer spread at step 0: a mean of many bases has little left (A.2.4)."""
    low, high = (torch.tensor(c, device=codes.device) for c in world.bounds)
    u = torch.rand(1024, 3, generator=generator(run.seed, 0, "spread")).to(codes.device)
    h = (low + (high - low) * u).unsqueeze(0)
    mixed = mixture.mix(codes[:1])
    spreads = []
    for weight, bias in list(zip(mixed[::2], mixed[1::2], strict=True))[:-1]:
        h = torch.baddbmm(bias.unsqueeze(1), h, weight.transpose(1, 2)).sin()
        spreads.append(float(h.std(dim=1).mean()))  # of a feature, over points
    run.progress.log("spread of activations by layer at step 0: " + ", ".join(f"{s:.3f}" for s in spreads))
