"""Numbers typed with a few zeros too many: one sentence at once, before anything of that size is made.

The tests run under a limit of memory, so that a list that is written out fails here and does not fill the machine.
"""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from commands import Pipeline, g3d, refused
from g3d.drawing import painter
from g3d.drawing.camera_plan import CameraPlan
from g3d.scenes.scene import Gaussians
from toy_scenes import gaussians

HUGE = 10**9
DIGITS = "9" * 5000  # more than Python turns into a number


@pytest.fixture(autouse=True)
def _little_memory() -> Iterator[None]:
    """2 GB of address space beyond what is taken already."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + (2 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--num", HUGE], "1000000"),
        (["--seeds", f"0-{HUGE}"], "lists more than 1000000 seeds; take them in parts, e.g. 0-999999"),
        (["--seeds", DIGITS], "seeds have at most 18 digits, not 5000"),
    ],
)
def test_samples(pipeline: Pipeline, tmp_path: Path, words: list[object], sentence: str) -> None:
    base = ["sample", pipeline.model, "--prior", pipeline.prior, "--out", tmp_path / "s"]
    for dry in ([], ["--dry-run"]):
        refused(g3d(*base, *words, *dry), sentence)


def test_items_of_latents(pipeline: Pipeline, tmp_path: Path) -> None:
    words = ["decode", pipeline.model, pipeline.model, "--items", f"0-{HUGE}", "--out", tmp_path / "s"]
    refused(g3d(*words), "it holds 4: choose from 0-3")
    words[words.index("--items") + 1] = f"0-{DIGITS}"
    refused(g3d(*words), "it holds 4: choose from 0-3")


def test_steps_of_an_edit(pipeline: Pipeline, tmp_path: Path) -> None:
    for words, count in ((("interpolate", "--steps", HUGE), HUGE), (("grid", "--steps", 1001), 1001**2)):
        refused(
            g3d("edit", words[0], pipeline.model, *words[1:], "--out", tmp_path / "p"),
            f"{count} latents; at most 1000000",
        )


@pytest.mark.parametrize(
    ("cameras", "sentence"),
    [
        (f"orbit:{HUGE}", f"'orbit:{HUGE}' are more than 10000 views of a scene; write e.g. --cameras orbit:60"),
        ("spiral:10001", "more than 10000 views"),
        ("grid:99999x99999", "more than 10000 views of a scene; write e.g. --cameras grid:3x5"),
        ("grid:101x100", "more than 10000 views"),
        ("far:" + "9" * 400, "are more than 1000000 times as far"),
        (f"orbit:{DIGITS}", "more than 10000 views"),
    ],
)
def test_cameras(pipeline: Pipeline, tmp_path: Path, cameras: str, sentence: str) -> None:
    refused(g3d("render", pipeline.scenes, "--cameras", cameras, "--out", tmp_path / "i"), sentence)


def test_as_many_views_as_are_allowed() -> None:
    scene = gaussians()
    assert [CameraPlan(words, 0, None).views for words in ("orbit:10000", "grid:100x100")] == [10000, 10000]
    assert len(CameraPlan("spiral:10000", 0, None).for_scene(scene, 0, None)) == 10000


def test_levels(pipeline: Pipeline, tmp_path: Path) -> None:
    from g3d.scenes.scene_file import save_scene

    scene = gaussians()
    levels = torch.tensor([[0, 1]], dtype=torch.uint8)
    with_levels = Gaussians(
        *(getattr(scene, n) for n in scene.__dataclass_fields__ if n not in ("level", "background")), levels
    )
    save_scene(tmp_path / "a.safetensors", with_levels)
    words = ["render", tmp_path / "a.safetensors", "--out", tmp_path / "i", "--set"]
    refused(g3d(*words, f"levels=0-{HUGE}"), "lists more than 1000000 levels")
    refused(g3d(*words, "levels=0-999999"), "the levels 0 to 1")


def test_points_of_a_surface(pipeline: Pipeline, tmp_path: Path) -> None:
    words = ["export-ply", pipeline.scenes / "000000.safetensors", "--as", "points", "--out", tmp_path / "a.ply"]
    refused(g3d(*words, "--num", HUGE), f"--num is {HUGE}; it must lie between 1 and 10000000")


def test_rows_of_a_profile() -> None:
    values = ",".join(str(n) for n in range(1, 102))
    sweep = [word for key in ("width", "bases", "latent_dim") for word in ("--sweep", f"{key}={values}")]
    refused(g3d("profile", "mnif", *sweep), f"--sweep makes {101**3} combinations; at most 1000")
    refused(g3d("profile", "mnif", "--sizes", f"64,{DIGITS}"), "1 to 8192 pixels")


@pytest.mark.parametrize(
    ("what", "setting", "most"),
    [
        (["fit-stage1", "mnif"], f"batch={HUGE}", 1 << 20),
        (["fit-stage1", "mnif"], f"views_per_item={HUGE}", 1 << 20),
        (["fit-stage1", "mnif"], "epochs=1e308", 10**9),
        (["fit-stage1", "gsgan"], f"batch={HUGE}", 1 << 20),
        (["fit-stage1", "gsgan"], "kimg=1e306", 10**9),
        (["fit-stage1", "hypernerfgan"], f"batch={HUGE}", 1 << 20),
        (["fit-stage1", "hypernerfgan"], "kimg=1e306", 10**9),
        (["fit-prior"], f"time_steps={HUGE}", 1 << 20),
        (["fit-prior"], f"batch={HUGE}", 1 << 20),
        (["fit-prior"], "epochs=1e308", 10**9),
    ],
)
def test_settings_of_a_fit(pipeline: Pipeline, tmp_path: Path, what: list[str], setting: str, most: int) -> None:
    inputs = ["--data", pipeline.data] if what[0] == "fit-stage1" else [pipeline.model]
    name = setting.partition("=")[0]
    refused(g3d(*what, *inputs, "--set", setting, "--out", tmp_path / "r"), f"'{name}' is ", f"at most {most}")
    assert not list(tmp_path.iterdir())


def test_depths_of_many_views_are_looked_at_a_few_views_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    scene, plan = gaussians(far_along_z=1.5), CameraPlan("spiral:50", 0, None)
    cameras = plan.for_scene(scene, 0, None)
    at_once = painter._farthest_world(scene, cameras)
    eyes, forward = cameras.c2w[:, :3, 3].double(), cameras.c2w[:, :3, 2].double()
    by_hand = max(float((m - e) @ f) for m in scene.means[0].double() for e, f in zip(eyes, forward, strict=True))
    assert at_once == pytest.approx(by_hand, rel=1e-6)
    monkeypatch.setattr(painter, "_DEPTHS_AT_ONCE", 6)
    assert painter._farthest_world(scene, cameras) == at_once


@pytest.mark.parametrize("digits", [18, 400, 5000])
def test_pixels_of_a_rim_and_views_of_a_path(digits: int, pipeline: Pipeline, tmp_path: Path) -> None:
    many = "9" * digits
    words = ["eval-recon", pipeline.data, pipeline.data, "--masks", "--erode", many, "--device", "cpu"]
    refused(g3d(*words), "at most 8192" if digits < 5000 else "--erode")
    table = pipeline.root / "demo" / "sampled" / "transforms.json"
    done = g3d(
        "render", pipeline.scenes, "--cameras", f"path:{table}:{many}", "--out", tmp_path / "out", "--device", "cpu"
    )
    refused(done)
