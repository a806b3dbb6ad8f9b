"""g3d from Python: `g3d.load(RUN)` gives a model that samples, encodes and decodes in memory, by what the commands do.

    import g3d

    model = g3d.load("runs/cars", prior="runs/cars-prior")
    for scene in model.sample(4, seed=1):
        pictures = scene.render("orbit:12", size=128).rgb  # [12, 128, 128, 3]
        means = scene.tensors  # by name, as scene files hold them
    latents = model.encode("data/cars", num=8)
    first = model.decode(latents)[0]

Each call gives what the command of that name writes, to the bit. All raise `G3dError` with the sentence that the command prints.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from g3d import config, latents
from g3d.cameras import Cameras
from g3d.device import pick_device
from g3d.drawing.camera_plan import CameraPlan
from g3d.drawing.painter import Drawing, settings_of
from g3d.errors import G3dError
from g3d.latents import Latents
from g3d.methods import decoding, method
from g3d.render import ImageSettings, Rendering, empty_space, render_image_field, render_scene
from g3d.scenes.scene import MlpField, Scene, pick, tensors_of
from g3d.scenes.scene_file import load_scene, save_scene
from g3d.steps import encode, sample
from g3d.storage import artifacts, files
from g3d.storage.kept import Kept


@dataclass(frozen=True)
class Made:
    """A scene that was drawn, decoded or read: number `index` of its set, of an `item` of a dataset or none."""

    scene: Scene  # a batch of one
    index: int = 0
    item: str | None = None

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Its tensors by the names of scene files, e.g. of Gaussians `means` [N, 3], without a batch axis."""
        return {name: value[0] for name, value in tensors_of(self.scene).items()}

    def render(
        self,
        cameras: str | Cameras = "default",
        *,
        size: int | None = None,
        settings: Mapping[str, Any] | None = None,
        seed: int = 0,
        backend: str = "auto",
    ) -> Rendering:
        """V views: rgb [V, H, W, 3] in [0, 1], alpha and depth [V, H, W]. `cameras` are those of --cameras, in its words or as
        they are; `settings` those of the kind of scene, e.g. {"samples": 128}."""
        words = cameras if isinstance(cameras, str) else "orbit"  # any that an image field refuses, as it takes none
        how = settings_of(self.scene, Drawing(words, settings=_pairs(settings), backend=backend))
        if isinstance(how, ImageSettings):
            raise G3dError("an image field takes no cameras; its pixels come from picture()")
        plan = CameraPlan(words, seed, size)
        seen = plan.for_scene(self.scene, self.index, self.item) if isinstance(cameras, str) else cameras
        seen = seen.to(next(iter(tensors_of(self.scene).values())).device)
        return render_scene(self.scene, seen, how, empty_space(self.scene, seen, how), backend)

    def picture(self, size: int | None = None) -> Tensor:
        """An image field as pixels [H, W, 3], `size` wide, else of the size that it was fitted to."""
        if not isinstance(self.scene, MlpField) or self.scene.signal != "image":
            raise G3dError("only an image field is a picture by itself; render() draws this scene by cameras")
        width, height = self.scene.world.image_size or (64, 64)
        wide = size or width
        return render_image_field(self.scene, wide, max(1, round(wide * height / width)))

    def save(self, path: str | Path) -> None:
        """Write a scene file, which g3d render, export-ply and all others read."""
        save_scene(Path(path), self.scene, item=self.item)


@dataclass(frozen=True)
class Model:
    """A fitted model, and the prior that it draws its latents from, if it needs one. Each file is read when it is first used,
    and again when it has changed."""

    header: artifacts.Header
    prior: Path | None = None
    device: str = "auto"
    _kept: Kept = field(default_factory=Kept, repr=False, compare=False)

    @property
    def method(self) -> str:
        """The name of its method."""
        return str(self.header.config["method"])

    @property
    def config(self) -> Any:
        """The settings that it was fitted with, a frozen dataclass of its method."""
        return decoding.model_settings(method(self.method), self.header)

    def sample(
        self,
        num: int,
        *,
        seed: int = 0,
        settings: Mapping[str, Any] | None = None,
        classes: str | None = None,
        cameras: str = "default",
    ) -> list[Made]:
        """New scenes; scene i depends on (seed, i) alone. `settings` are those of sampling, e.g. {"truncation": 0.7}; `cameras`
        ("prior" or "dataset:DIR") are those that scenes are baked at, where a method's scenes depend on one."""
        options = sample.Options(
            self.header.path, self.prior, num=num, settings=_pairs(settings), seed=seed, classes=classes, device=self.device,
            drawing=Drawing(cameras, seed=seed),
        )  # fmt: skip
        return [Made(scene, index) for index, scene in enumerate(sample.scenes(options, kept=self._kept))]

    def encode(
        self,
        dataset: str | Path,
        *,
        split: str = "train",
        items: str | None = None,
        num: int | None = None,
        seed: int = 0,
        settings: Mapping[str, Any] | None = None,
    ) -> Latents:
        """The latents of a dataset's items: of a split, all, some (`items`, e.g. "0-9" or names) or the first `num`."""
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "latents.safetensors"
            encode.run(
                encode.Options(
                    self.header.path,
                    Path(dataset),
                    out,
                    split,
                    _pairs(settings),
                    seed,
                    self.device,
                    items=items,
                    num=num,
                ),
                kept=self._kept,
            )
            return latents.read(latents.check(out))

    def decode(self, codes: Latents, settings: Mapping[str, Any] | None = None) -> list[Made]:
        """A scene for each latent."""
        head = artifacts.check(self.header.path, "model", role="the model")
        chosen, device = method(str(head.config["method"])), pick_device(self.device)
        others = () if chosen.other_spaces is None else chosen.other_spaces(decoding.model_settings(chosen, head))
        if codes.space not in others:
            latents.check_same(head, codes.space, head.path, "the latents")
        how = config.override(chosen.decode_settings(), _pairs(settings), chosen.name)
        model = self._kept.get(head, str(device), lambda: decoding.load(chosen, head, device))
        scenes = decoding.scenes_of(chosen, model, codes.to(device), how)
        return [Made(scene, i, name) for i, (scene, name) in enumerate(zip(scenes, codes.names, strict=True))]


def load(path: str | Path, *, prior: str | Path | None = None, device: str = "auto") -> Model:
    """The model of a run (or its file), with the prior of another run, where it draws its latents from one."""
    head = artifacts.check(files.inside(Path(path), "model.safetensors"), "model", role="the model")
    pick_device(device)
    method(str(head.config["method"]))
    return Model(head, None if prior is None else Path(prior), device)


def scene(path: str | Path, device: str = "auto") -> Made:
    """A scene file, as `sample`, `decode` and `import-ply` write it."""
    head = artifacts.check(Path(path), "scene", role="the scene")
    stem = Path(path).stem
    found = pick(load_scene(Path(path), pick_device(device)), 0)
    return Made(found, int(stem) if stem.isdecimal() else 0, head.config.get("item"))


def _pairs(settings: Mapping[str, Any] | None) -> Sequence[str]:
    """As `--set` has them."""
    return tuple(f"{name}={_text(value)}" for name, value in (settings or {}).items())


def _text(value: Any) -> str:
    return ",".join(str(one) for one in value) if isinstance(value, list | tuple) else str(value)
