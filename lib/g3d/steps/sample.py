"""`sample`: new scenes from a model, and its prior where it needs one; or at once their pictures, or their latents."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from g3d import config, device, distributed
from g3d.cameras import condition_numbers
from g3d.drawing.camera_plan import CameraPlan
from g3d.drawing.painter import Drawing
from g3d.errors import G3dError
from g3d.methods import method
from g3d.priors import prior
from g3d.progress import SILENT, Progress
from g3d.scenes.scene import World
from g3d.seeds import parse_seeds
from g3d.steps.decode import Conditions, Target, batched, same_space, write_scenes
from g3d.storage import artifacts, files


@dataclass(frozen=True)
class Options:
    """A model, its prior, how many or which samples, and what to write: scenes, pictures, latents."""

    model: Path
    prior: Path | None = None
    out: Path | None = None
    num: int | None = None
    seeds: str | None = None
    settings: Sequence[str] = ()
    images: Path | None = None
    latents: Path | None = None
    drawing: Drawing = field(default_factory=Drawing)
    seed: int = 0
    device: str = "auto"
    overwrite: bool = False


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used."""
    head, prior_head = _heads(options)
    ours, theirs = _split_settings(head, options.settings)
    name = str(head.config["method"])
    settings = config.override(_sampling(head, prior_head), theirs, _owner(head, prior_head))
    decoding = config.override(method(name).DecodeSettings(), ours, name)
    return {
        "method": name, "prior": prior_head.config["kind"] if prior_head else None, "samples": len(_numbers(options)),
        "settings": config.as_json(settings), "decode": config.as_json(decoding),
        "seed": options.seed, "device": str(device.pick(options.device)), **_target(options, prior_head).as_json(),
        "latents": None if options.latents is None else str(options.latents),
    }  # fmt: skip


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Sample; number i depends on (seed, i) alone and gives its name to the files."""
    head, prior_head = _heads(options)
    ours, theirs = _split_settings(head, options.settings)
    numbers, target = _numbers(options), _target(options, prior_head)
    settings = config.override(_sampling(head, prior_head), theirs, _owner(head, prior_head))
    file = artifacts.read(head.path, "model", role="the model")
    conditions = _conditions(file, options)
    draw = _drawn(file, prior_head, settings, options, conditions)
    parents = {"prior": prior_head.digest} if prior_head else {}
    written = []
    if options.latents is not None and distributed.rank() == 0:
        codes = torch.cat([draw(part).cpu() for part in batched(numbers)])
        about = {**file.config["latent_space"], "names": [f"{n:06d}" for n in numbers], "method": head.config["method"]}
        about = {k: v for k, v in about.items() if k != "shape"}
        whose = {"model": file.digest, **parents}
        tensors = {"codes": codes, **({} if conditions is None else {"condition_camera": conditions(numbers)})}
        artifacts.write(options.latents, "latents", tensors, about, seed=options.seed, parents=whose)
        written = [str(options.latents)]
    if options.out is None and options.images is None:
        return {"written": written, "latents": len(numbers)}
    batches = ((part, partial(draw, part), [None] * len(part)) for part in batched(numbers))
    found = write_scenes(file, batches, len(numbers), ours, target, options.device, parents, progress, conditions)
    return {**found, "written": [*found["written"], *written]}


def _drawn(
    file: artifacts.Artifact, prior_head: artifacts.Header | None, settings: Any, options: Options,
    conditions: Conditions | None,
) -> Callable[[Sequence[int]], Tensor]:  # fmt: skip
    """Numbers of samples => their codes, by the prior, or by the model itself."""
    where = device.pick(options.device)
    if prior_head is None:
        own = method(str(file.config["method"]))
        model = own.load(file, where)

        def draw(part: Sequence[int]) -> Tensor:
            seen = model if conditions is None else own.conditioned(model, conditions(part))
            codes: Tensor = own.draw(seen, part, options.seed, settings)
            return codes

        return draw
    module = prior(str(prior_head.config["kind"]))
    loaded = module.load(artifacts.read(prior_head.path, "prior", role="the prior"), where)
    shape = file.config["latent_space"]["shape"]
    return lambda part: module.sample(loaded, part, options.seed, settings).unflatten(1, shape)


def _conditions(file: artifacts.Artifact, options: Options) -> Conditions | None:
    """For a method whose scenes depend on a camera: the camera that scene i is drawn by, where `--cameras` has one for each;
    else, as for all of an orbit, the model's default."""
    if not hasattr(method(str(file.config["method"])), "conditioned"):
        return None
    plan = CameraPlan(options.drawing.cameras, options.drawing.seed, options.drawing.size)
    if not _one_each(plan):
        return None
    world = World.from_json(file.config["world"], str(file.path))
    return lambda part: torch.cat([condition_numbers(plan.for_world(world, number, None)) for number in part])


