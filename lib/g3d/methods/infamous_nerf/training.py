"""Stage 1 of INFAMOUS-NeRF: hypernetwork, expression table and the subjects' codes, fitted together.

Letters: B pairs of a step, P pictures of a pair, N rays of a picture.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from g3d import distributed
from g3d.data.dataset import Dataset
from g3d.errors import Diverged, G3dError
from g3d.latents import Latents
from g3d.methods.infamous_nerf import adaptive, objective, rays
from g3d.methods.infamous_nerf.codec import described, latent_space
from g3d.methods.infamous_nerf.config import Config
from g3d.methods.infamous_nerf.field import FIELDS, scene
from g3d.methods.infamous_nerf.networks import FaceModel
from g3d.methods.infamous_nerf.shots import mean_landmarks
from g3d.methods.infamous_nerf.subjects import Cast, SubjectCodes, cast, remember_means
from g3d.scenes.scene import World
from g3d.seeds import rng
from g3d.training import checkpoint, schedules
from g3d.training.run import Run

STANDSTILL_EVERY = 50


class Fit(NamedTuple):
    """What a step moves, and what it needs to know."""

    config: Config
    frame: objective.Frame
    model: FaceModel
    codes: SubjectCodes
    optimiser: torch.optim.Optimizer
    learnt: list[nn.Parameter]
    maps: adaptive.Maps | None


def fit(config: Config, dataset: Dataset, run: Run) -> None:
    """Fit the model and the codes of its subjects; writes the model and the latents of its items into the run."""
    known, world = check(config, dataset)
    distributed.check_batch(config.pairs)
    source = rays.PairSource(config, dataset, known, run.seed)
    now = start(config, known, source, world, run)
    now.model.landmarks.copy_(mean_landmarks(dataset, [item.object for item in known.items]))
    tensors = {} if now.maps is None else {
        "maps.pixels": now.maps.pixels, "maps.losses": now.maps.losses, "maps.visits": now.maps.visits,
    }  # fmt: skip
    refuse_other_expressions(known, run)
    state = checkpoint.State({"model": now.model, "codes": now.codes}, {"optimiser": now.optimiser}, tensors)
    if run.restore(state, [now.model]):
        now.codes.start_at(now.model)
        run.progress.log("the codes of the subjects start at the means of the model's own")
    if not run.resumed:
        warn_of_few_visits(config, source, run)
        warn_of_no_landmarks(config, dataset, run)
    mine = distributed.share(torch.arange(config.pairs))

    def publish() -> None:
        remember_means(now.model, now.codes, known)
        write(now, known, run)

    still = 0
    for step in run.steps(config.steps, "fit-stage1 infamous-nerf", state.pack, publish):
        schedules.set_lr(now.optimiser, rate(config, step))
        batch = source.draw(step, range(mine.start, mine.stop), now.maps)
        figures = one_step(now, batch, run.device, mine)
        lr = now.optimiser.param_groups[0]["lr"]
        still = refuse_standstill(step, figures["gradient_norm"], still)
        run.log(step, config.steps, figures.pop("loss"), config.pairs, clip=config.clip, lr=lr, **figures)


def refuse_standstill(step: int, norm: Tensor, still: int) -> int:
    """Looked at now and then: a gradient of exactly 0, twice in a row, ends the run; returns how often it was seen so far.

    The last ReLU of F_S is then 0 at every point of every subject, nothing is drawn, and nothing can learn any more."""
    if step % STANDSTILL_EVERY:
        return still
    still = still + 1 if float(norm) == 0 else 0
    if still == 2:
        raise Diverged(
            f"the gradient is 0 since step {step - STANDSTILL_EVERY} or before: density is 0 everywhere; lower the learning "
            "rates, or start again with --set density=softplus"
        )
    return still


def one_step(now: Fit, batch: rays.Batch, device: torch.device, mine: slice) -> dict[str, Any]:
    """Move everything by one batch; returns the figures of all processes."""
    config = now.config
    now.optimiser.zero_grad(set_to_none=True)
    sums: dict[str, Tensor] = {}
    by_ray = torch.zeros(config.pairs, *batch.pixels.shape[1:])
    for part in distributed.micro_batches(slice(0, len(batch.subjects)), config.micro_batch):
        few = batch.part(part).to(device)
        codes = now.codes.of(now.model, few.subjects, few.expressions)
        found = objective.cost(config, scene(now.model, codes, now.frame.world), codes, few, now.frame)
        (found.total.sum() / config.pairs).backward()
        for name, value in {"loss": found.total, **found.parts}.items():
            sums[name] = sums.get(name, torch.zeros((), device=device)) + value.detach().sum()
        by_ray[mine][part] = found.by_ray.cpu()
    distributed.sum_gradients(now.learnt)
    norm = nn.utils.clip_grad_norm_(now.learnt, config.clip or math.inf)
    now.optimiser.step()
    if now.maps is not None:
        _remember(now.maps, batch, by_ray, mine)
    figures: dict[str, Any] = {name: distributed.sum_value(value) / config.pairs for name, value in sums.items()}
    figures |= {"psnr_db": -10 * torch.log10(figures["mse"].clamp(min=1e-12)), "gradient_norm": norm}
    return figures


def _remember(maps: adaptive.Maps, batch: rays.Batch, by_ray: Tensor, mine: slice) -> None:
    """The next maps of the step's pictures, of all processes, in the order of the batch."""
    shape = (len(by_ray), *batch.gaussians.shape[1:])
    rows, pixels = torch.zeros(shape[:2], dtype=torch.int64), torch.zeros(shape, dtype=torch.int64)
    losses = torch.zeros(shape)
    rows[mine], pixels[mine] = batch.rows, batch.pixels.gather(2, batch.gaussians)
    losses[mine] = by_ray[mine].gather(2, batch.gaussians)
    for value in (rows, pixels, losses):
        distributed.sum_value(value)
    maps.replace(rows.flatten(), pixels.flatten(0, 1), losses.flatten(0, 1))


