"""`eval-consistency`: whether the views of scenes agree: a surface is fitted to some of them and judged on the others.

As GRAM-HD, Mimic3D and GSGAN (table 2) do with NeuS; figures of other surfaces are not comparable, so the name says which. Those
papers judge the views that were fitted, within a mask of the face: here the figures that begin with `fitted_`, with a folder of
masks by a network of your own; the others are of views that the surface never saw.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from g3d.errors import G3dError, existing
from g3d.progress import SILENT, Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from g3d.scenes.scene import Scene

MASKS = ("none", "object")
JUDGED = "psnr_db and ssim: held-out views; fitted_psnr_db and fitted_ssim: of the fitted views (GSGAN's table 2)"
SURFACE = "VolSDF on grids, no view direction"


@dataclass(frozen=True)
class Options:
    """Scenes, cameras as for `render`, every how manieth view is held out, the side of the pictures in pixels.

    `mask`: `object` judges only pixels that the scene covers by more than a half; a folder holds masks of the same views, white
    where pixels are judged (SCENE/NNNNNN.png, or NNNNNN.png of one scene). Gaussians of a background are left out."""

    scenes: Path
    num: int | None = None
    cameras: str = "spiral:40"
    hold_out: int = 5
    size: int | None = None
    steps: int = 500
    mask: str = "none"
    seed: int = 0
    per_item: Path | None = None
    out: Path | None = None
    overwrite: bool = False


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used. Raises `G3dError` for what can be refused before anything is drawn."""
    from g3d.drawing.camera_plan import CameraPlan, inputs_of
    from g3d.evaluation.outcome import check_outputs, check_words

    existing(options.scenes, "the scenes")
    if not Path(options.mask).is_dir():
        check_words({"--mask": (options.mask, MASKS)})
    for name, value, least in (
        ("--hold-out", options.hold_out, 2),
        ("--steps", options.steps, 1),
        ("--num", 1 if options.num is None else options.num, 1),
    ):
        if value < least:
            raise G3dError(f"{name} is {value}; it must be at least {least}")
    plan = CameraPlan(options.cameras, options.seed, options.size)
    if plan.views is not None and plan.views < options.hold_out:
        raise G3dError(
            f"'{options.cameras}' has {plan.views} views, of which every {options.hold_out}th is held out; use more views, e.g. "
            "--cameras spiral:40"
        )
    inputs = (options.scenes, *inputs_of(options.cameras), *(() if options.mask in MASKS else (Path(options.mask),)))
    check_outputs({"--out": options.out, "--per-item": options.per_item}, options.overwrite, inputs)
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(options).items()}


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """PSNR and SSIM of the held-out views, mean over scenes, and of the views that were fitted."""
    resolve(options)
    from g3d.evaluation.outcome import write_results
    from g3d.scenes.scene_file import load_scene, scene_files
    from g3d.storage import artifacts

    files = scene_files(options.scenes)[: options.num]
    found_of = {}
    progress.start("scenes", len(files))
    for number, file in enumerate(files):
        item = artifacts.header(file).config.get("item")
        found_of[file.stem] = _judged(load_scene(file), number, item, options, _masks(options, file, len(files)))
        progress.update(number + 1, len(files))
    rows = list(found_of.values())
    figures: dict[str, Any] = {name: round(sum(row[name] for row in rows) / len(rows), 4) for name in rows[0]}
    found = {
        **figures, "scenes": len(rows), "surface": SURFACE, "steps": options.steps, "cameras": options.cameras,
        "hold_out": options.hold_out, "judged": JUDGED, "mask": options.mask, "seed": options.seed,
    }  # fmt: skip
    lines = [{"scene": name, **row} for name, row in found_of.items()]
    return write_results(found, lines, options.out, options.per_item)


def _masks(options: Options, scene: Path, scenes: int) -> Path | None:
    """The folder with the masks of a scene."""
    if options.mask in MASKS:
        return None
    folder = Path(options.mask) / scene.stem
    return Path(options.mask) if scenes == 1 and not folder.is_dir() else folder


def _mask(place: Path, shape: tuple[int, int]) -> "NDArray[np.bool_]":
    """Where a view [H, W] is judged."""
    from g3d.images import read_grey

    found = read_grey(place)
    if found.shape != shape:
        raise G3dError(
            f"the mask '{place}' has {found.shape[1]} x {found.shape[0]} pixels, the view {shape[1]} x {shape[0]}; draw both "
            "with the same --cameras and --size"
        )
    return found > (127 if found.dtype.itemsize == 1 else 32767)


def _judged(scene: "Scene", number: int, item: str | None, options: Options, masks: Path | None) -> dict[str, float]:
    """Figures of one scene."""
    import numpy as np
    import torch

    from g3d.drawing.camera_plan import CameraPlan
    from g3d.evaluation.surface import Fitting, fit_surface
    from g3d.images import to_u8
    from g3d.metrics.paired import compare
    from g3d.render import render_scene

    settings = front_settings(scene)
    cameras = CameraPlan(options.cameras, options.seed, options.size).for_world(scene.world, number, item)
    if len(cameras) < options.hold_out:
        raise G3dError(
            f"'{options.cameras}' has {len(cameras)} views of a scene, every {options.hold_out}th of them held out; use more"
        )
    drawn, as_drawn = render_scene(scene, cameras, settings), scene.world.seen_by(cameras)
    background = torch.tensor(settings.background)
    held = torch.arange(len(cameras)) % options.hold_out == options.hold_out // 2
    seen = (~held).nonzero().squeeze(1)
    judged = {"": held.nonzero().squeeze(1).tolist(), "fitted_": seen[:: options.hold_out - 1].tolist()}
    mask_of: dict[int, NDArray[np.bool_]] = {}
    for view in (v for views in judged.values() for v in views):
        if masks is not None:  # before the fit, which takes minutes
            mask_of[view] = _mask(masks / f"{view:06d}.png", (int(drawn.rgb.shape[1]), int(drawn.rgb.shape[2])))
        elif options.mask == "object":
            mask_of[view] = (drawn.alpha[view] > 0.5).numpy()
    fitted = fit_surface(
        drawn.rgb[seen],
        as_drawn[seen],
        scene.world.bounds,
        background,
        Fitting(options.steps),
        options.seed,
    )
    found: dict[str, float] = {}
    for name, views in judged.items():
        psnr, ssim = [], []
        for view in views:
            mask = mask_of.get(view)
            if mask is not None and not mask.any():
                continue
            true, test = (to_u8(p.numpy()) for p in (drawn.rgb[view], fitted.view(as_drawn[view])))
            pair = compare(true, test, mask)
            psnr.append(min(pair["psnr_db"], 99.0))
            ssim.append(pair["ssim"])
        if not psnr:
            raise G3dError(
                f"with --mask {options.mask} there is nothing to judge in any view of a scene; use --mask none, or look at both"
            )
        found |= {f"{name}psnr_db": float(np.mean(psnr)), f"{name}ssim": float(np.mean(ssim))}
    return found


def front_settings(scene: "Scene") -> Any:
    """The scene's own settings without its background Gaussians. Raises `G3dError` for scenes that take no cameras."""
    from dataclasses import replace

    from g3d.render import ImageSettings, default_settings
    from g3d.render.gaussians import GaussianSettings

    settings = default_settings(scene)
    if isinstance(settings, ImageSettings):
        raise G3dError(
            "an image field has no views that could agree; give scenes of a radiance field or of 3D Gaussians"
        )
    return replace(settings, backdrop=False) if isinstance(settings, GaussianSettings) else settings
