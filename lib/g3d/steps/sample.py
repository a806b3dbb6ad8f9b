"""`sample`: new scenes from a model, and its prior where it needs one; or at once their pictures, or their latents."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from g3d import config, distributed, latents
from g3d.cameras import camera_conditioning
from g3d.device import pick_device
from g3d.drawing.camera_plan import CameraPlan, inputs_of
from g3d.drawing.painter import Drawing
from g3d.drawing.target import BATCH, Target, batched, check_batch
from g3d.errors import G3dError
from g3d.latents import Latents
from g3d.methods import decoding, method
from g3d.methods.contract import Method
from g3d.methods.decoding import model_settings
from g3d.priors import Prior, classes, prior
from g3d.progress import SILENT, Progress, Tell, track
from g3d.scenes.scene import Scene, World
from g3d.seeds import parse_seeds
from g3d.storage import artifacts, files
from g3d.storage.kept import Kept, kept_or_read


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
    classes: str | None = None  # of the samples, in turns, e.g. 3 or 0-9
    batch: int = BATCH  # samples made at once
    device: str = "auto"
    overwrite: bool = False


@dataclass(frozen=True)
class _Checked:
    """What the options stand for, from headers alone."""

    model: artifacts.Header
    method: Method[Any, Any]
    prior: artifacts.Header | None
    numbers: Sequence[int]
    classes: Sequence[int] | None
    class_names: Sequence[str]  # of 0, 1, ..., as the prior records them
    target: Target
    sampling: Any  # settings of what draws the latents
    decoding: Any

    @property
    def parents(self) -> dict[str, str]:
        """Digests of what samples come from."""
        return {"model": self.model.digest, **({"prior": self.prior.digest} if self.prior else {})}


Draw = Callable[[Sequence[int]], Latents]


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used."""
    found = _checked(options)
    return {
        "method": found.method.name, "prior": found.prior.config["kind"] if found.prior else None, "samples": len(found.numbers),
        "settings": config.as_json(found.sampling), "decode": config.as_json(found.decoding),
        "seed": options.seed, "device": str(pick_device(options.device)), **found.target.as_json(),
        "latents": None if options.latents is None else str(options.latents),
    }  # fmt: skip


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Sample; number i depends on (seed, i) alone and gives its name to the files. Each latent is drawn once."""
    found, device = _checked(options), pick_device(options.device)
    if found.classes is not None and found.class_names:
        progress.log(f"classes: {classes.told(found.classes, found.class_names)}")
    model = decoding.load(found.method, found.model, device)
    count, done = len(found.numbers), 0
    draw = _drawn(found, model, options, device, lambda step, of: progress.update(done, count, step=f"{step}/{of}"))
    kept: dict[int, Latents] = {}  # for --latents, by the batch
    with distributed.processes(device), found.target.opened(count, found.parents) as opened:
        progress.start("scenes" if found.target.wanted else "latents", count)
        for part, numbers in enumerate(batched(found.numbers, options.batch)):
            if distributed.mine(part):  # whole batches, so that several processes draw what one does
                few = draw(numbers)
                if options.latents is not None:
                    kept[part] = few.to("cpu")
                if found.target.wanted:
                    for place, scene in enumerate(decoding.scenes_of(found.method, model, few, found.decoding)):
                        opened.add(done + place, numbers[place], scene, None)
            done += len(numbers)
            progress.update(done, count)
        if options.latents is not None:
            _write(options, found, kept)
    written = [] if options.latents is None else [str(options.latents)]
    if not found.target.wanted:
        return {"written": written, "latents": count}
    result = opened.result(count)
    return {**result, "written": [*result["written"], *written]}


def scenes(options: Options, progress: Progress = SILENT, kept: Kept | None = None) -> Iterator[Scene]:
    """The scenes of the samples one after the other, in memory: what `run` writes to `out`, which is not asked for here. Model
    and prior are `kept`, if at all, from one call to the next."""
    found, device = _checked(options, written=False), pick_device(options.device)
    model = kept_or_read(kept, found.model, str(device), lambda: decoding.load(found.method, found.model, device))
    draw = _drawn(found, model, options, device, lambda step, of: None, kept)
    parts = list(batched(found.numbers, options.batch))
    for numbers in track(parts, len(parts), "batches of scenes", progress):
        yield from decoding.scenes_of(found.method, model, draw(numbers), found.decoding)


def _drawn(
    found: _Checked, model: Any, options: Options, device: torch.device, tell: Tell, kept: Kept | None = None
) -> Draw:
    """Numbers of samples => their latents, by the prior, or by the model itself; and the camera that each is baked at."""
    conditions = _conditions(found, options)

    def seen(numbers: Sequence[int]) -> Tensor | None:
        return None if conditions is None else conditions(numbers).to(device)

    if found.prior is None:
        return lambda numbers: decoding.draw(found.method, model, numbers, options.seed, found.sampling, seen(numbers))
    kind, head = prior(str(found.prior.config["kind"])), found.prior
    loaded = kept_or_read(
        kept, head, str(device), lambda: kind.load(artifacts.read(head.path, "prior", role="the prior"), device)
    )
    loaded = loaded if kind.watched is None else kind.watched(loaded, tell)
    order = {number: place for place, number in enumerate(found.numbers)}

    def by_prior(numbers: Sequence[int]) -> Latents:
        asked = found.classes
        of_each = None if asked is None else [asked[order[number] % len(asked)] for number in numbers]
        return replace(
            kind.sample(loaded, numbers, options.seed, found.sampling, of_each), condition_camera=seen(numbers)
        )

    return by_prior


def _write(options: Options, found: _Checked, kept: dict[int, Latents]) -> None:
    """The latents of all processes, in order, written by the first."""
    assert options.latents is not None
    sizes = [len(part) for part in batched(found.numbers, options.batch)]
    whole = latents.gathered(_space(found), kept, sizes)
    if distributed.rank() == 0:
        names = [f"{number:06d}" for number in found.numbers]
        named = {latents.CLASS_NAMES: list(found.class_names)} if found.class_names else {}
        whole = replace(whole, names=names, about={"method": found.method.name, **named})
        if options.overwrite or not options.latents.exists():
            latents.write(options.latents, whole, seed=options.seed, parents=found.parents)
        elif not latents.same(latents.read(latents.check(options.latents)), whole):  # of a killed run they are the same
            files.refuse_existing(options.latents, False)


def _space(found: _Checked) -> latents.LatentSpace:
    """Of the latents that are drawn: the model's, but where a method draws others."""
    drawing = found.method.draw
    if found.prior is not None or drawing is None or drawing.space is None:
        return latents.space_of(found.model)
    return drawing.space(model_settings(found.method, found.model), found.sampling)