def check(config: Config, dataset: Dataset) -> tuple[Cast, World]:
    """Who is fitted, and the world they live in; refuses data that this method cannot use."""
    if dataset.cameras is None or not dataset.info.get("camera_prior"):
        raise G3dError(f"'{dataset.path}' has no cameras; infamous-nerf needs posed views of faces")
    known = cast(config, dataset)
    empty = [item.name for item in known.items if not len(dataset.views(item.object, "train"))]
    if empty:
        raise G3dError(
            f"'{dataset.path}': the object '{empty[0]}' has no training views; prepare it with --views 1 or more"
        )
    if config.surface_weight and config.surface == "checked" and dataset.raw("depth", 0) is None:
        raise G3dError(f"'{dataset.path}' has no depth, which surface=checked asks who hides whom; set surface=paper")
    if config.sampling == "mask" and dataset.raw("masks", 0) is None:
        raise G3dError(f"'{dataset.path}' has no masks, which sampling=mask draws from; set sampling=uniform")
    return known, world_of(config, dataset)


def refuse_other_expressions(known: Cast, run: Run) -> None:
    """Refuse a model of --init whose table of expressions names other ones by the numbers that the data uses."""
    theirs = [] if run.initial is None else [str(name) for name in run.initial.config.get("expressions", [])]
    for number in known.expressions.unique().tolist() if theirs and known.names else []:
        if number >= len(theirs) or theirs[number] != known.names[number]:
            raise G3dError(
                f"the data's expression {number} is '{known.names[number]}', the table of the model of --init has "
                f"{', '.join(f'{i} {name}' for i, name in enumerate(theirs))}; prepare the data with the same --expressions"
            )


