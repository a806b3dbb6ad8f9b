"""Stage 1 of VQ3D: the autoencoder, its book of codes, and from some step on two discriminators (section 3.2).

The main one tells real pictures from reconstructions; the second one reconstructions (which it may not change) from novel views.

Letters: B pictures, H side, T tokens.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from g3d import distributed
from g3d.data.dataset import Dataset
from g3d.errors import G3dError
from g3d.losses import adversarial
from g3d.methods.vq3d import objective, quantiser, views
from g3d.methods.vq3d.batches import Batch, PictureSource
from g3d.methods.vq3d.codec import described
from g3d.methods.vq3d.config import Config
from g3d.methods.vq3d.networks import Autoencoder
from g3d.methods.vq3d.objective import picture_of
from g3d.methods.vq3d.quantiser import Tally
from g3d.nets.discriminator import Discriminator
from g3d.scenes.scene import World
from g3d.seeds import rng
from g3d.training import checkpoint, gan, lazy, optimisers, schedules
from g3d.training.prefetch import prefetch
from g3d.training.run import Run


class Game(NamedTuple):
    """The autoencoder and its critics; those that have no weight are there, but never asked."""

    config: Config
    world: World
    model: Autoencoder
    main: Discriminator
    novel: Discriminator
    optimiser: torch.optim.Optimizer
    d_optimiser: torch.optim.Optimizer
    perceptual: objective.Perceptual | None

    @property
    def modules(self) -> dict[str, nn.Module]:
        """By their names in a state."""
        return {"model": self.model, "main": self.main, "novel": self.novel}


class Phase(NamedTuple):
    """Who plays at a step."""

    main: bool
    novel: bool

    @property
    def whole(self) -> bool:
        """Whether anybody looks at whole pictures."""
        return self.main or self.novel


def fit(config: Config, dataset: Dataset, run: Run) -> None:
    """Fit the autoencoder; writes the model into the run."""
    world = check(config, dataset)
    distributed.check_batch(config.batch)
    source, game = PictureSource(config, dataset, run.seed), start(config, world, run.seed, run.device)
    state = checkpoint.State(game.modules, {"optimiser": game.optimiser, "d_optimiser": game.d_optimiser})
    resumed = run.resumed is not None
    if not run.restore(state, [game.model]) and not resumed and config.codebook_start == "data":
        first_codes(game, source, run.device)
    mine = distributed.share(torch.arange(config.batch))

    def publish() -> None:
        run.write("model.safetensors", "model", game.model.state_dict(), described(config, world))

    with prefetch(
        lambda step: source.draw(step, mine), config.steps, threads=2 if run.device.type == "cuda" else 0
    ) as batches:
        for step in run.steps(config.steps, "fit-stage1 vq3d", state.pack, publish):
            factor = schedules.cosine(step, config.steps, config.warmup, config.lr_floor)
            schedules.set_lr(game.optimiser, factor)
            phase, batch = phase_of(config, step), batches(step)
            figures, latents = autoencoder_step(game, batch, phase, run.device)
            if config.reset_every and (step + 1) % config.reset_every == 0 and step < config.reset_until * config.steps:
                figures["reset"] = game.model.quantiser.reset(latents, rng(run.seed, step, "vq3d codes"))
            if phase.whole:
                figures |= discriminator_step(game, batch, phase, run.device, lazy.due(step, config.r1_interval))
            run.log(step, config.steps, figures.pop("loss"), config.batch, clip=config.clip, **figures)


def phase_of(config: Config, step: int) -> Phase:
    """Discriminators begin at their shares of the steps."""
    share = step / max(1, config.steps)
    return Phase(
        config.gan_weight > 0 and share >= config.gan_from, config.novel_weight > 0 and share >= config.novel_from
    )


def autoencoder_step(game: Game, batch: Batch, phase: Phase, device: torch.device) -> tuple[dict[str, Any], Tensor]:
    """Move encoder, codes and decoder; returns figures of all processes, and the latents [N, D] of the step."""
    config, model = game.config, game.model
    game.main.requires_grad_(False)
    game.novel.requires_grad_(False)
    game.optimiser.zero_grad(set_to_none=True)
    sums: dict[str, Tensor] = {}
    tally, latents = _nothing(model, device), []
    for part in distributed.micro_batches(slice(0, len(batch.pictures)), config.micro_batch):
        few = batch.part(part).to(device)
        found, made = model(few.pictures)
        scene = model.scene(made, game.world)
        whole = phase.whole or game.perceptual is not None or not config.rays
        pixels = None if whole else few.pixels
        view = _canonical(game, scene, few, pixels)
        cost = objective.terms(config, few, found, view, pixels, game.perceptual)
        total, shown = cost.total, cost.shown
        if phase.main:
            shown["gan"] = adversarial.generator_loss(game.main(picture_of(view.rgb) * 2 - 1))
            total = total + config.gan_weight * shown["gan"]
        if phase.novel:
            other = _elsewhere(game, scene, few)
            shown["gan_novel"] = adversarial.generator_loss(game.novel(_judged(config, other)))
            total = total + config.novel_weight * shown["gan_novel"]
        (total.sum() / config.batch).backward()
        for name, value in {"loss": total, **shown}.items():
            sums[name] = sums.get(name, torch.zeros((), device=device)) + value.detach().sum()
        some = model.quantiser.tally(found)
        tally = Tally(tally.counts + some.counts, tally.sums + some.sums)
        latents.append(found.latents.detach().flatten(0, 1))
    parameters = [p for p in model.parameters() if p.requires_grad]
    distributed.sum_gradients(parameters)
    norm = nn.utils.clip_grad_norm_(parameters, config.clip or math.inf)
    game.optimiser.step()
    model.quantiser.learn(tally)
    figures: dict[str, Any] = {name: distributed.sum_value(value) / config.batch for name, value in sums.items()}
    used, perplexity = model.quantiser.usage()
    pool = _of_all(torch.cat(latents), config)
    figures |= {
        "psnr_db": objective.psnr_db(figures["mse"]), "codes_used": used, "perplexity": perplexity, "gradient_norm": norm,
        "latent_spread": quantiser.spread(pool), "lr": game.optimiser.param_groups[0]["lr"],
    }  # fmt: skip
    return figures, pool


def discriminator_step(
    game: Game, batch: Batch, phase: Phase, device: torch.device, penalise: bool
) -> dict[str, Tensor]:
    """Move those discriminators that play; R1 with the weight of all steps since the last time."""
    config = game.config
    playing = [net for net, plays in ((game.main, phase.main), (game.novel, phase.novel)) if plays]
    for net in playing:
        net.requires_grad_(True)
    game.d_optimiser.zero_grad(set_to_none=True)
    loss = torch.zeros((), device=device)
    for part in distributed.micro_batches(slice(0, len(batch.pictures)), config.micro_batch):
        few = batch.part(part).to(device)
        with torch.no_grad():
            _, made = game.model(few.pictures)
            scene = game.model.scene(made, game.world)
            view = _canonical(game, scene, few, None)
            pairs = [(game.main, few.pictures * 2 - 1, picture_of(view.rgb) * 2 - 1)] if phase.main else []
            if phase.novel:
                pairs.append((game.novel, _judged(config, view), _judged(config, _elsewhere(game, scene, few))))
        for net, real, fake in pairs:
            real = real.detach().requires_grad_(penalise)
            logits = net(real)
            cost = adversarial.real_loss(logits) + adversarial.fake_loss(net(fake))
            if penalise:
                cost = cost + config.r1_gamma * config.r1_interval * adversarial.r1(logits, real)
            (cost.sum() / config.batch).backward()
            loss = loss + cost.detach().sum() / config.batch
    gan.optimizer_step(game.d_optimiser, [p for net in playing for p in net.parameters()])
    return {"d_loss": distributed.sum_value(loss)}


@torch.no_grad()
def first_codes(game: Game, source: PictureSource, device: torch.device) -> None:
    """Codes become latents of the first batch; every process looks at all of it."""
    pictures = source.draw(0, slice(0, game.config.batch)).pictures.to(device)
    book = game.model.quantiser
    size = game.config.micro_batch or len(pictures)
    latents = torch.cat([book(game.model.encode(some)).latents.flatten(0, 1) for some in pictures.split(size)])
    book.replace(
        torch.ones(game.config.codes, dtype=torch.bool, device=device), latents, rng(source.seed, 0, "vq3d book")
    )


def check(config: Config, dataset: Dataset) -> World:
    """The world of the scenes; refuses data that this method cannot use."""
    info = dataset.info
    if (info["height"], info["width"]) != (config.resolution, config.resolution):
        raise G3dError(
            f"vq3d setting 'resolution' is {config.resolution}, but the pictures of '{dataset.path}' have {info['width']} x "
            f"{info['height']} pixels; prepare them with --size {config.resolution}, or choose another preset"
        )
    if not len(dataset.views_of("train", "train")):
        raise G3dError(f"'{dataset.path}' has no pictures to train on; prepare it with views of training objects")
    if (config.depth_weight or config.scale_weight) and dataset.raw("inverse_depth", 0) is None:
        raise G3dError(
            f"'{dataset.path}' has no inverse depth, which the depth and scale losses need; add it with g3d prepare-data depth, "
            "or leave both out: --set depth_weight=0 --set scale_weight=0"
        )
    if config.perceptual == "lpips" and config.perceptual_weight and not config.perceptual_file:
        raise G3dError(
            "vq3d: perceptual=lpips needs a file of weights; give --set perceptual_file=FILE, or perceptual=efficientnet"
        )
    red, green, blue = info["background"]
    return views.world_of(config, (red, green, blue))


def start(config: Config, world: World, seed: int, device: torch.device) -> Game:
    """Everybody before the first step."""
    model = Autoencoder(config, rng(seed, 0, "vq3d weights")).to(device)

    def critic(channels: int, stream: str) -> Discriminator:
        return Discriminator(
            config.resolution, channels=channels, channel_base=config.d_channel_base, channel_max=config.d_channel_max,
            generator=rng(seed, 0, stream),
        ).to(device)  # fmt: skip

    main, novel = critic(3, "vq3d main"), critic(4 if config.novel_disparity else 3, "vq3d novel")
    moved = optimisers.adamw([model], config.lr, (0.9, 0.99), config.weight_decay)
    both = [*main.parameters(), *novel.parameters()]
    d_optimiser = lazy.adam(both, config.d_lr, gan.BETAS, 0)  # 0: R1 has no step of its own
    return Game(config, world, model, main, novel, moved, d_optimiser, objective.perceptual_of(config, device))


def _canonical(game: Game, scene: Any, few: Batch, pixels: Tensor | None) -> views.Seen:
    """What the camera of all pictures sees; `pixels` [R] of every picture, or all."""
    cameras = views.canonical(game.config).to(few.pictures.device)
    if pixels is None:
        return views.seen(scene, cameras, game.config, None, few.jitter)
    return views.seen(scene, cameras, game.config, pixels.expand(len(few.pictures), -1), few.jitter[:, pixels])


def _elsewhere(game: Game, scene: Any, few: Batch) -> views.Seen:
    """What a camera of the disc sees of each scene."""
    cameras = views.in_disc(game.config, few.novel.cpu()).to(few.pictures.device)
    return views.seen(scene, cameras, game.config, None, few.novel_jitter)


def _judged(config: Config, view: views.Seen) -> Tensor:
    """What the second discriminator looks at [B, 3 or 4, H, H]: colour and disparity in [-1, 1]."""
    channels = [view.rgb, view.disparity.unsqueeze(2)] if config.novel_disparity else [view.rgb]
    return picture_of(torch.cat(channels, dim=2)) * 2 - 1


def _nothing(model: Autoencoder, device: torch.device) -> Tally:
    codes = model.quantiser.codes
    return Tally(torch.zeros(len(codes), device=device), torch.zeros_like(codes.detach()))


def _of_all(latents: Tensor, config: Config) -> Tensor:
    """The latents of all processes [B T, D], in order."""
    if distributed.world() == 1:
        return latents
    mine = distributed.share(torch.arange(config.batch))
    whole = latents.new_zeros(config.batch * config.tokens, config.code_dim)
    whole[mine.start * config.tokens : mine.stop * config.tokens] = latents
    return distributed.sum_value(whole)
