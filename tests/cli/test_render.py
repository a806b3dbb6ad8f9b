"""`g3d render`: layout of the folders, cameras, masks, depth, video, sheet; scenes outlive all that made them."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Pipeline, environment, g3d, refused
from g3d import images
from g3d.cameras import read_transforms
from g3d.drawing.painter import Drawing
from g3d.errors import G3dError
from g3d.scenes.scene_file import save_scene
from g3d.steps import render
from g3d.steps.render import Options
from g3d.storage.files import read_json
from toy_scenes import every_kind, gaussians, image_field, radiance

ROOT = Path(__file__).parents[2]


def test_several_scenes_get_a_folder_each(pipeline: Pipeline, tmp_path: Path) -> None:
    result = render.run(
        Options(pipeline.scenes, tmp_path / "i", Drawing("orbit:2", size=16, masks=True, depth=True), "cpu")
    )
    assert result["views"] == 6 and len(images.image_set(tmp_path / "i")) == 6
    one = tmp_path / "i" / "000001"
    assert sorted(p.name for p in one.glob("[!.]*")) == [
        "000000.png",
        "000001.png",
        "depth",
        "masks",
        "transforms.json",
    ]
    cameras = read_transforms(one / "transforms.json")
    assert len(cameras) == 2 and cameras.width == 16
    eyes = cameras.c2w[:, :3, 3]
    assert np.allclose(np.linalg.norm(eyes, axis=1), 2.6, atol=1e-5)
    assert np.allclose(eyes[0, [0, 2]], -eyes[1, [0, 2]], atol=1e-5)  # half a turn


def test_one_scene_goes_into_the_folder_itself(pipeline: Pipeline, tmp_path: Path) -> None:
    render.run(Options(pipeline.scenes / "000002.safetensors", tmp_path / "i", Drawing("grid:2x3", size=8), "cpu"))
    assert sorted(p.name for p in (tmp_path / "i").glob("[!.]*")) == [
        *(f"00000{i}.png" for i in range(6)),
        "transforms.json",
    ]


def test_one_view_each_lies_side_by_side_under_the_scenes_names(pipeline: Pipeline, tmp_path: Path) -> None:
    render.run(Options(pipeline.scenes, tmp_path / "i", Drawing("prior", size=8), "cpu"))
    frames = read_json(tmp_path / "i" / "transforms.json", "cameras")["frames"]
    assert [f["file_path"] for f in frames] == ["000000.png", "000001.png", "000002.png"]


def test_depth_and_mask_agree_with_the_picture(pipeline: Pipeline, tmp_path: Path) -> None:
    how = Drawing("default", masks=True, depth=True, settings=["background=0,0,1"])
    render.run(Options(pipeline.scenes / "000000.safetensors", tmp_path / "i", how, "cpu"))
    picture = images.read_image(tmp_path / "i" / "000000.png")
    mask = images.read_grey(tmp_path / "i" / "masks" / "000000.png")
    scale = read_json(tmp_path / "i" / "depth" / "depth.json", "depth")["depth_scale"]
    depth = images.read_grey(tmp_path / "i" / "depth" / "000000.png") * scale
    assert (picture[mask == 0] == [0, 0, 255]).all() and (mask == 0).any()
    assert depth[0, 0] == 0 == mask[0, 0]  # the corner's ray misses the bounds
    seen = depth[mask > 8]
    assert len(seen) and seen.min() > 1.2 and seen.max() < 4.0


def test_kinds_of_depth(pipeline: Pipeline, tmp_path: Path) -> None:
    """The pictures are the same; depth.json says which depth lies beside it; what has no meaning is refused."""
    scene, save = pipeline.scenes / "000000.safetensors", ["--size", 12, "--device", "cpu", "--depth"]
    for kind in ("expected", "max_weight"):
        assert g3d("render", scene, *save, "--depth-kind", kind, "--out", tmp_path / kind).code == 0
    assert g3d("render", scene, *save, "--out", tmp_path / "plain").code == 0
    read = [read_json(tmp_path / n / "depth" / "depth.json", "depth") for n in ("expected", "max_weight", "plain")]
    assert read[0] == read[2] and read[0]["what"].startswith("expected camera z, ")
    assert read[1]["what"].startswith("max_weight camera z (of the middle of the heaviest interval), ")
    files = [
        [(tmp_path / n / f).read_bytes() for f in ("000000.png", "depth/000000.png")]
        for n in ("expected", "max_weight")
    ]
    assert files[0][0] == files[1][0] and files[0][1] != files[1][1]
    out = ["--out", tmp_path / "x"]
    refused(g3d("render", scene, "--depth-kind", "max_weight", *out), "add --depth")
    refused(
        g3d("render", scene, "--depth", "--depth-kind", "median", *out), "'median' is unknown", "expected, max_weight"
    )
    save_scene(tmp_path / "g.safetensors", gaussians())
    refused(g3d("render", tmp_path / "g.safetensors", "--depth", "--depth-kind", "max_weight", *out), "3D Gaussians")
    assert not (tmp_path / "x").exists()


def test_video_and_sheet(pipeline: Pipeline, tmp_path: Path) -> None:
    result = g3d(
        "render", pipeline.scenes, "--cameras", "orbit:4", "--size", 16, "--device", "cpu", "--out", tmp_path / "i",
        "--video", tmp_path / "v.mp4", "--sheet", tmp_path / "s.png",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert result.out.split() == [str(tmp_path / n) for n in ("i", "s.png", "v.mp4")]
    assert images.read_image(tmp_path / "s.png").shape == (3 * 18 + 2, 4 * 18 + 2, 3)
    assert (tmp_path / "v.mp4").stat().st_size > 500


def test_another_number_of_samples_is_another_picture(pipeline: Pipeline, tmp_path: Path) -> None:
    scene = pipeline.scenes / "000000.safetensors"
    for name, settings in (("a", ()), ("b", ["samples=8"]), ("c", ["samples=40"])):
        render.run(Options(scene, tmp_path / name, Drawing(size=24, settings=settings), "cpu"))
    a, b, c = ((tmp_path / n / "000000.png").read_bytes() for n in "abc")
    assert a == b != c  # the smoke preset has 8


@pytest.mark.slow
def test_model_dataset_and_methods_can_be_deleted(pipeline: Pipeline, tmp_path: Path) -> None:
    """A copy of the library without methods and priors, and nothing of the run but the scenes, draws the same pictures."""
    for part in ("lib", "cli"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for room in ("methods", "priors", "sources"):
        shutil.rmtree(tmp_path / "lib" / "g3d" / room)
    for step in ("fit_stage1", "fit_prior", "sample", "decode", "prepare_data", "profile"):
        (tmp_path / "lib" / "g3d" / "steps" / f"{step}.py").unlink()
    shutil.copytree(pipeline.scenes, tmp_path / "scenes")
    words = ["--cameras", "orbit:2", "--size", "12", "--device", "cpu"]
    env = environment(PYTHONPATH=f"{tmp_path / 'lib'}:{tmp_path / 'cli'}")
    code = "import g3d, sys; assert g3d.__file__.startswith(sys.argv.pop(1)); from g3d_cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), "render", "scenes", "--out", "alone", *words],
        cwd=tmp_path, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert g3d("render", pipeline.scenes, "--out", tmp_path / "here", *words).code == 0
    pictures = sorted((tmp_path / "here").rglob("*.png"))
    assert len(pictures) == 6
    for picture in pictures:
        assert picture.read_bytes() == (tmp_path / "alone" / picture.relative_to(tmp_path / "here")).read_bytes()


@pytest.mark.slow
def test_rendering_needs_neither_open3d_nor_clean_fid(pipeline: Pipeline, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['open3d'] = sys.modules['cleanfid'] = None; sys.argv[0] = 'g3d'; "
        "from g3d_cli.main import main; main()"
    )
    base = [sys.executable, "-c", code]
    fit = ["fit-stage1", "mnif", "--data", str(pipeline.data), "--preset", "smoke", "--set", "epochs=1", "--out", "m"]
    draw = ["sample", str(pipeline.model), "--prior", str(pipeline.prior), "--num", "1", "--render", "i", "--size", "8"]
    for words in (fit, draw):
        done = subprocess.run(
            [*base, *words], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    missing = subprocess.run(
        [*base, "prepare-data", "procedural", "cars", "--num", "1", "--out", "d"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert missing.returncode == 4 and "open3d" in missing.stderr and "Traceback" not in missing.stderr


def test_refusals(pipeline: Pipeline, tmp_path: Path) -> None:
    out = ["--out", tmp_path / "i"]
    base = ["render", pipeline.scenes]
    refused(g3d(*base, "--cameras", "sprial:3", *out), "did you mean 'spiral'")
    refused(g3d(*base, "--cameras", "orbit:x", *out), "orbit:x", "--cameras orbit:60")
    refused(g3d(*base, "--cameras", "orbit:0", *out), "not understood")
    refused(g3d(*base, "--cameras", "grid:4", *out), "grid:3x5")
    refused(g3d(*base, "--cameras", "prior:4", *out), "take no ':'")
    refused(g3d(*base, "--cameras", "dataset:nowhere", *out), "nowhere", "does not exist")
    refused(g3d(*base, "--cameras", "file:nowhere.json", *out), "nowhere.json")
    refused(g3d(*base, "--set", "sampels=3", *out), "did you mean 'samples'")
    refused(g3d(*base, "--set", "background=1,1", *out), "wanted are 3")
    refused(g3d(*base, "--size", "0", *out), "--size")
    refused(g3d(*base, "--video", tmp_path / "v.avi", *out), "ends in .mp4")
    refused(g3d(*base, "--sheet", tmp_path / "i" / "s.png", *out), "put it beside")
    refused(g3d(*base, "--sheet", tmp_path / "s.jpg", *out), "must end in .png")
    refused(g3d("render", pipeline.model, *out), "latents")  # the first tensor file there is no scene
    refused(g3d("render", tmp_path, "--out", tmp_path / "x" / "i"), "holds no scenes")
    assert not list(tmp_path.iterdir())


def test_a_scene_without_cameras_of_its_own_says_so(pipeline: Pipeline, tmp_path: Path) -> None:
    from dataclasses import replace

    from g3d.scenes.scene_file import load_scene, save_scene

    scene = load_scene(pipeline.scenes / "000000.safetensors")
    save_scene(tmp_path / "s.safetensors", replace(scene, world=replace(scene.world, camera_prior=None)))
    with pytest.raises(G3dError, match="records no cameras"):
        render.run(Options(tmp_path / "s.safetensors", tmp_path / "i"))


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder of a radiance, an occupancy, a triplane, a Gaussian and an image scene; the second has larger pictures."""
    (tmp_path / "mixed").mkdir()
    for name, scene in every_kind().items():
        save_scene(tmp_path / "mixed" / f"{name}.safetensors", scene)
    return tmp_path / "mixed"


