"""The adversarial game (section 3.4): pictures of generated Gaussians against real ones, both judged for their camera, too.

A step is one of the generator, one of the discriminator, and every r1_interval-th time one of R1 alone; each sees its own
latents and cameras. Gradients of micro-batches and processes add up to those of the batch: the pose loss compares a picture
with the cameras of all of it (eq. 9's B), the minibatch deviation with deviation=batch, too, else the pictures of a part.

Letters: B pictures, H W their sides.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from g3d import distributed
from g3d.cameras import camera_conditioning
from g3d.data.dataset import Dataset
from g3d.losses import adversarial
from g3d.methods.gsgan import losses
from g3d.methods.gsgan.batches import Batch, Source, Wanted, check_data
from g3d.methods.gsgan.codec import described, scene_of
from g3d.methods.gsgan.config import Config
from g3d.methods.gsgan.discriminator import PoseDiscriminator
from g3d.methods.gsgan.networks import Generator, Levels
from g3d.render.splat import rasterize
from g3d.scenes.scene import Corner, World
from g3d.seeds import rng
from g3d.training import ema, gan, lazy, whole_batch
from g3d.training.prefetch import prefetch
from g3d.training.run import Run


class Game(gan.GanState[Config, World, Generator, PoseDiscriminator]):
    """The two players, and what the discriminator sees."""

    def look(self, images: Tensor, drawn: Tensor, n_img: int) -> tuple[Tensor, Tensor]:
        """Features that `head` makes logits of and pose embeddings, of pictures blurred as after `n_img` real ones, then
        augmented as `drawn` says."""
        return self.discriminator.look(self.augmented(blurred(images, blur_px(self.config, n_img)), drawn))

    def head(self, features: Tensor) -> Tensor:
        """Logits of pictures, which the minibatch deviation compares."""
        return self.discriminator.real.head(features)


def fit(config: Config, dataset: Dataset, run: Run) -> None:
    """Train generator and discriminator; publishes the generator's average."""
    world = check(config, dataset)
    distributed.check_batch(config.batch)
    source = Source(config, dataset, run.seed)
    game = start(config, world, run.seed, run.device)
    state = gan.restore(game, run)
    total = math.ceil(config.kimg * 1000 / config.batch)
    mine = distributed.share(torch.arange(config.batch))

    def publish() -> None:
        write(game, run)

    threads = 2 if run.device.type == "cuda" else 0
    with prefetch(lambda step: source.draw(step, mine), total, threads=threads) as batches:
        for step in run.steps(total, "fit-stage1 gsgan", state.pack, publish):
            batch, n_img = batches(step), step * config.batch
            figures: dict[str, Any] = generator_step(game, batch.for_generator, n_img, run.device)
            game.generator.mapping.track(figures.pop("w_mean"))
            figures |= discriminator_step(game, batch, n_img, run.device)
            if lazy.due(step, config.r1_interval):
                figures["r1"] = r1_step(game, batch, n_img, run.device)
            decay = ema.half_life_decay(config.batch, config.ema_kimg * 1000, n_img, config.ema_rampup or None)
            ema.update(game.average, game.generator, decay)
            if config.augment == "ada":
                game.controller.see(figures["real_sign"] * config.batch, config.batch)
                game.controller.adjust(step, config.batch)
            run.log(step, total, figures.pop("d_loss"), config.batch, augment_p=game.controller.p, **figures)


