"""`fit-prior`: fit a prior of some kind to latents."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from g3d import config, distributed, latents
from g3d.device import pick_device
from g3d.errors import G3dError
from g3d.priors import Prior, classes, prior
from g3d.progress import SILENT, Progress
from g3d.storage import artifacts, files
from g3d.training import folder as folders
from g3d.training import run as runs


@dataclass(frozen=True)
class Options:
    """Latents (a file, or a run that has some; `more` are fitted with them), the kind of prior, its settings over a preset."""

    latents: Path
    out: Path
    kind: str = "diffusion"
    settings: Sequence[str] = ()
    seed: int = 0
    device: str = "auto"
    resume: bool = False
    allow_change: bool = False
    overwrite: bool = False
    checkpoint_every: int = 0
    keep: int = 0
    save_every_s: float = runs.SAVE_EVERY_S
    preset: str | None = None
    more: Sequence[Path] = ()


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used."""
    heads, _, settings = _checked(options)
    return {
        "kind": options.kind, "preset": options.preset, "settings": config.as_json(settings),
        "latents": [str(head.path) for head in heads], "space": heads[0].space.name,
        "out": str(options.out), "seed": options.seed, "device": str(pick_device(options.device)),
    }  # fmt: skip


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Fit; writes `prior.safetensors` into the run folder, and what its kind measures into `metrics.json`."""
    heads, kind, settings = _checked(options)
    found, device = latents.join([latents.read(head) for head in heads]), pick_device(options.device)
    names = _class_names(heads)
    found = replace(found, about={**found.about, **({latents.CLASS_NAMES: names} if names else {})})
    parents = {f"latents {i}" if i > 1 else "latents": head.digest for i, head in enumerate(heads, 1)}
    identity = {"kind": options.kind, "settings": config.as_json(settings), "parents": parents}
    how = runs.Start(
        options.seed, device, options.resume, options.overwrite, options.allow_change, None, options.save_every_s,
        config.before(settings),
    )  # fmt: skip
    kept = runs.Checkpoints(options.checkpoint_every, options.keep, kind.best_by)
    made = options.out / "prior.safetensors"

    def evaluate(current: runs.Run, step: int) -> dict[str, Any]:
        return dict(artifacts.check(made, "prior").config.get("figures", {}))

    with distributed.processes(device), runs.start(options.out, identity, how, progress, kept, evaluate) as current:
        kind.fit(settings, found, current)
        if current.writes:
            files.refuse_unwritten(made, f"the prior {kind.kind}")
        figures = evaluate(current, 0) if current.writes else {}
        seconds = round(current.seconds(), 1)
        if figures:
            figures = {"seconds": seconds, "peak_memory_mb": round(runs.peak_memory_mb(), 1), **figures}
            files.write_json(options.out / "metrics.json", figures)
            progress.log("  ".join(f"{k} {v}" for k, v in figures.items()))
    written = [made, *([options.out / "metrics.json"] if figures else [])]
    return {"written": [str(path) for path in written], "seconds": seconds, **figures}


def _checked(options: Options) -> tuple[list[latents.Head], Prior[Any, Any], Any]:
    """The headers of the latents, the prior, its settings; refuses what cannot be fitted."""
    kind = prior(options.kind)
    if options.preset is not None and not kind.presets:
        raise G3dError(f"the prior {options.kind} has no presets; leave --preset {options.preset} out")
    heads = [latents.check(path) for path in (options.latents, *options.more)]
    settings = config.override(_start(kind, options.preset, heads), options.settings, options.kind)
    head = heads[0]
    _check_alike(heads)
    why = kind.refuses(head.space)
    if why:
        raise G3dError(
            f"'{head.path}' holds {why}, which the prior {options.kind} cannot be fitted to; use another --kind"
        )
    runs.check_times(options.checkpoint_every, options.keep, options.save_every_s)
    folders.check_folder(options.out, options.resume, options.overwrite, tuple(one.path for one in heads))
    if options.allow_change and not options.resume:
        raise G3dError("--allow-change belongs to --resume; give both, or neither")
    return heads, kind, settings


def _start(kind: Prior[Any, Any], preset: str | None, heads: Sequence[latents.Head]) -> Any:
    """What --set changes: a preset, or what suits the latents."""
    if preset is not None:
        return config.preset(kind.presets, preset, kind.kind)
    return kind.config() if kind.suited is None else kind.suited(heads[0].space, sum(len(head.names) for head in heads))


def _check_alike(heads: Sequence[latents.Head]) -> None:
    """Refuse files of several spaces, of which one has classes or splits and another none, or one file twice."""
    first, *others = heads
    for other in others:
        if other.space != first.space:
            raise G3dError(
                f"'{other.path}' lives in {other.space}, '{first.path}' in {first.space}; fit a prior to latents of one model"
            )
        odd = sorted((first.has ^ other.has) - {"condition_camera"})
        if odd:
            having, lacking = (first, other) if odd[0] in first.has else (other, first)
            raise G3dError(
                f"'{having.path}' says the {odd[0]} of its items, '{lacking.path}' does not; encode both from data that does"
            )
    _class_names(heads)
    digests = [head.digest for head in heads]
    twice = next((head for head in heads if digests.count(head.digest) > 1), None)
    if twice is not None:
        raise G3dError(f"the latents '{twice.path}' are given twice; give them once")


def _class_names(heads: Sequence[latents.Head]) -> list[str]:
    """Those of the first file that records some; one that records others is refused: its numbers mean other classes."""
    first: tuple[Path, list[str]] | None = None
    for head in heads:
        names = classes.recorded(artifacts.check(head.path, "latents", role="the latents"))
        if first is not None and names and names != first[1]:
            raise G3dError(
                f"'{head.path}' names its classes otherwise than '{first[0]}'; encode both from data of the same classes"
            )
        first = first or ((head.path, names) if names else None)
    return first[1] if first else []
