"""`fit-stage1`: fit the first stage of a method to a dataset, and measure its reconstruction."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from g3d import artifacts, config, device, files
from g3d.dataset import Dataset, open_dataset
from g3d.images import to_u8
from g3d.methods import method, settings_of
from g3d.metrics.paired import psnr
from g3d.progress import SILENT, Progress
from g3d.render import render_scene
from g3d.scene import pick
from g3d.seeds import generator
from g3d.training import distributed
from g3d.training import run as runs

METRIC_VIEWS = 512  # of each split, drawn by seed where there are more


@dataclass(frozen=True)
class Options:
    """What to fit: a method, the dataset, and settings over a preset."""

    method: str
    data: Path
    out: Path
    preset: str | None = None
    settings: Sequence[str] = ()
    seed: int = 0
    device: str = "auto"
    resume: bool = False
    overwrite: bool = False


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used."""
    module = method(options.method)
    settings = settings_of(options.method, options.preset, options.settings)
    module.check(settings, open_dataset(options.data))
    runs.check_folder(options.out, options.resume, options.overwrite, (options.data,))
    return {
        "method": options.method, "preset": options.preset, "settings": config.as_json(settings),
        "meaning": {name: doc for name, _, doc in config.describe(settings)}, "data": str(options.data),
        "out": str(options.out), "seed": options.seed, "device": str(device.pick(options.device)),
    }  # fmt: skip


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Fit; writes the run folder and returns figures, PSNR of held-in views beside the mean image's among them."""
    module = method(options.method)
    settings = settings_of(options.method, options.preset, options.settings)
    dataset = open_dataset(options.data)
    module.check(settings, dataset)
    runs.check_folder(options.out, options.resume, options.overwrite, (options.data,))
    where = device.pick(options.device)
    identity = {
        "method": options.method, "settings": config.as_json(settings), "parents": {"dataset": dataset.digest},
    }  # fmt: skip
    with distributed.processes(where):
        current = runs.start(
            options.out, identity, seed=options.seed, device=where, progress=progress,
            resume=options.resume, overwrite=options.overwrite,
        )  # fmt: skip
        module.fit(settings, dataset, current)
        seconds = current.seconds()
        figures: dict[str, Any] = {"seconds": round(seconds, 1), "peak_memory_mb": round(runs.peak_memory_mb(), 1)}
        if distributed.rank() == 0:
            figures |= reconstruction(module, options.out, dataset, options.seed, where, progress)
            files.write_json(options.out / "metrics.json", figures)
    written = [str(options.out / name) for name in ("model.safetensors", "latents.safetensors", "metrics.json")]
    return {"written": [path for path in written if Path(path).is_file()], **figures}


def reconstruction(
    module: ModuleType, folder: Path, dataset: Dataset, seed: int, where: torch.device, progress: Progress
) -> dict[str, Any]:
    """PSNR of the training objects as the fitted latents decode, on their training and their test views."""
    if not (folder / "latents.safetensors").is_file() or dataset.cameras is None:
        return {}
    model = module.load(artifacts.read(folder / "model.safetensors", "model"), where)
    codes = artifacts.read(folder / "latents.safetensors", "latents").values["codes"].to(where)
    items = dataset.objects("train")
    figures: dict[str, Any] = {}
    for split, name in (("train", "psnr_db"), ("test", "psnr_test_views_db")):
        pairs = [(row, int(v)) for row, item in enumerate(items) for v in dataset.views(item, split)]
        if not pairs:
            continue
        order = torch.randperm(len(pairs), generator=generator(seed, 0, "metric views"))[:METRIC_VIEWS].sort().values
        chosen = [pairs[int(i)] for i in order]
        progress.start(f"reconstruction ({split} views)", len(chosen))
        drawn, done = [], 0
        for row in sorted({row for row, _ in chosen}):
            views = [v for r, v in chosen if r == row]
            scene = pick(module.decode(model, codes[row : row + 1]), 0)
            drawn.append(render_scene(scene, dataset.cameras[views].to(where)).rgb.cpu().numpy())
            done += len(views)
            progress.update(done, len(chosen))
        true = dataset.pictures([v for _, v in chosen])
        found = psnr(true, to_u8(np.concatenate(drawn)))
        figures |= {name: _db(found.mean_of_db), f"{name[:-3]}_of_mean_mse_db": _db(found.db_of_mean_mse)}
    figures["mean_image_psnr_db"] = dataset.info.get("mean_image_psnr_db")
    progress.log("  ".join(f"{k} {v}" for k, v in figures.items()))
    return figures


def _db(value: float) -> float | None:
    """For JSON, which has no infinity: None where a picture is exact."""
    return round(value, 3) if math.isfinite(value) else None
