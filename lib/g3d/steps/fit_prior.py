"""`fit-prior`: fit a prior of some kind to latents."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from g3d import config, device, distributed
from g3d.errors import G3dError
from g3d.priors import prior
from g3d.progress import SILENT, Progress
from g3d.storage import artifacts, files
from g3d.training import folder as folders
from g3d.training import run as runs


@dataclass(frozen=True)
class Options:
    """Latents (a file, or a run that has some), the kind of prior, its settings."""

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


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used."""
    settings = config.override(prior(options.kind).Config(), options.settings, options.kind)
    source = files.inside(options.latents, "latents.safetensors")
    head = artifacts.check(source, "latents", role="the latents")
    _check(options, source)
    return {
        "kind": options.kind, "settings": config.as_json(settings), "latents": str(source), "space": head.config["space"],
        "out": str(options.out), "seed": options.seed, "device": str(device.pick(options.device)),
    }  # fmt: skip


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Fit; writes `prior.safetensors` into the run folder."""
    module = prior(options.kind)
    settings = config.override(module.Config(), options.settings, options.kind)
    source = files.inside(options.latents, "latents.safetensors")
    latents = artifacts.read(source, "latents", role="the latents")
    _check(options, source)
    if "codes" not in latents.values:
        raise G3dError(f"'{source}' holds no continuous codes, which a {options.kind} prior needs; use another kind")
    codes = latents.values["codes"].float().flatten(1)
    if not torch.isfinite(codes).all():
        raise G3dError(f"'{source}' holds codes that are not finite; fit the model again")
    where = device.pick(options.device)
    space = {"space": latents.config["space"], "shape": list(latents.values["codes"].shape[1:])}
    identity = {
        "kind": options.kind, "settings": config.as_json(settings), "parents": {"latents": latents.digest},
    }  # fmt: skip
    how = runs.Start(
        options.seed, where, options.resume, options.overwrite, options.allow_change, None, options.save_every_s
    )
    kept = runs.Checkpoints(options.checkpoint_every, options.keep)
    with distributed.processes(where), runs.start(options.out, identity, how, progress, kept) as current:
        module.fit(settings, codes, current, {"latent_space": space})
    return {"written": [str(options.out / "prior.safetensors")], "seconds": round(current.seconds(), 1)}


def _check(options: Options, source: Path) -> None:
    runs.check_times(options.checkpoint_every, options.keep, options.save_every_s)
    folders.check_folder(options.out, options.resume, options.overwrite, (source,))
    if options.allow_change and not options.resume:
        raise G3dError("--allow-change belongs to --resume; give both, or neither")
