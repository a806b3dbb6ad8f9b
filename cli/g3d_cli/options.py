"""Options that several commands share: the same word means the same everywhere."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from g3d.errors import G3dError

from g3d_cli import choices

Out = Annotated[Path, typer.Option("--out", help="What to write.", show_default=False)]
MaybeOut = Annotated[Path | None, typer.Option("--out", help="Folder of scenes to write.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run that is in --out.")]
AllowChange = Annotated[
    bool, typer.Option("--allow-change", help="Let --resume go on with other settings; says which.")
]
CheckpointEvery = Annotated[
    int,
    typer.Option("--checkpoint-every", help="Steps between checkpoints: evaluated, the best in OUT/best; 0 for none."),
]
Keep = Annotated[int, typer.Option("--keep", help="Keep the last N checkpoints in OUT/checkpoints, too.")]
SaveEvery = Annotated[
    float, typer.Option("--save-every", help="Seconds between saves of the state for --resume; 0: at every step.")
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything random; the same seed gives the same bytes.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
Batch = Annotated[
    int, typer.Option("--batch", help="Scenes made at once: memory against speed; numbers change by rounding alone.")
]
Backend = Annotated[
    str, typer.Option("--backend", help="What draws 3D Gaussians: auto, cpu, gpu (Triton), gsplat, reference.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of lines.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the resolved settings and stop.")]
Preset = Annotated[
    str | None,
    typer.Option("--preset", help="Start from a preset of the method.", autocompletion=choices.presets_of_method),
]
Set = Annotated[list[str] | None, typer.Option("--set", help="Override a setting, key=value; may be repeated.")]

AnyCamera = Annotated[
    bool, typer.Option("--any-camera", help="Pairs may differ in their cameras: scenes drawn by one of their own.")
]
DrawnFrom = Annotated[
    Path | None,
    typer.Option(
        "--drawn-from",
        help="Latents that were drawn: their names say which objects of the dataset the drawn folders show.",
    ),
]
Inputs = Annotated[
    bool, typer.Option("--inputs", help="Only the views that the latents of --drawn-from were found from.")
]
RenderInto = Annotated[
    Path | None, typer.Option("--render", help="Folder of pictures to draw, without keeping scenes.")
]
RenderSet = Annotated[list[str] | None, typer.Option("--render-set", help="As --set of render, for --render.")]
CamerasOption = Annotated[
    str,
    typer.Option(
        "--cameras",
        help="default, orbit[:N], spiral[:N], grid[:RxC], far[:X], disc:R[:N], ring:R[:N] (R: world units), prior, "
        "dataset:DIR[:SPLIT], file:JSON, path:JSON[:N] (key frames).",
    ),
]
Size = Annotated[
    int | None, typer.Option("--size", help="Width in pixels; default: the camera's own.", min=1, max=8192)
]
Masks = Annotated[bool, typer.Option("--alpha", help="Write coverage as masks/*.png, too.")]
Depth = Annotated[bool, typer.Option("--depth", help="Write depth as 16-bit depth/*.png, too.")]
DepthKind = Annotated[
    str | None,
    typer.Option(
        "--depth-kind",
        help="What --depth is where a ray has several: expected (their mean; default) or max_weight (the heaviest interval's).",
        show_default=False,
    ),
]
Disparity = Annotated[
    bool, typer.Option("--disparity", help="Write sums of inverse depth as disparity/*.safetensors, too.")
]
Video = Annotated[Path | None, typer.Option("--video", help="Write the views as a video (.mp4), too.")]
Sheet = Annotated[Path | None, typer.Option("--sheet", help="Write a contact sheet (.png), too.")]
Fps = Annotated[
    float | None,
    typer.Option("--fps", help="Frames a second of --video; default 24.", min=0.1, max=240, show_default=False),
]

Compile = Annotated[bool, typer.Option("--compile", help="Short for --set compile=true: slower to start, then faster.")]


def with_flags(settings: list[str] | None, compile: bool) -> tuple[str, ...]:
    """The pairs of `--set`, with those that have an option of their own. A method without the setting refuses it."""
    return (*(settings or ()), *(["compile=true"] if compile else []))


_FITTING: dict[str, tuple[Any, Any]] = {
    "settings": (Set, None), "compile": (Compile, False), "seed": (Seed, 0), "device": (Device, "auto"),
    "checkpoint_every": (CheckpointEvery, 0), "keep": (Keep, 0), "save_every": (SaveEvery, 60.0), "resume": (Resume, False),
    "allow_change": (AllowChange, False), "overwrite": (Overwrite, False), "as_json": (Json, False), "dry_run": (DryRun, False),
}  # fmt: skip
"""What every command that fits something takes behind its own options => how it is parsed, its default."""


@dataclass(frozen=True)
class Fitted:
    """The values of these: those of the step, and the two that are the command's own."""

    options: dict[str, Any]
    as_json: bool
    dry_run: bool


def fits(command: Callable[..., None]) -> Callable[..., None]:
    """The command, whose last argument is a `Fitted`, with the options of a fit in its place."""
    own = list(inspect.signature(command).parameters.values())[:-1]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=parsed, default=default)
        for name, (parsed, default) in _FITTING.items()
    ]

    def fitting(**words: Any) -> None:
        given = {name: words.pop(name) for name in _FITTING}
        how = {"as_json": given.pop("as_json"), "dry_run": given.pop("dry_run")}
        given["settings"] = with_flags(given["settings"], given.pop("compile"))
        given["save_every_s"] = given.pop("save_every")
        command(**words, fitted=Fitted(given, **how))

    fitting.__name__, fitting.__doc__ = command.__name__, command.__doc__
    fitting.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]
    return fitting


def with_short(settings: list[str] | None, **short: float | None) -> tuple[str, ...]:
    """The pairs of `--set`, with those that were given by options of their own. What has no such setting refuses it."""
    return (*(settings or ()), *(f"{name}={value}" for name, value in short.items() if value is not None))


_DEFAULTS: dict[str, Any] = {
    "cameras": "default", "size": None, "settings": (), "masks": False, "depth": False, "video": None, "sheet": None,
    "fps": None, "depth_kind": None, "disparity": False,
}  # fmt: skip
_WORDS = {"settings": "--render-set", "masks": "--alpha", "depth_kind": "--depth-kind"}


def drawing(*, into: Path | bool | None = True, pairs: bool = False, **values: Any) -> dict[str, Any]:
    """The options of a drawing. Where nothing is drawn (`into` is None), one that was given is refused, not ignored; with `pairs`
    the cameras may still mean something, which the step knows."""
    values = {"depth_kind": None, **values, "settings": tuple(values["settings"] or ())}
    if into is None:
        given = [
            _WORDS.get(name, f"--{name}")
            for name, default in _DEFAULTS.items()
            if values[name] != default and not (pairs and name == "cameras")
        ]
        if given:
            raise G3dError(f"{given[0]} says how pictures are drawn, but none are; add --render FOLDER")
    if values["fps"] is not None and values["video"] is None:
        raise G3dError("--fps is the speed of a video, but there is none; add --video FILE.mp4")
    if values["depth_kind"] is not None and not values["depth"]:
        raise G3dError("--depth-kind says which depth is written, but none is; add --depth")
    return {**values, "fps": values["fps"] or 24.0, "depth_kind": values["depth_kind"] or "expected"}