def _conditions(found: _Checked, options: Options) -> Callable[[Sequence[int]], Tensor] | None:
    """For a method whose scenes depend on a camera: the camera that scene i is drawn by, where `--cameras` has one for each;
    else, as for all of an orbit, the model's default."""
    if found.method.condition is None:
        return None
    plan = CameraPlan(options.drawing.cameras, options.drawing.seed, options.drawing.size)
    if not _one_each(plan):
        return None
    world = World.from_json(found.model.config["world"], str(found.model.path))
    return lambda part: torch.cat([camera_conditioning(plan.for_world(world, number, None)) for number in part])


def _one_each(plan: CameraPlan) -> bool:
    """Whether each scene has one camera, as pictures of training have (none of those was taken from afar)."""
    return plan.one_view(None) and plan.kind != "far"


def _checked(options: Options, written: bool = True) -> _Checked:
    """What the options stand for; `written`: that there is something to write, and can be."""
    head = artifacts.check(files.inside(options.model, "model.safetensors"), "model", role="the model")
    found = method(str(head.config["method"]))
    _check_cameras(options, found)
    prior_head = None
    if options.prior is not None:
        prior_head = artifacts.check(files.inside(options.prior, "prior.safetensors"), "prior", role="the prior")
        latents.check_same(head, latents.space_of(prior_head), prior_head.path, "the prior")
    elif found.draw is None:
        raise G3dError(
            f"the method {found.name} draws its latents from a prior; fit one with g3d fit-prior, give --prior"
        )
    kind: Prior[Any, Any] | None = prior(str(prior_head.config["kind"])) if prior_head else None
    ours, theirs = _split_settings(found, options.settings)
    if kind is not None:
        sampling = config.override(kind.sample_settings(), theirs, f"the {kind.kind} prior")
    else:
        assert found.draw is not None
        sampling = config.override(found.draw.settings(), theirs, f"sampling from {found.name}")
    check_batch(options.batch)
    names = [] if prior_head is None else classes.recorded(prior_head)
    return _Checked(
        head, found, prior_head, _numbers(options), _classes(options, kind, prior_head, names), names,
        _target(options, head, prior_head, written), sampling, config.override(found.decode_settings(), ours, found.name),
    )  # fmt: skip


