"""How the pictures of a generator compare with training pictures, while it trains: a named stand-in for FID, recall, solidity.

The features are those of EfficientNet (`kernel_efficientnet` leads: so few pictures have no covariance), which knows pictures
and comes with the installation, and beside them the fixed random ones (`frechet_random`), which cost nothing and stand where its
package is missing. Never FID. Precision and recall are by the former where it is there. They order the steps of one run, and runs
of equal counts; `eval-fid` gives the real figures.

Letters: n pictures.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from g3d.data.columns import SPLITS
from g3d.data.dataset import Dataset
from g3d.errors import G3dError, Missing
from g3d.evaluation.efficientnet import efficientnet_extractor
from g3d.evaluation.features import Extractor, full_precision, random_extractor
from g3d.evaluation.set_figures import name_of
from g3d.images import U8, sheet, to_u8
from g3d.metrics.frechet import frechet_distance, moments
from g3d.metrics.geometry import cloud, haze
from g3d.metrics.kid import squared_mmd
from g3d.metrics.neighbours import K_PRECISION_RECALL as K
from g3d.progress import SILENT, Progress
from g3d.render import render_scene
from g3d.scenes.scene import Scene, tensors_of
from g3d.seeds import rng

_SHOWN, _ROWS, _BATCH = 8, 4, 16
DRAWN_BY = "new camera"  # the stream of the cameras
_REAL: dict[
    str, Tensor
] = {}  # features of the training views of this process's run, which all its checkpoints are held against


@dataclass(frozen=True)
class Generation:
    """Figures, and rows of pictures: real ones, then generated ones."""

    figures: dict[str, Any]
    rows: list[list[U8]]

    def sheet(self) -> U8:
        """The rows as one picture."""
        return sheet(self.rows)


def generation(
    scenes: Callable[[Sequence[int]], Sequence[Scene]],
    dataset: Dataset,
    seed: int,
    most: int,
    progress: Progress = SILENT,
) -> Generation:
    """Figures of samples 0 to n - 1, one view each from the model's own cameras, beside as many training views, drawn by
    seed; n is `most`, or fewer where there are fewer views."""
    views = (dataset.view_split == SPLITS.index("train")).nonzero().squeeze(1)
    picked = views[torch.randperm(len(views), generator=rng(seed, 0, "metric views"))[:most].sort().values]
    real = dataset.pictures(picked)
    fake, alpha, device = _drawn(scenes, len(picked), real.shape[1:3], seed, progress)
    found: dict[str, Any] = {}
    if len(picked) < 2:
        progress.log("note: one picture is no set to compare with, so distances, precision and recall are left out")
    for extractor in _extractors(device, progress) if len(picked) > 1 else []:
        key = f"{dataset.digest} {seed} {len(picked)} {extractor.sha256}"
        if key not in _REAL:
            _REAL[key] = _features(real, extractor)
        a, b = _REAL[key], _features(fake, extractor)
        found |= _distances(a, b, extractor)
        if len(picked) > K and "precision" not in found:
            found |= {"precision": covered(b, a), "recall": covered(a, b)}
    found |= solidity(fake, alpha, np.array(dataset.info["background"]))
    shown = [list(side[: _SHOWN * rows]) for side, rows in ((real, 1), (fake, _ROWS - 1))]
    rows = [side[i : i + _SHOWN] for side in shown for i in range(0, len(side), _SHOWN)]
    return Generation({**found, "generated_views": len(picked)}, rows)


def _extractors(device: torch.device, progress: Progress) -> list[Extractor]:
    """The one that knows pictures, where it can be had, and the random one."""
    try:
        return [efficientnet_extractor(device), random_extractor()]
    except Missing as error:
        progress.log(f"note: the run is measured by random features, which know no pictures ({error})")
        return [random_extractor()]


def _distances(real: Tensor, fake: Tensor, extractor: Extractor) -> dict[str, float]:
    """The figures of features [n, D] under their names, the leading one first."""
    found = {}
    if extractor.kernel_below:
        found[name_of("kid", extractor)] = round(squared_mmd(real.double(), fake.double()), 6)
    return found | {extractor.metric: round(frechet_distance(moments(real.numpy()), moments(fake.numpy())), 4)}


def covered(points: Tensor, centres: Tensor) -> float:
    """Share of points [n, D] that lie in the ball of some centre [m, D], as wide as its third neighbour is far (Kynkäänniemi
    et al. 2019): precision is that of fakes among reals, recall that of reals among fakes. For few points, in one process."""
    own = torch.cdist(centres.double(), centres.double())
    radius = own.fill_diagonal_(torch.inf).sort(dim=1).values[:, K - 1]
    return round(float((torch.cdist(points.double(), centres.double()) <= radius).any(dim=1).double().mean()), 4)


def _features(pictures: U8, extractor: Extractor) -> Tensor:
    """[n, D] of pictures [n, H, W, 3]. Only one process evaluates a run, so the work is not shared out."""
    with torch.inference_mode(), full_precision():
        parts = [pictures[i : i + 64] for i in range(0, len(pictures), 64)]
        return torch.cat([extractor.embed([extractor.prepare(p) for p in part]).cpu() for part in parts])


def solidity(pictures: U8, alpha: U8, background: Any) -> dict[str, Any]:
    """Share of cloudy rays among those of objects, coverage, and halo, of pictures [n, H, W, 3] with alpha [n, H, W]."""
    clouds = [cloud(one) for one in alpha]
    rays = sum(c.object_rays for c in clouds)
    colour = (np.asarray(background) * 255).round().astype(np.uint8)
    halos = [h for h in (haze(p, a, colour) for p, a in zip(pictures, alpha, strict=True)) if h is not None]
    return {
        "cloudy_share": round(sum(c.cloudy for c in clouds) / rays, 4) if rays else None,
        "object_share": round(rays / alpha.size, 4), "halo": round(float(np.mean(halos)), 5) if halos else None,
    }  # fmt: skip


def _drawn(
    scenes: Callable[[Sequence[int]], Sequence[Scene]], count: int, size: tuple[int, ...], seed: int, progress: Progress
) -> tuple[U8, U8, torch.device]:
    """Pictures [n, H, W, 3] and alpha [n, H, W] of samples, each from its own camera of the prior; and where they were drawn."""
    rgb, alpha = [], []
    device = torch.device("cpu")
    progress.start("generated views", count)
    for start in range(0, count, _BATCH):
        numbers = range(start, min(start + _BATCH, count))
        batch = scenes(numbers)
        prior = batch[0].world.camera_prior
        if prior is None:
            raise G3dError("the model records no cameras, so its pictures cannot be drawn; fit it again")
        cameras = prior.sample(seed, numbers, DRAWN_BY).resized(size[1], size[0])
        for place, scene in enumerate(batch):
            device = next(iter(tensors_of(scene).values())).device
            seen = render_scene(scene, cameras[place].to(device))
            rgb.append(seen.rgb[0].cpu().numpy())
            alpha.append(seen.alpha[0].cpu().numpy())
        progress.update(numbers.stop, count)
    return to_u8(np.stack(rgb)), to_u8(np.stack(alpha)), device