def test_a_folder_of_all_kinds_of_scenes(mixed: Path, tmp_path: Path) -> None:
    how = Drawing(sheet=tmp_path / "s.png", video=tmp_path / "v.mp4")
    assert render.run(Options(mixed, tmp_path / "i", how, "cpu"))["views"] == 5
    sizes = {p.stem: images.read_image(p).shape[:2] for p in (tmp_path / "i").glob("*.png")}
    wanted = {"000000": (8, 8), "000001": (12, 12), "000002": (8, 8), "000003": (8, 8), "000004": (64, 64)}
    assert sizes == wanted
    for name in ("000000", "000001", "000002", "000003"):
        assert (images.read_image(tmp_path / "i" / f"{name}.png") < 200).any(), name  # something is there
    assert images.read_image(tmp_path / "i" / "000000.png")[4, 4].tolist() == [255, 0, 0]
    field = images.read_image(tmp_path / "i" / "000004.png")
    assert field[0, -1, 0] > 250 and field[0, 0, 0] < 5 and field[-1, 0, 1] > 250
    table = read_json(tmp_path / "i" / "transforms.json", "cameras")
    assert "w" not in table and [(f["file_path"], f["w"], f["h"]) for f in table["frames"]] == [
        (f"{n}.png", s[1], s[0]) for n, s in list(wanted.items())[:4]
    ]
    assert images.read_image(tmp_path / "s.png").shape == (2 * 66 + 2, 3 * 66 + 2, 3)
    assert (tmp_path / "v.mp4").is_file()
    found = render.resolve(Options(mixed, tmp_path / "j"))
    kinds = ["gaussians", "mlp_field image", "mlp_field occupancy", "mlp_field radiance", "triplane"]
    assert sorted(found["settings"]) == kinds and found["views"] == 1