def _check_cameras(options: Options, found: Method[Any, Any]) -> None:
    """Cameras that nothing is drawn by mean something only where scenes are baked at one."""
    if options.images is not None or options.drawing.cameras == "default":
        return
    if found.condition is None:
        raise G3dError("--cameras says how pictures are drawn, but none are; add --render FOLDER")
    if not _one_each(CameraPlan(options.drawing.cameras, options.drawing.seed, options.drawing.size)):
        raise G3dError(
            f"'{options.drawing.cameras}' gives no scene a camera of its own to be baked at; use prior or dataset:DIR, or "
            "add --render FOLDER"
        )


def _target(options: Options, head: artifacts.Header, prior_head: artifacts.Header | None, written: bool) -> Target:
    inputs = (head.path, *([prior_head.path] if prior_head else []))
    target = Target(options.out, options.images, options.drawing, options.overwrite, inputs, options.seed)
    if options.latents is not None:
        mine = _of_killed(options, head, prior_head)
        files.refuse_existing(
            options.latents, options.overwrite or mine, (*inputs, *inputs_of(options.drawing.cameras))
        )
        files.refuse_overlap([options.latents, *(p for p in (options.out, options.images) if p is not None)])
    if written and (options.latents is None or target.wanted):
        target.check()
    return target


def _of_killed(options: Options, head: artifacts.Header, prior_head: artifacts.Header | None) -> bool:
    """Whether the latents that are there can be those of a run of the same command that a kill has ended between them and its
    folders: of these models and this seed, and the folders are not there."""
    places = [place for place in (options.out, options.images) if place is not None]
    if options.latents is None or not options.latents.is_file() or not places or any(p.exists() for p in places):
        return False
    try:
        there = artifacts.check(options.latents, "latents")
    except G3dError:
        return False
    wanted = {"model": head.digest, **({"prior": prior_head.digest} if prior_head else {})}
    return there.parents == wanted and there.seed == options.seed


def _numbers(options: Options) -> Sequence[int]:
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
    return range(options.num)


def _classes(
    options: Options, kind: Prior[Any, Any] | None, prior_head: artifacts.Header | None, names: Sequence[str]
) -> Sequence[int] | None:
    """The classes asked for, all of them known to the prior."""
    if options.classes is None:
        return None
    count = kind.classes(prior_head) if kind is not None and kind.classes is not None and prior_head is not None else 0
    if not count:
        what = "a model without a prior" if prior_head is None else f"the prior '{prior_head.path}'"
        raise G3dError(f"{what} knows no classes; leave --class {options.classes} out")
    return classes.numbers(options.classes, count, names)


def _split_settings(found: Method[Any, Any], pairs: Sequence[str]) -> tuple[list[str], list[str]]:
    """`--set` pairs of the method's decoding, and those of sampling (which also answers for unknown ones)."""
    ours = {f.name for f in fields(found.decode_settings)}
    first = [p for p in pairs if p.partition("=")[0].strip() in ours]
    return first, [p for p in pairs if p not in first]
