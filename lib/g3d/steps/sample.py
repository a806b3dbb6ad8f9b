"""`sample`: new scenes from a model and its prior, or at once their pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from g3d import artifacts, config, device, files
from g3d.errors import G3dError
from g3d.methods import method
from g3d.priors import prior
from g3d.progress import SILENT, Progress
from g3d.seeds import parse_seeds
from g3d.steps.decode import Target, batched, same_space, write_scenes
from g3d.steps.render import Drawing


@dataclass(frozen=True)
class Options:
    """A model, its prior, how many or which samples, and what to write: scenes, pictures or both."""

    model: Path
    prior: Path | None = None
    out: Path | None = None
    num: int | None = None
    seeds: str | None = None
    settings: Sequence[str] = ()
    images: Path | None = None
    drawing: Drawing = field(default_factory=Drawing)
    seed: int = 0
    device: str = "auto"
    overwrite: bool = False


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used."""
    head, prior_head = _heads(options)
    ours, theirs = _split_settings(head, prior_head, options.settings)
    module = prior(str(prior_head.config["kind"]))
    return {
        "method": head.config["method"], "prior": prior_head.config["kind"], "samples": len(_numbers(options)),
        "settings": config.as_json(config.override(module.SampleSettings(), theirs, "the prior")),
        "decode": config.as_json(config.override(method(str(head.config["method"])).DecodeSettings(), ours, "the method")),
        "seed": options.seed, "device": str(device.pick(options.device)), **_target(options, prior_head).as_json(),
    }  # fmt: skip


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Sample; number i depends on (seed, i) alone and gives its name to the files."""
    head, prior_head = _heads(options)
    ours, theirs = _split_settings(head, prior_head, options.settings)
    numbers, target = _numbers(options), _target(options, prior_head)
    where = device.pick(options.device)
    kind = str(prior_head.config["kind"])
    module = prior(kind)
    settings = config.override(module.SampleSettings(), theirs, f"the {kind} prior")
    loaded = module.load(artifacts.read(prior_head.path, "prior", role="the prior"), where)
    file = artifacts.read(head.path, "model", role="the model")
    shape = file.config["latent_space"]["shape"]

    def draw(part: Sequence[int]) -> Tensor:
        codes: Tensor = module.sample(loaded, part, options.seed, settings).unflatten(1, shape)
        return codes

    batches = ((part, partial(draw, part), [None] * len(part)) for part in batched(numbers))
    parents = {"prior": prior_head.digest}
    return write_scenes(file, batches, len(numbers), ours, target, options.device, parents, progress)


def _target(options: Options, prior_head: artifacts.Header) -> Target:
    inputs = (files.inside(options.model, "model.safetensors"), prior_head.path)
    target = Target(options.out, options.images, options.drawing, options.overwrite, inputs, options.seed)
    target.check()
    return target


def _heads(options: Options) -> tuple[artifacts.Header, artifacts.Header]:
    head = artifacts.check(files.inside(options.model, "model.safetensors"), "model", role="the model")
    if options.prior is None:
        raise G3dError(
            f"the method {head.config['method']} draws its latents from a prior; fit one with g3d fit-prior, give --prior"
        )
    prior_head = artifacts.check(files.inside(options.prior, "prior.safetensors"), "prior", role="the prior")
    same_space(head, prior_head, "the prior")
    return head, prior_head


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


def _split_settings(
    head: artifacts.Header, prior_head: artifacts.Header, pairs: Sequence[str]
) -> tuple[list[str], list[str]]:
    """`--set` pairs of the method's decoding, and those of the prior's sampling (which also answers for unknown ones)."""
    ours = {f.name for f in fields(method(str(head.config["method"])).DecodeSettings)}
    first = [p for p in pairs if p.partition("=")[0].strip() in ours]
    return first, [p for p in pairs if p not in first]