def generator_step(game: Game, wanted: Wanted, n_img: int, device: torch.device) -> dict[str, Tensor]:
    """Move the generator; returns its losses, the mean style [W], mean and deviation of the logits, over all processes."""
    config = game.config
    game.discriminator.requires_grad_(False)
    game.g_optimizer.zero_grad(set_to_none=True)
    parts = gan.micro_batches(game, len(wanted.z))
    first = whole_batch.ours(config.batch).start
    own = game.discriminator.camera(numbers_of(wanted.to(device), config))  # [b, E], constants here
    cameras = whole_batch.gathered(own, config.batch)  # [B, E]

    def look(part: slice) -> Tensor:
        few = wanted.part(part).to(device)
        return game.look(generate(game, few, n_img)[1], few.augment, n_img)[0]

    loss, known = adversarial.generator_loss, None
    if config.deviation == "batch":
        known = whole_batch.judged(look, game.head, loss, parts, config.batch)
    sums: dict[str, Tensor] = {}
    for part in parts:
        few = wanted.part(part).to(device)
        levels, images, w = generate(game, few, n_img)
        features, pose = game.look(images, few.augment, n_img)
        logits, values, fooling = whole_batch.seen(features, part, game.head, loss, known)
        coarsest = (levels.anchors or levels.gaussians)[0].means
        terms = {
            "pose_loss": losses.pose_contrast(pose, cameras, config.pose_temperature, first + part.start).sum(),
            "center_loss": losses.centre(coarsest).sum(),
            "knn_loss": losses.nearness(coarsest, config.knn).sum(),
        }
        third = 1 / 3 if config.anchor_losses == "mean" else 1.0  # of squares over x, y, z
        weights = (config.pose_weight, config.center_weight * third, config.knn_weight * third)
        share = sum((value * weight for value, weight in zip(terms.values(), weights, strict=True)), fooling)
        (share / config.batch).backward()
        more = {"w_mean": w.sum(dim=0), "fake_logit": logits.sum(), "square": logits.square().sum()}
        for name, value in ({"generator_loss": values.sum()} | terms | more).items():
            sums[name] = sums.get(name, 0) + value.detach()
    gan.optimizer_step(game.g_optimizer, game.generator.parameters(), config.g_clip or None)
    game.discriminator.requires_grad_(True)
    found = {name: distributed.sum_value(value) / config.batch for name, value in sums.items()}
    found["fake_logit_std"] = (found.pop("square") - found["fake_logit"].square()).clamp(min=0).sqrt()
    return found


def discriminator_step(game: Game, batch: Batch, n_img: int, device: torch.device) -> dict[str, Tensor]:
    """Move the discriminator; returns its adversarial and pose loss and the mean sign of its logits of real pictures."""
    config = game.config
    game.d_optimizer.zero_grad(set_to_none=True)
    sums = {name: torch.zeros((), device=device) for name in ("d_loss", "d_pose_loss", "real_sign")}
    parts = gan.micro_batches(game, len(batch.real))
    first = whole_batch.ours(config.batch).start
    own = game.discriminator.camera(batch.real_cameras.to(device))  # [b, E]
    cameras = whole_batch.gathered(own, config.batch).requires_grad_()  # [B, E]

    def of_fakes(part: slice) -> Tensor:
        few = batch.for_discriminator.part(part).to(device)
        with torch.no_grad():
            _, images, _ = generate(game, few, n_img)
        return game.look(images, few.augment, n_img)[0]

    def of_reals(part: slice) -> tuple[Tensor, Tensor]:
        return game.look(batch.real[part].to(device), batch.real_augment[part].to(device), n_img)

    known_fakes = known_reals = None
    if config.deviation == "batch":
        known_fakes = whole_batch.judged(of_fakes, game.head, adversarial.fake_loss, parts, config.batch)
        known_reals = whole_batch.judged(
            lambda p: of_reals(p)[0], game.head, adversarial.real_loss, parts, config.batch
        )
    for part in parts:
        _, fakes, fake = whole_batch.seen(of_fakes(part), part, game.head, adversarial.fake_loss, known_fakes)
        (fake / config.batch).backward()
        features, pose = of_reals(part)
        logits, reals, real = whole_batch.seen(features, part, game.head, adversarial.real_loss, known_reals)
        contrast = losses.pose_contrast(pose, cameras, config.pose_temperature, first + part.start).sum()
        ((real + config.pose_weight * contrast) / config.batch).backward()
        for name, value in zip(sums, (fakes.sum() + reals.sum(), contrast, logits.sign().sum()), strict=True):
            sums[name] += value.detach()
    own.backward(whole_batch.returned(cameras.grad, config.batch))
    gan.optimizer_step(game.d_optimizer, game.discriminator.parameters(), config.d_clip or None)
    return {name: distributed.sum_value(value) / config.batch for name, value in sums.items()}


