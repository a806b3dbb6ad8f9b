"""How well a fitted first stage draws what it was fitted to, and what it never saw: views, pictures, or occupancy grids.

Letters: N items, n chosen views or items.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from g3d.data.dataset import Dataset, Item
from g3d.evaluation import disparity
from g3d.evaluation.generation import generation
from g3d.evaluation.shape_files import Lattice, field_grid
from g3d.images import U8, sheet, to_u8
from g3d.latents import Latents
from g3d.metrics.depth import min_max
from g3d.metrics.paired import psnr
from g3d.progress import SILENT, Progress
from g3d.render import render_image_field, render_scene, render_with_disparity
from g3d.scenes.scene import MlpField, Scene, Triplane, pick, tensors_of
from g3d.seeds import rng

NAMES = {"train": "psnr_db", "test": "psnr_test_views_db"}  # split of the views => name of the figure
HELD_OUT = "psnr_held_out_db"  # of pictures or grids of the objects of the split test
_OF_HELD_OUT = "_held_out"  # ends the names of their other figures
_SHOWN = 8  # pictures in a row of the sheet
_MOST_GRIDS = 64


@dataclass(frozen=True)
class Fitted:
    """Latents of some items of the dataset."""

    items: Sequence[Item]
    latents: Latents  # N
    held_out: bool = False  # the model was not fitted to these


@dataclass(frozen=True)
class Reconstruction:
    """Figures, and rows of pictures: true and drawn (and how near the drawn ones are), of each split."""

    figures: dict[str, Any]
    rows: list[list[U8]]

    def sheet(self) -> U8:
        """The rows as one picture."""
        return sheet(self.rows)


Decode = Callable[[Latents], Scene]  # N latents => a batch of N scenes


def reconstruct(
    decode: Decode, fitted: Fitted, dataset: Dataset, seed: int, most: int, progress: Progress = SILENT
) -> Reconstruction:
    """How near the scenes of `fitted` are to the dataset, on at most `most` views, pictures or solids, drawn by seed.

    Radiance: PSNR of views of each split; of held-out objects, of all their views; figures of a set where the data has no
    cameras. Items that are pictures: PSNR, by the scene's own camera, and figures of disparity if the data has inverse depth
    and the scene rays. Occupancy: MSE and PSNR over the cells of the grid,
    occupancy clamped to [0, 1]; the rows then hold drawn solids alone."""
    scene = decode(fitted.latents.pick([0]))
    if fitted.items[0].view is not None:
        return _pictures(decode, fitted, dataset, seed, most, progress)
    if isinstance(scene, MlpField) and scene.signal == "occupancy":
        return _solids(decode, fitted, dataset, seed, most, progress)
    if dataset.cameras is None:
        return _unposed(decode, fitted, dataset, seed, most, progress)
    return _views(decode, fitted, dataset, seed, most, progress)


def _unposed(
    decode: Decode, fitted: Fitted, dataset: Dataset, seed: int, most: int, progress: Progress
) -> Reconstruction:
    """Photographs, whose cameras nobody knows: no drawn view belongs to a picture. The scenes as the model's own cameras see
    them, one view each, are compared with training pictures as samples are."""
    name = HELD_OUT if fitted.held_out else NAMES["train"]
    progress.log(
        f"note: '{dataset.path}' has no cameras, so no view can be compared with its picture; {name} is left out"
    )

    def scenes(rows: Sequence[int]) -> list[Scene]:
        return [pick(decode(fitted.latents.pick([row])), 0) for row in rows]

    if fitted.held_out or scenes([0])[0].world.camera_prior is None:
        return Reconstruction({}, [])
    found = generation(scenes, dataset, seed, min(most, len(fitted.items)), progress)
    return Reconstruction(found.figures, found.rows)


def _views(
    decode: Decode, fitted: Fitted, dataset: Dataset, seed: int, most: int, progress: Progress
) -> Reconstruction:
    figures: dict[str, Any] = {}
    rows: list[list[U8]] = []
    for split, name in {None: HELD_OUT}.items() if fitted.held_out else NAMES.items():
        pairs = [(row, int(v)) for row, item in enumerate(fitted.items) for v in dataset.views(item.object, split)]
        if not pairs:
            continue
        chosen = [pairs[i] for i in _drawn_by_seed(len(pairs), seed, most)]
        true = dataset.pictures([v for _, v in chosen])
        drawn = _drawn(decode, fitted.latents, dataset, chosen, split or "held-out", progress)
        figures |= _psnr(name, true, drawn)
        rows += _rows(true, drawn)
    return Reconstruction(figures, rows)


def _pictures(
    decode: Decode, fitted: Fitted, dataset: Dataset, seed: int, most: int, progress: Progress
) -> Reconstruction:
    width, height = int(dataset.info["width"]), int(dataset.info["height"])
    chosen = _drawn_by_seed(len(fitted.items), seed, most)
    views = [fitted.items[i].number for i in chosen]
    true, drawn, near = dataset.pictures(views), [], []
    judged: list[dict[str, float]] = []
    progress.start("reconstruction (pictures)", len(chosen))
    for done, (row, view) in enumerate(zip(chosen, views, strict=True), 1):
        rgb, sums = _picture(decode(fitted.latents.pick([row])), width, height)
        drawn.append(rgb)
        if sums is not None and "inverse_depth" in dataset.stores:
            judged.append(disparity.figures(sums, dataset.inverse_depth(view), where=f"picture {view}"))
            near.append(min_max(sums.first.double().numpy()))
        progress.update(done, len(chosen))
    found = to_u8(np.stack(drawn))
    end = _OF_HELD_OUT if fitted.held_out else ""
    means = {f"{name}{end}": round(float(np.mean([one[name] for one in judged])), 4) for name in (judged or [{}])[0]}
    maps = [np.repeat(to_u8(np.stack(near))[..., None], 3, axis=3)] if near else []
    figures = _psnr(HELD_OUT if fitted.held_out else NAMES["train"], true, found) | means
    return Reconstruction(figures, _rows(true, found, *maps))


def _picture(scene: Scene, width: int, height: int) -> tuple[NDArray[np.float32], disparity.Sums | None]:
    """[H, W, 3] of a scene that stands for one picture: an image field, or what its default camera sees; sums of inverse depth
    where there are rays."""
    if isinstance(scene, MlpField) and scene.signal == "image":
        return render_image_field(scene, width, height).cpu().numpy(), None
    world = scene.world
    assert world.camera_prior is not None
    camera = world.camera_prior.default().resized(width, height).to(next(iter(tensors_of(scene).values())).device)
    radiance = isinstance(scene, Triplane) or (isinstance(scene, MlpField) and scene.signal == "radiance")
    if not radiance or world.near_world <= 0:
        return render_scene(scene, camera).rgb[0].cpu().numpy(), None
    view, sums = render_with_disparity(scene, camera)
    first, second, weight = (values[0].cpu() for values in (*sums, view.alpha))
    return view.rgb[0].cpu().numpy(), disparity.Sums(first, second, weight, world.near_world, world.far_world)


def _solids(
    decode: Decode, fitted: Fitted, dataset: Dataset, seed: int, most: int, progress: Progress
) -> Reconstruction:
    chosen = _drawn_by_seed(len(fitted.items), seed, min(most, _MOST_GRIDS))
    errors: list[float] = []
    row: list[U8] = []
    progress.start("reconstruction (solids)", len(chosen))
    for done, place in enumerate(chosen, 1):
        scene = decode(fitted.latents.pick([place]))
        assert isinstance(scene, MlpField)
        device = next(iter(tensors_of(scene).values())).device
        true = dataset.occupancy(fitted.items[place].object).astype(np.float32)
        found = field_grid(scene, Lattice(dataset.grid_bounds, len(true)), device).values
        errors.append(float(np.square(found - true).mean(dtype=np.float64)))
        if len(row) < _SHOWN and scene.world.camera_prior is not None:
            camera = scene.world.camera_prior.default().to(device)
            row.append(to_u8(render_scene(scene, camera).rgb[0].cpu().numpy()))
        progress.update(done, len(chosen))
    name = HELD_OUT if fitted.held_out else NAMES["train"]
    mse, each = float(np.mean(errors)), [-10 * math.log10(max(e, 1e-12)) for e in errors]
    figures = {
        name: db(float(np.mean(each))), f"{name[:-3]}_of_mean_mse_db": db(-10 * math.log10(max(mse, 1e-12))),
        f"{name[:-3].replace('psnr', 'mse')}": mse,
    }  # fmt: skip
    return Reconstruction(figures, [row] if row else [])


def _drawn_by_seed(count: int, seed: int, most: int) -> list[int]:
    order = torch.randperm(count, generator=rng(seed, 0, "metric views"))[:most].sort().values
    return [int(i) for i in order]


def _psnr(name: str, true: U8, drawn: U8) -> dict[str, Any]:
    found = psnr(true, drawn)
    return {name: db(found.mean_of_db), f"{name[:-3]}_of_mean_mse_db": db(found.db_of_mean_mse)}


def _rows(*sets: U8) -> list[list[U8]]:
    """The same places of each set [n, H, W, 3]."""
    shown = np.linspace(0, len(sets[0]) - 1, min(_SHOWN, len(sets[0]))).round().astype(int)
    return [[one[i] for i in shown] for one in sets]


def _drawn(
    decode: Decode,
    latents: Latents,
    dataset: Dataset,
    chosen: Sequence[tuple[int, int]],
    split: str,
    progress: Progress,
) -> U8:
    """The chosen (row of the latents, view) pairs as the model sees them, [n, H, W, 3]; `chosen` is in the order of rows."""
    assert dataset.cameras is not None
    progress.start(f"reconstruction ({split} views)", len(chosen))
    drawn: list[Any] = []
    for row in dict.fromkeys(row for row, _ in chosen):
        views = [v for r, v in chosen if r == row]
        scene = pick(decode(latents.pick([row])), 0)
        drawn += list(
            render_scene(scene, dataset.cameras[views].to(next(iter(tensors_of(scene).values())).device))
            .rgb.cpu()
            .numpy()
        )
        progress.update(len(drawn), len(chosen))
    return to_u8(np.stack(drawn))


def db(value: float) -> float | None:
    """For JSON, which has no infinity: None where a picture is exact."""
    return round(value, 3) if math.isfinite(value) else None