def test_an_image_field_takes_a_size_and_nothing_else(tmp_path: Path) -> None:
    scene = tmp_path / "x.safetensors"
    save_scene(scene, image_field())
    base = ["render", scene, "--out", tmp_path / "i", "--device", "cpu"]
    for dry in ([], ["--dry-run"]):
        refused(g3d(*base, "--set", "bogus=3", *dry), "no settings", "bogus=3")
        refused(g3d(*base, "--set", "samples=3", *dry), "no settings")
        refused(g3d(*base, "--alpha", *dry), "--alpha")
        refused(g3d(*base, "--depth", *dry), "--depth")
        refused(g3d(*base, "--cameras", "orbit:3", *dry), "--cameras")
    resolved = g3d(*base, "--dry-run").json
    assert {"views", "cameras"}.isdisjoint(resolved) and resolved["settings"] == {}
    assert g3d(*base, "--size", 20).code == 0
    assert images.read_image(tmp_path / "i" / "x.png").shape == (20, 20, 3)


def test_a_dry_run_refuses_what_a_run_refuses(pipeline: Pipeline, tmp_path: Path) -> None:
    base = ["render", pipeline.scenes, "--dry-run", "--out", tmp_path / "i"]
    refused(g3d(*base, "--video", tmp_path / "v.avi"), "must be a file that ends in .mp4")
    refused(g3d(*base, "--set", "background=1,1"), "wanted are 3")
    (tmp_path / "i").mkdir()
    refused(g3d(*base), "exists")


