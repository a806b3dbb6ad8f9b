"""`view`: scenes, a model that makes them, a PLY of splats, or pictures with their cameras, in a browser."""

import time
import webbrowser
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from g3d import config, images, latents
from g3d.cameras import from_transforms
from g3d.data.opening import open_dataset
from g3d.errors import G3dError, existing
from g3d.importers.splat_scene import gaussians_of
from g3d.importers.splats import read_splats
from g3d.latents import Latents
from g3d.methods import decoding, method
from g3d.priors import prior
from g3d.priors.classes import recorded
from g3d.progress import SILENT, Progress
from g3d.scenes.scene import Scene
from g3d.scenes.scene_file import scene_files
from g3d.storage import artifacts, files, named
from g3d.training.folder import is_run
from g3d.viewing.server import PORT, shown
from g3d.viewing.subject import Knob, Photographs, Subject, of_pictures, of_scenes

SEED_MOST = 9999
FRUSTA_MOST = 200  # photographs of a folder that are drawn; more hide each other


@dataclass(frozen=True)
class Options:
    """What is looked at, and where the browser finds it."""

    what: Path
    prior: Path | None = None
    up: str | None = None  # of a PLY
    host: str = "127.0.0.1"
    port: int = PORT
    browser: bool = True
    seconds: float | None = None  # until it ends by itself


def resolve(options: Options) -> dict[str, Any]:
    """The settings as they will be used."""
    subject = _subject(options)
    return {"what": str(options.what), "things": len(subject.names), "host": options.host, "port": options.port}


def run(options: Options, progress: Progress = SILENT) -> dict[str, Any]:
    """Serve until Ctrl-C, or for so many seconds."""
    subject = _subject(options)
    with shown(subject, options.host, options.port) as server:
        progress.log(f"{subject.title}: open {server.url} in a browser; Ctrl-C ends it")
        if options.browser:
            webbrowser.open(server.url)
        end = time.monotonic() + (options.seconds if options.seconds is not None else float("inf"))
        try:
            while time.monotonic() < end:
                time.sleep(min(0.2, max(0.0, end - time.monotonic())))
        except KeyboardInterrupt:
            progress.log("closed")
        return {"url": server.url, "browsers": server.seen}


def _subject(options: Options) -> Subject:
    """By what lies there: a PLY, a scene or a folder of scenes, a model or a run, pictures."""
    what = options.what
    existing(what, "what is to be seen")
    if not 0 <= options.port <= 65535:
        raise G3dError(f"--port is {options.port}; it must lie between 0 and 65535")
    if options.seconds is not None and not options.seconds >= 0:
        raise G3dError(f"--seconds is {options.seconds}; it must be 0 or more")
    is_model = _model_file(what) is not None
    if options.prior is not None and not is_model:
        raise G3dError(f"--prior draws latents of a model, and '{what}' is none; leave it out")
    if what.suffix.lower() == ".ply":
        return _splats(what, options.up or "y")
    if options.up is not None:
        raise G3dError(f"--up turns a PLY, and '{what}' is none; leave it out")
    if is_model:
        return _model(what, options.prior)
    if is_run(what):
        raise G3dError(f"the run '{what}' holds no model.safetensors to draw scenes from; wait for it, or give the run of a "
                       "model, and that of a prior to --prior")  # fmt: skip
    if (what / "dataset.json").is_file():
        return _dataset(what)
    if what.suffix.lower() in images.SUFFIXES and what.is_file():
        return of_pictures(what.name, [what], [what.name])
    if what.is_file() or any(what.glob("*.safetensors")):
        return of_scenes(what.name, scene_files(what))
    return _pictures(what)


def _model_file(what: Path) -> Path | None:
    """The model that a run or a file holds."""
    file = what / "model.safetensors" if what.is_dir() else what
    if file.suffix != ".safetensors" or not file.is_file():
        return None
    return file if artifacts.header(file).kind == "model" else None


def _splats(file: Path, up: str) -> Subject:
    read = read_splats(file)
    if not len(read.means):
        raise G3dError(f"'{file}' holds no Gaussians that can be drawn; give another file")
    scene = gaussians_of(read, up)
    return Subject(file.name, [file.stem], lambda _, __: scene)


