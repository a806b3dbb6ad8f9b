"""`g3d refine`: what lies beside the pictures stays, names and batches do not matter, datasets, refusals."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import Pipeline, g3d, refused
from g3d.cameras import read_transforms
from g3d.data.opening import open_dataset
from g3d.images import read_image, write_image
from PIL import Image


@pytest.fixture(scope="module")
def refiner(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("refiner") / "run"
    more = ("--preset", "smoke", "--set", "steps=12", "--set", "noised=picture", "--split", "train", "--device", "cpu")
    done = g3d("fit-refiner", pipeline.data, pipeline.data, *more, "--out", out)
    assert done.code == 0, done.err
    return out


@pytest.fixture
def drawn(pipeline: Pipeline, tmp_path: Path) -> Path:
    """Two scenes of three views with masks, depth and cameras, as `render` writes them."""
    how = ("--cameras", "orbit:3", "--size", 24, "--alpha", "--depth", "--device", "cpu")
    done = g3d("render", pipeline.scenes, *how, "--out", tmp_path / "drawn")
    assert done.code == 0, done.err
    return tmp_path / "drawn"


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("[!.]*") if p.is_file())


def test_everything_beside_the_pictures_stays(drawn: Path, refiner: Path, tmp_path: Path) -> None:
    done = g3d("refine", drawn, "--refiner", refiner, "--out", tmp_path / "out", "--device", "cpu", "--json")
    assert done.code == 0, done.err
    assert names(tmp_path / "out") == names(drawn) and len(names(drawn)) > 12
    changed = [n for n in names(drawn) if (drawn / n).read_bytes() != (tmp_path / "out" / n).read_bytes()]
    pictures = [n for n in names(drawn) if n.endswith(".png") and not {"masks", "depth"} & {*n.split("/")}]
    assert changed == pictures and done.json["pictures"] == len(pictures)
    assert any("masks" in n for n in names(drawn)) and any(n.endswith("transforms.json") for n in names(drawn))


def test_seed_and_batch(drawn: Path, refiner: Path, tmp_path: Path) -> None:
    def refined(name: str, *more: object) -> list[np.ndarray]:  # type: ignore[type-arg]
        done = g3d("refine", drawn, "--refiner", refiner, "--out", tmp_path / name, "--device", "cpu", *more)
        assert done.code == 0, done.err
        found = [n for n in names(drawn) if n.endswith(".png") and not {"masks", "depth"} & {*n.split("/")}]
        return [read_image(tmp_path / name / n).astype(int) for n in found]

    first, again = refined("a"), refined("b")
    assert all((x == y).all() for x, y in zip(first, again, strict=True))
    single = refined("c", "--batch", 1)
    assert max(np.abs(x - y).max() for x, y in zip(first, single, strict=True)) <= 1
    other = refined("d", "--seed", 5)
    assert min(np.abs(x - y).max() for x, y in zip(first, other, strict=True)) > 2
    ancestral, few = refined("e", "--set", "ddim_steps=0"), refined("f", "--set", "ddim_steps=1")
    assert all((x != y).any() for x, y in zip(ancestral, few, strict=True))


def test_views_of_a_dataset_become_a_folder_with_their_cameras(
    pipeline: Pipeline, refiner: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = g3d(
        "refine",
        pipeline.data,
        "--refiner",
        refiner / "refiner.safetensors",
        "--split",
        "test",
        "--out",
        out,
        "--device",
        "cpu",
    )
    assert done.code == 0, done.err
    data = open_dataset(pipeline.data)
    views = data.views_of("test", None).tolist()
    assert names(out) == sorted(
        [f"{v:06d}.png" for v in views] + [f"masks/{v:06d}.png" for v in views] + ["transforms.json"]
    )
    assert data.cameras is not None
    np.testing.assert_allclose(read_transforms(out / "transforms.json").c2w, data.cameras[views].c2w, atol=1e-6)
    assert (out / "masks" / f"{views[0]:06d}.png").read_bytes() == data.raw("masks", views[0])
    judged = g3d("eval-recon", pipeline.data, out, "--split", "test", "--masks", "--json", "--device", "cpu")
    assert judged.code == 0 and judged.json["n"] == len(views) == 8


def test_other_suffixes_become_png_and_cameras_follow(refiner: Path, tmp_path: Path) -> None:
    place = tmp_path / "in"
    place.mkdir()
    Image.fromarray(np.full((16, 20, 3), 90, np.uint8)).save(place / "v.jpg")
    frames = [{"file_path": "v.jpg", "transform_matrix": np.eye(4).tolist()}]
    (place / "transforms.json").write_text(json.dumps({"camera_angle_x": 0.7, "w": 20, "h": 16, "frames": frames}))
    done = g3d("refine", place, "--refiner", refiner, "--out", tmp_path / "out", "--device", "cpu")
    assert done.code == 0, done.err
    assert names(tmp_path / "out") == ["transforms.json", "v.png"] and read_image(tmp_path / "out" / "v.png").shape == (
        16,
        20,
        3,
    )
    assert json.loads((tmp_path / "out" / "transforms.json").read_text())["frames"][0]["file_path"] == "v.png"


def test_refusals(pipeline: Pipeline, drawn: Path, refiner: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "out")
    refused(g3d("refine", drawn, "--refiner", pipeline.model, *out), "refiner.safetensors")
    refused(g3d("refine", drawn, "--refiner", pipeline.model / "model.safetensors", *out), "model", "refiner")
    refused(g3d("refine", drawn, "--refiner", refiner, "--set", "ddim_steps=51", *out), "ddim_steps is 51", "50 steps")
    refused(g3d("refine", drawn, "--refiner", refiner, "--set", "steps=5", *out), "no setting 'steps'")
    refused(g3d("refine", drawn, "--refiner", refiner, "--split", "test", *out), "--split needs a dataset")
    refused(g3d("refine", drawn, "--refiner", refiner, "--batch", 0, *out), "--batch 0 is too small")
    refused(g3d("refine", drawn, "--refiner", refiner, "--out", drawn), "contains or lies inside the input")
    large = tmp_path / "large" / "a.png"
    write_image(large, np.zeros((24, 24 * 64 + 1, 3), np.uint8))
    words = ("'a' has 1537x24 pixels", "fitted to 24x24", "at most 64 times")
    refused(g3d("refine", large.parent, "--refiner", refiner, *out, "--device", "cpu"), *words)
    shutil.rmtree(drawn)
    assert not (tmp_path / "out").exists()
    write_image(drawn / "masks" / "0.png", np.zeros((4, 4), np.uint8))
    refused(g3d("refine", drawn, "--refiner", refiner, *out), "holds no images")


@pytest.mark.parametrize("packed", [False, True])
def test_all_pictures_are_looked_at_before_the_first_is_refined(
    refiner: Path, tmp_path: Path, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("g3d.steps.refine.refine", lambda *_: pytest.fail("a picture was refined"))
    place = tmp_path / "in"
    for i in range(3):
        write_image(place / f"{i}.png", np.zeros((24, 24, 3), np.uint8))
    write_image(place / "last.png", np.zeros((24, 24 * 64 + 1, 3), np.uint8))
    given = Path(shutil.make_archive(str(tmp_path / "in"), "zip", place)) if packed else place
    how = ("--refiner", refiner, "--batch", 1, "--out", tmp_path / "out", "--device", "cpu")
    refused(g3d("refine", given, *how), "'last' has 1537x24 pixels", "at most 64 times")
    (place / "last.png").write_bytes(b"no picture")
    given = Path(shutil.make_archive(str(tmp_path / "in"), "zip", place)) if packed else place
    refused(g3d("refine", given, *how), "last.png' is not an image that can be read")
    assert not (tmp_path / "out").exists()
