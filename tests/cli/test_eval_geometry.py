"""`g3d eval-geometry` on hand-made folders with known answers, and on what `render` writes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import Pipeline, g3d, refused
from g3d import latents
from g3d.data.opening import open_dataset
from g3d.errors import G3dError
from g3d.images import write_image
from g3d.latents import LatentSpace
from g3d.steps import render
from g3d.steps.eval_geometry import Options, resolve, run

SCALE = 1e-4


def _write(
    place: Path, name: str, alpha: np.ndarray, z: np.ndarray | None = None, grey: np.ndarray | None = None
) -> None:
    """A picture with its mask and depth, as `render --alpha --depth` lays them out."""
    grey = np.full(alpha.shape, 255) if grey is None else grey
    write_image(place / f"{name}.png", np.repeat(grey[..., None], 3, axis=2).astype(np.uint8))
    write_image(place / "masks" / f"{name}.png", alpha.astype(np.uint8))
    if z is not None:
        write_image(place / "depth" / f"{name}.png", (z / SCALE + 0.5).astype(np.uint16))
        about = {"depth_scale": SCALE, "what": "expected camera z, by hand"}
        (place / "depth" / "depth.json").write_text(json.dumps(about))


def _pair(tmp_path: Path) -> tuple[Path, Path]:
    """True and drawn pictures of 4 x 6 whose every figure is known."""
    true, drawn = tmp_path / "true", tmp_path / "drawn"
    stream = np.random.default_rng(0)
    mask = np.zeros((4, 6))
    mask[:, :3] = 255
    for i in range(2):
        z = np.where(mask > 0, 1 + stream.random((4, 6)), 0)
        _write(true, str(i), mask, z)
        alpha = np.where(mask > 0, 255, 0)
        alpha[0, :3] = 100  # three of twelve rays are cloudy
        alpha[1, 5] = 51  # and one beside the object: alpha 0.2
        grey = np.full((4, 6), 255)
        grey[1, 5] = 204  # 51 / 255 = 0.2 off, on one of the twelve empty pixels
        inverse = np.where(mask > 0, 2 / np.maximum(z, 0.1) + 0.5, 0)  # twice the inverse depth, shifted: s* = 1/2
        _write(drawn, str(i), alpha, np.where(mask > 0, 1 / np.maximum(inverse, 1e-3), 0), grey)
    return true, drawn


def test_a_known_pair(tmp_path: Path) -> None:
    true, drawn = _pair(tmp_path)
    done = g3d("eval-geometry", drawn, true, "--json", "--per-item", tmp_path / "items.jsonl")
    assert done.code == 0, done.err
    found = done.json
    assert (found["n"], found["cloudy_rays"], found["object_rays"]) == (2, 8, 26)
    assert found["cloudy_share"] == found["cloudy_share_of_all_rays"] == pytest.approx(4 / 13)
    assert (found["halo"], found["halo_alpha"]) == (pytest.approx(0.2 / 12), pytest.approx(0.2 / 12))
    assert found["disparity_scale"] == pytest.approx(0.5, abs=2e-3) and found["disparity_shift"] == pytest.approx(
        -0.25, abs=4e-3
    )
    assert found["depth_accuracy_inverse"] == pytest.approx(0, abs=1e-4) and found["depth_accuracy"] > 1e-4
    assert (found["depth_n"], found["depth_pixels"], found["depth_missing"]) == (2, 24, 0)
    assert found["depth"] == "expected camera z against expected camera z, in the true mask"
    lines = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    assert [(line["name"], line["cloudy_rays"], line["object_rays"]) for line in lines] == [("0", 4, 13), ("1", 4, 13)]


def test_units_of_vq3d_are_free_of_the_scale_of_the_world(tmp_path: Path) -> None:
    true, drawn = _pair(tmp_path)
    found = run(Options(drawn, true, near_world=0.5, far_world=10))
    from g3d.images import read_grey

    scales = []
    for i in range(2):
        z, w = (read_grey(side / "depth" / f"{i}.png")[:, :3].ravel() * SCALE for side in (true, drawn))
        D, d = (1 / w - 0.1) / 1.9, (1 / z - (1 / z).min()) / np.ptp(1 / z)
        scales.append(np.polyfit(D, d, 1)[0])
    assert found["disparity_scale"] == pytest.approx(np.mean(scales), rel=1e-5)
    assert found["disparity_units"] == "1 at 0.5, 0 at 10; true: 0..1 in each picture"


def test_without_truth_there_are_cloudy_rays_alone(tmp_path: Path) -> None:
    _, drawn = _pair(tmp_path)
    found = run(Options(drawn))
    assert (found["cloudy_rays"], found["object_rays"], found["true"]) == (8, 26, None)
    assert "halo" not in found and found["depth"] == "absent: no true images given"


def test_the_true_data_is_solid_and_a_smoke_model_is_fog(pipeline: Pipeline, tmp_path: Path) -> None:
    best = run(Options(pipeline.data, pipeline.data, split="test"))
    assert (best["halo"], best["depth_rmse_world"], best["disparity_scale"]) == (0, 0, pytest.approx(1))
    render.run(render.Options(pipeline.scenes, tmp_path / "fog", render.Drawing(masks=True, depth=True), "cpu"))
    fog = run(Options(tmp_path / "fog", out=tmp_path / "fog.json"))
    assert best["cloudy_share"] < 0.4 < fog["cloudy_share"]
    assert json.loads((tmp_path / "fog.json").read_text())["n"] == 3


def test_against_the_inverse_depth_of_an_estimator(pipeline: Pipeline, tmp_path: Path) -> None:
    """Depth of 2 / d in the picture, d of the estimator: s* is the range of d over twice the one drawn."""
    import shutil

    data = tmp_path / "data"
    shutil.copytree(pipeline.data, data)
    shutil.rmtree(data / "depth")
    assert "absent: no depth beside all pictures of" in run(Options(pipeline.data, data))["depth"]
    from g3d.storage import artifacts

    views, stream = 32, np.random.default_rng(1)
    steps = stream.integers(20000, 65535, (views, 24, 24), dtype=np.uint16)
    for v in range(views):
        write_image(data / "inverse_depth" / f"{v:06d}.png", steps[v])
    ranges = np.tile(np.float32([3, 7]), (views, 1))
    artifacts.write_arrays(data / "labels.safetensors", "labels", {"inverse_depth_range": ranges}, {"names": {}})
    drawn = tmp_path / "drawn"
    from g3d.images import read_grey

    for v in range(views):
        d = 3 + steps[v] / 65535 * 4
        _write(drawn, f"{v:06d}", read_grey(data / "masks" / f"{v:06d}.png"), 2 / d)
    found = run(Options(drawn, data))
    assert found["disparity_scale"] == pytest.approx(2, abs=0.01) and found["disparity_shift"] == pytest.approx(
        0, abs=0.05
    )
    assert found["depth_accuracy_inverse"] < 1e-5 and "depth_rmse_world" not in found
    assert found["depth"] == "expected camera z against inverse depth of an estimator, in the true mask"


def test_folders_show_what_the_latents_of_drawn_from_are_named_after(pipeline: Pipeline, tmp_path: Path) -> None:
    """Three of four objects in an order of their own; each folder holds the object's true pictures, so all must be right."""
    data, names = open_dataset(pipeline.data), ["cars-00003", "cars-00000", "cars-00002"]
    for place, name in enumerate(names):
        folder = tmp_path / "drawn" / f"{place:06d}"
        for k, view in enumerate(data.views(data.object_names.index(name)).tolist()):
            for kind in ("images", "masks", "depth"):
                to = folder / ("" if kind == "images" else kind) / f"{k:06d}.png"
                to.parent.mkdir(parents=True, exist_ok=True)
                to.write_bytes(data.raw(kind, view) or b"")
        about = {"depth_scale": data.info["depth_scale"], "what": "camera z"}
        (folder / "depth" / "depth.json").write_text(json.dumps(about))
    codes = LatentSpace.codes("z", 4).zeros(len(names))
    latents.write(tmp_path / "l.safetensors", replace(codes, names=names), seed=0, parents={})
    words = ("eval-geometry", tmp_path / "drawn", pipeline.data, "--json")
    found = g3d(*words, "--drawn-from", tmp_path / "l.safetensors")
    assert found.code == 0, found.err
    figures = [found.json[name] for name in ("n", "depth_n", "halo", "depth_rmse_world", "disparity_scale")]
    assert figures == [24, 24, 0, 0, pytest.approx(1)]
    refused(g3d(*words), "8 of 32 without a partner")
    refused(g3d(*words[:2], "--drawn-from", tmp_path / "l.safetensors"), "of a true dataset, and none is given")


def test_refusals(pipeline: Pipeline, tmp_path: Path) -> None:
    refused(g3d("eval-geometry", pipeline.root / "demo" / "sampled"), "3 of 3 have none", "render --alpha")
    true, drawn = _pair(tmp_path)
    for changes, words in (
        ({"near_world": 1.0}, "belong together"),
        ({"near_world": 2.0, "far_world": 1.0}, "must be 0 < near < far"),
        ({"split": "test"}, "--split needs a dataset"),
        ({"out": true / "x.json"}, "lies inside the input"),
    ):
        with pytest.raises(G3dError, match=words):
            resolve(Options(drawn, true, **changes))  # type: ignore[arg-type]
    for i in range(2):
        write_image(drawn / "masks" / f"{i}.png", np.zeros((4, 6), np.uint8))
    with pytest.raises(G3dError, match="no picture shows an object"):
        run(Options(drawn))
    write_image(drawn / "masks" / "0.png", np.zeros((4, 5), np.uint8))
    with pytest.raises(G3dError, match=r"masks of '.*0\.png' and '.*0\.png': pictures of sizes \[4, 5\] and \[4, 6\]"):
        run(Options(drawn, true))