def _one_each(plan: CameraPlan) -> bool:
    """Whether each scene has one camera, as pictures of training have (none of those was taken from afar)."""
    return plan.one_view(None) and plan.kind != "far"


def _target(options: Options, prior_head: artifacts.Header | None) -> Target:
    inputs = [files.inside(options.model, "model.safetensors"), *([prior_head.path] if prior_head else [])]
    target = Target(options.out, options.images, options.drawing, options.overwrite, tuple(inputs), options.seed)
    if options.latents is not None:
        files.refuse_existing(options.latents, options.overwrite, tuple(inputs))
        files.refuse_overlap([options.latents, *(p for p in (options.out, options.images) if p is not None)])
    if options.latents is None or options.out is not None or options.images is not None:
        target.check()
    return target


def _heads(options: Options) -> tuple[artifacts.Header, artifacts.Header | None]:
    head = artifacts.check(files.inside(options.model, "model.safetensors"), "model", role="the model")
    if options.images is None and options.drawing.cameras != "default":
        if not hasattr(method(str(head.config["method"])), "conditioned"):
            raise G3dError("--cameras says how pictures are drawn, but none are; add --render FOLDER")
        if not _one_each(CameraPlan(options.drawing.cameras, options.drawing.seed, options.drawing.size)):
            raise G3dError(
                f"'{options.drawing.cameras}' gives no scene a camera of its own to be baked at; use prior or dataset:DIR, or "
                "add --render FOLDER"
            )
    if options.prior is None:
        if not hasattr(method(str(head.config["method"])), "draw"):
            raise G3dError(
                f"the method {head.config['method']} draws its latents from a prior; fit one with g3d fit-prior, give --prior"
            )
        return head, None
    prior_head = artifacts.check(files.inside(options.prior, "prior.safetensors"), "prior", role="the prior")
    same_space(head, prior_head, "the prior")
    return head, prior_head


def _sampling(head: artifacts.Header, prior_head: artifacts.Header | None) -> Any:
    """The sampling settings of what draws the latents, at their defaults."""
    module = prior(str(prior_head.config["kind"])) if prior_head else method(str(head.config["method"]))
    return module.SampleSettings()


def _owner(head: artifacts.Header, prior_head: artifacts.Header | None) -> str:
    return f"the {prior_head.config['kind']} prior" if prior_head else f"sampling from {head.config['method']}"


def _numbers(options: Options) -> list[int]:
    if (options.num is None) == (options.seeds is None):
        raise G3dError("give either --num N or --seeds 0-9,12")
    if options.seeds is not None:
        try:
            return parse_seeds(options.seeds)
        except ValueError as error:
            raise G3dError(str(error)) from error
    assert options.num is not None
    if options.num < 1:
        raise G3dError(f"--num is {options.num}; it must be at least 1")
    return list(range(options.num))


def _split_settings(head: artifacts.Header, pairs: Sequence[str]) -> tuple[list[str], list[str]]:
    """`--set` pairs of the method's decoding, and those of sampling (which also answers for unknown ones)."""
    ours = {f.name for f in fields(method(str(head.config["method"])).DecodeSettings)}
    first = [p for p in pairs if p.partition("=")[0].strip() in ours]
    return first, [p for p in pairs if p not in first]