def _pictures(folder: Path) -> Subject:
    """Pictures, with the frusta of their cameras where a `transforms.json` tells of one scene."""
    try:
        found = images.image_set(folder)
    except G3dError:
        splats = sorted(folder.glob("*.ply"))
        if not splats:
            raise
        raise G3dError(f"'{folder}' holds PLY files, which are looked at one by one; give e.g. '{splats[0]}'") from None
    if not found.path.is_dir():
        raise G3dError(f"'{folder}' keeps its pictures in a zip; unpack it to look at them")
    table = found.path / "transforms.json"
    if not table.is_file():
        return of_pictures(folder.name, [found.path / name for name in found.names], found.names)
    data = files.read_json(table, "the cameras")
    cameras = from_transforms(data, str(table))
    chosen = range(0, len(cameras), -(-len(cameras) // FRUSTA_MOST))
    paths = [_shot(found.path, data["frames"][i], f"frame {i} of '{table}'") for i in chosen]
    places = [path.relative_to(found.path).as_posix() for path in paths]
    shots = Photographs([images.read_image(p) for p in paths], cameras[list(chosen)])
    return replace(of_pictures(folder.name, paths, places), photographs=shots)


def _shot(folder: Path, frame: Mapping[str, Any], where: str) -> Path:
    """The picture of a frame, whose name may leave the ending out."""
    name = str(frame.get("file_path") or "")
    if not name:
        raise G3dError(f"{where} has no file_path; name its picture")
    place = named.inside(folder, name, where)
    endings = ("",) if place.suffix else images.SUFFIXES
    found = (place.with_name(place.name + ending) for ending in endings)
    return next((path for path in found if path.is_file()), place)


def _dataset(folder: Path) -> Subject:
    """All pictures of a dataset, with the frusta of its first object, whose views come first, where it has cameras."""
    data = open_dataset(folder)
    names = [f"{view:06d}, {data.object_names[int(obj)]}" for view, obj in enumerate(data.view_object)]
    subject = Subject(folder.name, names, lambda number, _: data.pictures([number])[0])
    if data.cameras is None:
        return subject
    views = data.views(0)[:FRUSTA_MOST]
    return replace(subject, photographs=Photographs(list(data.pictures(views)), data.cameras[views.tolist()]))


def _model(what: Path, prior_path: Path | None) -> Subject:
    """A model, whose scenes are made by controls: seed, a second seed and the way to it, truncation, class."""
    file = _model_file(what)
    assert file is not None
    head = artifacts.check(file, "model", role="the model")
    found = method(str(head.config["method"]))
    where = torch.device("cpu")
    model = decoding.load(found, head, where)
    kind, loaded, classes, names = None, None, 0, []
    if prior_path is not None:
        prior_head = artifacts.check(files.inside(prior_path, "prior.safetensors"), "prior", role="the prior")
        latents.check_same(head, latents.space_of(prior_head), prior_head.path, "the prior")
        kind = prior(str(prior_head.config["kind"]))
        loaded = kind.load(artifacts.read(prior_head.path, "prior", role="the prior"), where)
        classes = kind.classes(prior_head) if kind.classes is not None else 0
        names = recorded(prior_head)[:classes]
    elif found.draw is None:
        raise G3dError(
            f"the method {found.name} draws its latents from a prior; fit one with g3d fit-prior, give --prior"
        )
    settings_class = kind.sample_settings if kind is not None else found.draw.settings  # type: ignore[union-attr]
    truncates = "truncation" in {f.name for f in fields(settings_class)}
    mixes = not classes  # tokens cannot be mixed

    def draw(seed: int, values: Mapping[str, Any]) -> Latents:
        pairs = [f"truncation={values['Truncation']}"] if truncates else []
        how = config.override(settings_class(), pairs, found.name)
        if kind is None:
            return decoding.draw(found, model, [seed], 0, how, None)
        return kind.sample(loaded, [seed], 0, how, [int(values.get("Class", 0))] if classes else None)

    def make(_: int, values: Mapping[str, Any]) -> Scene:
        made = draw(int(values["Seed"]), values)
        way = float(values.get("Between", 0))
        if way > 0:
            other = draw(int(values["Second seed"]), values)
            made = replace(made, tensors={n: _mixed(v, other.tensors[n], way) for n, v in made.tensors.items()})
        with torch.no_grad():
            return decoding.scenes_of(found, model, made, found.decode_settings())[0]

    knobs = [Knob("Seed", 0, 0, SEED_MOST)]
    knobs += [Knob("Second seed", 1, 0, SEED_MOST), Knob("Between", 0.0, 0.0, 1.0, 0.02)] if mixes else []
    knobs += [Knob("Truncation", 1.0, 0.0, 1.0, 0.02)] if truncates else []
    words = [f"{number} {name}" for number, name in enumerate(names)] if len(names) == classes else []
    knobs += [Knob("Class", 0, 0, classes - 1, words=words)] if classes > 1 else []
    return Subject(what.name, [f"{found.name}, sampled"], make, knobs)


def _mixed(a: torch.Tensor, b: torch.Tensor, way: float) -> torch.Tensor:
    """From a (0) to b (1); whole numbers, which cannot be mixed, change half-way."""
    return torch.lerp(a, b, way) if a.is_floating_point() else (a if way < 0.5 else b)
