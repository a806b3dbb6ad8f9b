"""COLMAP's models, text and binary: points of a known scene lie where their colours are; what is not there is counted."""

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import g3d
from g3d import images
from g3d.data.opening import open_dataset
from g3d.errors import G3dError
from g3d.sources import Request, colmap
from g3d.sources.posed.colmap_files import MODELS, read_model
from g3d.sources.posed.undistort import Lens, lens_of
from g3d.steps.prepare_data import Options, run
from posed_scene import FROM_Y_UP, Scene, check_points, scene

MADE = scene(6)
WORLD = np.diag([1.0, -1.0, -1.0, 1.0])  # ours (y up) => theirs (y down)


def _quaternion(turn: Any) -> list[float]:
    """wxyz, by the eigenvector of the largest eigenvalue (Bar-Itzhack 2000)."""
    (a, b, c), (d, e, f), (g, h, i) = turn
    m = np.array(
        [[a - e - i, 0, 0, 0], [d + b, e - a - i, 0, 0], [g + c, h + f, i - a - e, 0], [h - f, c - g, d - b, a + e + i]]
    )
    x, y, z, w = np.linalg.eigh(m, UPLO="L")[1][:, -1]
    return [float(v) for v in (w, x, y, z)]


def _write(root: Path, made: Scene, kind: str, place: str = "sparse/0", model: str = "PINHOLE", more: Any = ()) -> Path:
    width, height = made.size
    (root / place).mkdir(parents=True)
    cameras, pictures = [], []
    for i, (pose, k) in enumerate(zip(made.c2w, made.k, strict=True)):
        images.write_image(root / "images" / f"sub {i % 2}" / f"{i}.png", made.rgb[i])
        w2c = np.linalg.inv(WORLD @ pose)
        values = [*k, *more] if "f " not in MODELS[model] + " " else [k[0], *k[2:], *more]
        cameras.append((i + 1, model, width, height, [float(v) for v in values]))
        pictures.append((10 - i, [*_quaternion(w2c[:3, :3]), *map(float, w2c[:3, 3])], i + 1, f"sub {i % 2}/{i}.png"))
    if kind == "txt":
        rows = [f"{n} {m} {w} {h} " + " ".join(map(repr, v)) for n, m, w, h, v in cameras]
        (root / place / "cameras.txt").write_text("# Camera list\n" + "\n".join(rows) + "\n")
        rows = [
            f"{n} {' '.join(map(repr, v))} {c} {name}\n" + ("" if n % 2 else "1.5 2.5 -1 3.5 4.5 7")
            for n, v, c, name in pictures
        ]
        (root / place / "images.txt").write_text("# Image list\n# two lines\n" + "\n".join(rows) + "\n")
    else:
        data = struct.pack("<Q", len(cameras))
        for n, m, w, h, v in cameras:
            data += struct.pack(f"<iiQQ{len(v)}d", n, list(MODELS).index(m), w, h, *v)
        (root / place / "cameras.bin").write_bytes(data)
        data = struct.pack("<Q", len(pictures))
        for n, v, c, name in pictures:
            data += struct.pack("<i7di", n, *v, c) + name.encode() + b"\0" + struct.pack("<Q", n) + b"\7" * 24 * n
        (root / place / "images.bin").write_bytes(data)
    return root


def _prepare(source: Path, out: Path, **options: Any) -> Any:
    run(Options("colmap", str(source), out, workers=1, **options))
    return open_dataset(out)


