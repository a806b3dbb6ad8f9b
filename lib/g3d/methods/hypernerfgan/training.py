"""The adversarial game (section 3.5 of the report): patches of generated fields against patches of real pictures.

A step is one of the generator, one of the discriminator, and every r1_interval-th time one of R1 alone; each sees its own
latents, cameras and patches. Gradients of micro-batches and processes add up to those of the batch; the discriminator's
minibatch deviation compares the pictures of a part, or with deviation=batch all of them.

Letters: B pictures, P side of a patch, R = P * P rays, N samples of a ray.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint as checkpointed

from g3d import distributed
from g3d.data.dataset import Dataset
from g3d.errors import G3dError
from g3d.losses import adversarial
from g3d.methods.hypernerfgan.cameras import world_of
from g3d.methods.hypernerfgan.codec import described
from g3d.methods.hypernerfgan.config import Config
from g3d.methods.hypernerfgan.networks import Generator, network
from g3d.methods.hypernerfgan.patches import Batch, PatchSource, Views
from g3d.nets.discriminator import Discriminator
from g3d.render import volume
from g3d.scenes import mlp
from g3d.scenes.scene import World
from g3d.seeds import rng
from g3d.training import ema, gan, lazy, whole_batch
from g3d.training.prefetch import prefetch
from g3d.training.run import Run


class Game(gan.GanState[Config, World, Generator, Discriminator]):
    """The two players, and what the discriminator sees."""

    def look(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Features of pictures [B, 3, P, P], augmented as `drawn` says, that `head` makes logits of."""
        return self.discriminator.trunk(self.augmented(images, drawn))

    def head(self, features: Tensor) -> Tensor:
        """Logits of pictures, which the minibatch deviation compares."""
        return self.discriminator.head(features)


def fit(config: Config, dataset: Dataset, run: Run) -> None:
    """Train generator and discriminator; publishes the generator's average."""
    world = check(config, dataset)
    distributed.check_batch(config.batch)
    assert world.camera_prior is not None
    source = PatchSource(config, dataset, world, world.camera_prior, run.seed)
    game = start(config, world, run.seed, run.device)
    state = gan.restore(game, run)
    total = math.ceil(config.kimg * 1000 / config.batch)
    mine = distributed.share(torch.arange(config.batch))
    rampup = config.ema_rampup or None

    def publish() -> None:
        write(game, run)

    with prefetch(
        lambda step: source.draw(step, mine), total, threads=2 if run.device.type == "cuda" else 0
    ) as batches:
        for step in run.steps(total, "fit-stage1 hypernerfgan", state.pack, publish):
            batch = batches(step)
            g_loss, w_mean = generator_step(game, batch.for_generator, run.device)
            game.generator.mapping.track(w_mean)
            d_loss, signs = discriminator_step(game, batch, run.device)
            figures: dict[str, Any] = {"real_sign": signs / config.batch}
            if lazy.due(step, config.r1_interval):
                figures["r1"] = r1_step(game, batch, run.device)
            decay = ema.half_life_decay(config.batch, config.ema_kimg * 1000, step * config.batch, rampup)
            ema.update(game.average, game.generator, decay)
            if config.augment == "ada":
                game.controller.see(signs, config.batch)
                game.controller.adjust(step, config.batch)
            run.log(step, total, d_loss, config.batch, generator_loss=g_loss, augment_p=game.controller.p, **figures)


def generator_step(game: Game, views: Views, device: torch.device) -> tuple[Tensor, Tensor]:
    """Move the generator; returns its loss and the mean style [W], both over all processes."""
    config = game.config
    game.discriminator.requires_grad_(False)
    game.g_optimizer.zero_grad(set_to_none=True)
    loss, w_sum = torch.zeros((), device=device), torch.zeros(config.w_dim, device=device)
    parts, known = gan.micro_batches(game, len(views.z)), None

    def look(part: slice) -> tuple[Tensor, Tensor]:
        few = views.part(part).to(device)
        images, w = generate(game.generator, few, config, game.world)
        return game.look(images, few.augment), w

    if config.deviation == "batch":
        known = whole_batch.judged(lambda p: look(p)[0], game.head, adversarial.generator_loss, parts, config.batch)
    for part in parts:
        features, w = look(part)
        _, values, fooling = whole_batch.seen(features, part, game.head, adversarial.generator_loss, known)
        (fooling / config.batch).backward()
        loss, w_sum = loss + values.detach().sum() / config.batch, w_sum + w.detach().sum(dim=0)
    gan.optimizer_step(game.g_optimizer, game.generator.parameters())
    game.discriminator.requires_grad_(True)
    return distributed.sum_value(loss), distributed.sum_value(w_sum) / config.batch