def test_depth_beyond_16_units_is_not_cut(tmp_path: Path) -> None:
    scene = replace(gaussians(far_along_z=90.0), opacity_logits=torch.tensor([[-30.0, 9.0]]))
    scene = replace(scene, log_scales=torch.full((1, 2, 3), 2.0))
    prior = scene.world.camera_prior
    assert prior is not None
    ahead = replace(scene.world, camera_prior=replace(prior, default_azimuth_deg=0.0, default_elevation_deg=0.0))
    save_scene(tmp_path / "s.safetensors", replace(scene, world=ahead))
    render.run(Options(tmp_path / "s.safetensors", tmp_path / "i", Drawing(depth=True), "cpu"))
    scale = read_json(tmp_path / "i" / "depth" / "depth.json", "depth")["depth_scale"]
    depth = images.read_grey(tmp_path / "i" / "depth" / "000000.png")
    assert depth[4, 4] * scale == pytest.approx(93.0, abs=0.01)


def test_scenes_of_one_folder_record_their_own_depth_scales(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    for i, far in enumerate((10.0, 40.0)):
        scene = radiance()
        save_scene(tmp_path / "s" / f"00000{i}.safetensors", replace(scene, world=replace(scene.world, far_world=far)))
    render.run(Options(tmp_path / "s", tmp_path / "i", Drawing(depth=True), "cpu"))
    scales = read_json(tmp_path / "i" / "depth" / "depth.json", "depth")["depth_scales"]
    assert scales == {"000000.png": 10 / 65535, "000001.png": 40 / 65535}
    a, b = (images.read_grey(tmp_path / "i" / "depth" / n)[4, 4] * s for n, s in scales.items())
    assert a == pytest.approx(b, abs=1e-3) and 1 < a < 4


def test_a_scene_whose_name_is_no_decimal_number(tmp_path: Path) -> None:
    save_scene(tmp_path / "²" / "².safetensors", radiance())
    assert render.run(Options(tmp_path / "²", tmp_path / "i", Drawing("prior"), "cpu"))["views"] == 1


def test_from_afar_a_scene_is_smaller(pipeline: Pipeline, tmp_path: Path) -> None:
    """The default camera, three and five times as far away."""
    found = {}
    for words in ("default", "far", "far:5"):
        out = tmp_path / words.replace(":", "-")
        done = g3d(
            "render",
            pipeline.scenes / "000000.safetensors",
            "--cameras",
            words,
            "--size",
            48,
            "--out",
            out,
            "--device",
            "cpu",
        )
        assert done.code == 0, done.err
        frame = read_json(out / "transforms.json", "the cameras")["frames"][0]
        found[words] = np.linalg.norm(np.array(frame["transform_matrix"])[:3, 3])
    assert found["far"] == pytest.approx(3 * found["default"]) and found["far:5"] == pytest.approx(5 * found["default"])
    refused(g3d("render", pipeline.scenes, "--cameras", "far:x", "--out", tmp_path / "x"), "--cameras far:3")


def test_a_grid_of_given_angles(pipeline: Pipeline, tmp_path: Path) -> None:
    out = tmp_path / "g"
    words = ["render", pipeline.scenes / "000000.safetensors", "--cameras", "grid:2x3:-20,20:-10,5.5", "--size", 8]
    done = g3d(*words, "--out", out, "--device", "cpu")
    assert done.code == 0, done.err
    eyes = read_transforms(out / "transforms.json").c2w[:, :3, 3]
    azimuth = torch.rad2deg(torch.atan2(eyes[:, 0], eyes[:, 2]))
    elevation = torch.rad2deg(torch.asin(eyes[:, 1] / eyes.norm(dim=1)))
    torch.testing.assert_close(azimuth, torch.tensor([-20.0, 0, 20] * 2), atol=0.01, rtol=0)
    torch.testing.assert_close(elevation, torch.tensor([5.5] * 3 + [-10.0] * 3), atol=0.01, rtol=0)
    for wrong in ("grid:2x3:1,2", "grid:2x3:a,b:1,2", "grid:2x3:1:2"):
        refused(g3d("render", pipeline.scenes, "--cameras", wrong, "--out", tmp_path / "x"), "grid:4x9:-23,23:-23,6")