def world_of(config: Config, dataset: Dataset) -> World:
    """The world of the scenes: rays are sampled within the data's box, between its near and far planes."""
    low, high = dataset.bounds
    prior = dataset.camera_prior
    red, green, blue = dataset.info["background"]
    return World(
        bounds=((low[0], low[1], low[2]), (high[0], high[1], high[2])),
        near_world=float(dataset.info.get("near_world", 0.01 * prior.radius_world)),
        far_world=float(dataset.info.get("far_world", 10 * prior.radius_world)),
        background=(red, green, blue), samples=config.points, camera_prior=prior,
    )  # fmt: skip


def start(config: Config, known: Cast, source: rays.PairSource, world: World, run: Run) -> Fit:
    """Everything before the first step."""
    model = FaceModel(config, rng(run.seed, 0, "infamous-nerf weights")).to(run.device)
    codes = SubjectCodes(config, known.count, rng(run.seed, 0, "infamous-nerf codes")).to(run.device)
    groups = _groups(config, model, codes)
    optimiser = torch.optim.Adam(groups, fused=True)
    maps = None
    if config.sampling == "adaptive":
        maps = adaptive.Maps(
            len(source.views),
            source.height,
            source.width,
            rays.gaussians(config),
            config.adaptive_sigma_px,
            config.adaptive_reset,
        )
    frame = objective.Frame(world, source.height, source.width)
    return Fit(config, frame, model, codes, optimiser, [p for group in groups for p in group["params"]], maps)


def rate(config: Config, step: int) -> float:
    """Share of the rates at a step: linear from 0 over the warm-up, then an exponential from 1 to `lr_floor`."""
    warm = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    return float(warm * config.lr_floor ** (step / max(1, config.steps)))


def warn_of_few_visits(config: Config, source: rays.PairSource, run: Run) -> None:
    """Say when pictures are seen so seldom that adaptive sampling is next to even sampling."""
    if config.sampling != "adaptive":
        return
    visits = config.steps * config.pairs * config.views / len(source.views)
    if visits < adaptive.FEW_VISITS:
        run.progress.log(
            f"note: each picture is visited {visits:.1f} times, too seldom for a map of its losses, which knows the few pixels "
            "that were drawn: sampling=uniform or mask is better here"
        )


def warn_of_no_landmarks(config: Config, dataset: Dataset, run: Run) -> None:
    """Say when no ray can be looked for around landmarks."""
    if config.landmark_share and "landmarks" not in dataset.labels:
        run.progress.log(
            f"note: '{dataset.path}' has no landmarks, so landmark_share={config.landmark_share:g} has no effect: all rays are "
            f"drawn by sampling={config.sampling}"
        )


@torch.no_grad()
def write(now: Fit, known: Cast, run: Run) -> None:
    """Publish the model and the latents of the training items."""
    run.write("model.safetensors", "model", now.model.state_dict(), described(now.config, now.frame.world, known.names))
    device = now.codes.identity.device
    found = now.codes.of(now.model, known.subjects.to(device), known.expressions.to(device))
    tensors = {f"fields.{name}": value.detach().cpu() for name, value in zip(FIELDS, found, strict=True)}
    names = [item.name for item in known.items]
    latents = Latents(
        latent_space(now.config), tensors, names, classes=known.expressions, about={"method": "infamous-nerf"}
    )
    run.write("latents.safetensors", "latents", *latents.packed())


def _groups(config: Config, model: FaceModel, codes: SubjectCodes) -> list[dict[str, Any]]:
    """Parameters with their rates: weights of all subjects, the hypernetwork, codes."""
    layers = model.hypernetwork
    base = [*layers.base_weight.values(), *layers.base_bias.values()]
    hyper = [p for name, p in layers.named_parameters() if not name.startswith("base_")]
    own = list(codes.parameters())
    if model.expression is not None and config.expressions_learn:
        own.append(model.expression)
    table = ((base, config.lr), (hyper, config.hyper_lr), (own, config.code_lr))
    return [{"params": params, "lr": lr, "base_lr": lr} for params, lr in table if params]