def discriminator_step(game: Game, batch: Batch, device: torch.device) -> tuple[Tensor, Tensor]:
    """Move the discriminator; returns its loss and the sum of the signs of its logits of real pictures."""
    config = game.config
    game.d_optimizer.zero_grad(set_to_none=True)
    loss, signs = torch.zeros((), device=device), torch.zeros((), device=device)
    parts = gan.micro_batches(game, len(batch.real))

    def of_fakes(part: slice) -> Tensor:
        few = batch.for_discriminator.part(part).to(device)
        with torch.no_grad():
            fake, _ = generate(game.generator, few, config, game.world)
        return game.look(fake, few.augment)

    def of_reals(part: slice) -> Tensor:
        return game.look(batch.real[part].to(device), batch.real_augment[part].to(device))

    known_fakes = known_reals = None
    if config.deviation == "batch":
        known_fakes = whole_batch.judged(of_fakes, game.head, adversarial.fake_loss, parts, config.batch)
        known_reals = whole_batch.judged(of_reals, game.head, adversarial.real_loss, parts, config.batch)
    for part in parts:
        _, fakes, fake = whole_batch.seen(of_fakes(part), part, game.head, adversarial.fake_loss, known_fakes)
        (fake / config.batch).backward()
        logits, reals, real = whole_batch.seen(of_reals(part), part, game.head, adversarial.real_loss, known_reals)
        (real / config.batch).backward()
        loss = loss + fakes.detach().sum() / config.batch + reals.detach().sum() / config.batch
        signs = signs + logits.detach().sign().sum()
    gan.optimizer_step(game.d_optimizer, game.discriminator.parameters())
    return distributed.sum_value(loss), distributed.sum_value(signs)


def r1_step(game: Game, batch: Batch, device: torch.device) -> Tensor:
    """Move the discriminator by R1 alone, as much as in all the steps since the last time (eq. 10); returns R1 without gamma."""

    def look(real: Tensor, part: slice) -> Tensor:
        return game.look(real, batch.penalty_augment[part].to(device))

    return gan.r1_step(game, batch.real, look, game.head, device)


def generate(net: Generator, views: Views, config: Config, world: World) -> tuple[Tensor, Tensor]:
    """Patches [B, 3, P, P] in [-1, 1] and the styles [B, W] that they show; the field's weights are formed once."""
    w = net.mapping(views.z)
    weights = net.weights(w)
    flat = [tensor for pair in weights.values() for tensor in pair]
    description = network(config, raw=True)
    sampling = volume.Sampling(config.n_samples, end="infinite" if config.opaque_end else "finite")
    background = torch.tensor(world.background, device=w.device)

    def of_chunk(rays: Views, *flat: Tensor) -> Tensor:
        named = dict(zip(weights, zip(flat[::2], flat[1::2], strict=True), strict=True))

        def ask(points: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
            found = mlp.evaluate(description, named, {"x": points})
            raw = found["density"].squeeze(-1) + config.density_noise * rays.noise.flatten(1)
            return found["rgb"], torch.relu(raw)

        seen = volume.render_rays(
            ask, rays.origins, rays.directions, rays.near, rays.far, sampling, background, jitter=rays.jitter
        )
        return seen.rgb

    order, most = hits_first(views)
    few = views._replace(**{name: _rows(getattr(views, name), order[:, :most]) for name in _BY_RAY})
    chunks = []
    size = max(1, config.points_per_chunk // (config.n_samples * len(w)))
    for start in range(0, most, size):
        part = few._replace(**{name: getattr(few, name)[:, start : start + size] for name in _BY_RAY})
        if config.checkpoint and torch.is_grad_enabled():
            chunks.append(checkpointed(of_chunk, part, *flat, use_reentrant=False, preserve_rng_state=False))
        else:
            chunks.append(of_chunk(part, *flat))
    rgb = background.expand(*views.near.shape, 3)
    rgb = rgb.scatter(1, order[:, :most, None].expand(-1, -1, 3), torch.cat(chunks, dim=1)) if chunks else rgb
    side = config.patch_size
    return rgb.transpose(1, 2).unflatten(2, (side, side)) * 2 - 1, w


def hits_first(views: Views) -> tuple[Tensor, int]:
    """The rays [B, R] in the order hits, then misses, and the most hits of a picture: rays that miss the box show the
    background whatever the field says, so they are not followed."""
    miss = views.far <= views.near
    return miss.to(torch.uint8).argsort(dim=1, stable=True), int((~miss).sum(dim=1).max())


def _rows(x: Tensor, order: Tensor) -> Tensor:
    """Rays of x [B, R, ...] in the given order [B, r]."""
    index = order if x.dim() == 2 else order.unsqueeze(-1).expand(-1, -1, x.shape[2])
    return x.gather(1, index)


_BY_RAY = ("origins", "directions", "near", "far", "jitter", "noise")


def check(config: Config, dataset: Dataset) -> World:
    """The world that scenes will live in; refuses data that this method cannot use."""
    height, width = int(dataset.info["height"]), int(dataset.info["width"])
    if not len(dataset.views_of("train", "train")):
        raise G3dError(f"'{dataset.path}' has no pictures to train on; prepare it with views of training objects")
    if config.patch_size > min(height, width):
        raise G3dError(
            f"hypernerfgan setting 'patch_size' is {config.patch_size}, but the pictures of '{dataset.path}' have {width} x "
            f"{height} pixels; set patch_size={min(height, width)} or less"
        )
    return world_of(config, dataset)


def start(config: Config, world: World, seed: int, device: torch.device) -> Game:
    """Both players before their first step."""
    net = Generator(config, rng(seed, 0, "generator")).to(device)
    judge = Discriminator(
        config.patch_size, channel_base=config.d_channel_base, channel_max=config.d_channel_max,
        generator=rng(seed, 0, "discriminator"),
    ).to(device)  # fmt: skip
    average = ema.averaged(net)
    assert isinstance(average, Generator)
    return Game(config, world, net, judge, average, *gan.make_optimizers(net, judge, config, device))


def write(game: Game, run: Run) -> None:
    """Publish the average."""
    run.write("model.safetensors", "model", game.average.state_dict(), described(game.config, game.world))