@pytest.mark.parametrize("kind", ["txt", "bin"])
@pytest.mark.parametrize("place", ["sparse/0", "sparse", "."])
def test_points_lie_on_their_colours(tmp_path: Path, kind: str, place: str) -> None:
    data = _prepare(_write(tmp_path / "in", MADE, kind, place), tmp_path / "out")
    order = [0, 2, 4, 1, 3, 5]  # of the names
    assert (data.pictures(range(6)) == MADE.rgb[order]).all()
    c2w, k = data.cameras.c2w.double().numpy(), data.cameras.intrinsics.double().numpy()
    np.testing.assert_allclose(k, MADE.k[order], atol=1e-4)
    np.testing.assert_allclose(c2w, MADE.c2w[order], atol=1e-6)
    check_points(data.pictures(range(6)), c2w, k, margin_px=0.7)
    assert FROM_Y_UP.shape == (4, 4) and data.info["world"]["source_up"] == [0, -1, 0]


def test_the_lenses_of_its_models(tmp_path: Path) -> None:
    wanted = {
        "SIMPLE_RADIAL": ((0.1,), Lens((0.1, 0, 0, 0))), "RADIAL": ((0.1, 0.2), Lens((0.1, 0.2, 0, 0))),
        "OPENCV": ((0.1, 0.2, 0.3, 0.4), Lens((0.1, 0.2, 0, 0), (), 0.3, 0.4)),
        "FULL_OPENCV": ((0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8), Lens((0.1, 0.2, 0.5), (0.6, 0.7, 0.8), 0.3, 0.4)),
        "OPENCV_FISHEYE": ((0.1, 0.2, 0.3, 0.4), Lens((0.1, 0.2, 0.3, 0.4), fisheye=True)),
        "RADIAL_FISHEYE": ((0.1, 0.2), Lens((0.1, 0.2, 0, 0), fisheye=True)), "SIMPLE_PINHOLE": ((), None),
    }  # fmt: skip
    for model, (terms, lens) in wanted.items():
        for kind in ("txt", "bin"):
            cameras, _ = read_model(
                _write(tmp_path / model / kind, MADE, kind, model=model, more=terms) / "sparse" / "0"
            )
            assert lens_of(cameras[1], "x") == lens
            assert [cameras[1][n] for n in ("fx", "cx", "cy", "w", "h")] == [*MADE.k[0][[0, 2, 3]], *MADE.size]
    for model in ("FOV", "THIN_PRISM_FISHEYE"):
        more = (0.1,) * (len(MODELS[model].split()) - 4)
        with pytest.raises(G3dError, match=f"camera model {model}"):
            colmap.collect(
                Request(str(_write(tmp_path / model, MADE, "bin", model=model, more=more)), colmap.Options())
            )


def test_what_is_not_there_and_what_has_no_camera_is_counted(tmp_path: Path) -> None:
    root = _write(tmp_path / "in", MADE, "bin")
    (root / "images" / "sub 0" / "2.png").rename(root / "images" / "new.png")
    done = g3d("prepare-data", "colmap", root, "--workers", 1, "--out", tmp_path / "out", "--json")
    listed = {
        "frames whose picture is not there": ["sub 0/2.png"],
        "pictures that the model has no camera for": ["new.png"],
    }
    assert (
        done.json["left_out"] == listed and "left out: 1 frames whose picture" in done.err and done.json["views"] == 5
    )
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["provenance"]["left_out"] == listed
    (root / "sparse" / "0" / "images.bin").write_bytes((root / "sparse" / "0" / "images.bin").read_bytes()[:99])
    with pytest.raises(G3dError, match=r"images\.bin' is not a file of COLMAP"):
        _prepare(root, tmp_path / "out2")
    shutil.rmtree(root / "sparse")
    with pytest.raises(G3dError, match="holds no model of COLMAP"):
        _prepare(root, tmp_path / "out2")


def test_masks_beside_the_pictures(tmp_path: Path) -> None:
    root = _write(tmp_path / "in", MADE, "txt")
    for i, alpha in enumerate(MADE.alpha):
        images.write_image(root / "masks" / f"sub {i % 2}" / f"{i}.png.png", alpha // 255)
    _prepare(root, tmp_path / "out")
    assert (images.read_grey(tmp_path / "out" / "masks" / "000001.png") == MADE.alpha[2]).all()