def r1_step(game: Game, batch: Batch, n_img: int, device: torch.device) -> Tensor:
    """Move the discriminator by R1 alone, as much as in all the steps since the last time; returns R1 without gamma."""

    def look(real: Tensor, part: slice) -> Tensor:
        return game.look(real, batch.penalty_augment[part].to(device), n_img)[0]

    return gan.r1_step(game, batch.real, look, game.head, device, game.config.d_clip or None)


def generate(game: Game, wanted: Wanted, n_img: int) -> tuple[Levels, Tensor, Tensor]:
    """Levels, pictures [B, 3, H, W] (-1 and above: colours have no upper clamp) and styles w [B, W]."""
    net, config = game.generator, game.config
    w = net.mapping(wanted.z, wanted.seen_by_mapping)
    if net.background is not None and n_img >= config.background_from_kimg * 1000:
        net.background.begun.fill_(1)
    levels = net(net.styles(w), numbers_of(wanted, config))
    return levels, painted(levels, wanted, game.world, config.resolution), w


def painted(levels: Levels, wanted: Wanted, world: World, side: int) -> Tensor:
    """Each scene drawn by its own camera: [B, 3, H, W], image = 2 rgb - 1."""
    cameras = wanted.cameras(side, side)
    each = [cameras[b] for b in range(len(cameras))]
    drawn = rasterize(scene_of(levels, world), each, background=world.background, depth=False)
    return drawn.rgb[:, 0].permute(0, 3, 1, 2) * 2 - 1


def numbers_of(wanted: Wanted, config: Config) -> Tensor:
    """The 25 numbers of the cameras that pictures are drawn by."""
    return camera_conditioning(wanted.cameras(config.resolution, config.resolution))


def blur_px(config: Config, n_img: int) -> float:
    """Standard deviation of the blur after `n_img` real pictures: falls to 0 in a straight line."""
    return config.blur_px * max(0.0, 1 - n_img / (config.blur_kimg * 1000)) if config.blur_kimg else 0.0


def blurred(images: Tensor, std_px: float) -> Tensor:
    """Pictures [B, 3, H, W] through a Gaussian of this standard deviation; borders go on as they end."""
    reach = math.ceil(3 * std_px)
    if std_px < 0.05:
        return images
    x = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    taps = torch.exp(-0.5 * (x / std_px).square())
    kernel = (taps / taps.sum()).expand(images.shape[1], 1, 1, -1)
    wide = F.pad(images, [reach] * 4, mode="replicate")
    return F.conv2d(F.conv2d(wide, kernel, groups=images.shape[1]), kernel.transpose(2, 3), groups=images.shape[1])


def check(config: Config, dataset: Dataset) -> World:
    """The world that scenes will live in; refuses data that this method cannot use."""
    check_data(config, dataset)
    prior = dataset.camera_prior
    reach = math.sqrt(3)  # of the foreground's cube
    red, green, blue = (0.0, 0.0, 0.0) if config.behind == "black" else dataset.info["background"]
    colour: Corner = (float(red), float(green), float(blue))
    return World(
        near_world=max(0.05 * prior.radius_world, prior.radius_world - reach), far_world=prior.radius_world + reach,
        background=colour, camera_prior=prior,
    )  # fmt: skip


def start(config: Config, world: World, seed: int, device: torch.device) -> Game:
    """Both players before their first step."""
    net = Generator(config, rng(seed, 0, "generator")).to(device)
    if net.background is not None:
        net.background.begun.fill_(0)
    judge = PoseDiscriminator(config.resolution, config, rng(seed, 0, "discriminator")).to(device)
    average = ema.averaged(net)
    assert isinstance(average, Generator)
    return Game(config, world, net, judge, average, *gan.make_optimizers(net, judge, config, device))


def write(game: Game, run: Run) -> None:
    """Publish the average."""
    run.write("model.safetensors", "model", game.average.state_dict(), described(game.config, game.world))
