"""Splats as tools write them: infinite opacities and scales, rows that are nothing, colours without harmonics, a single one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import g3d, refused
from g3d.importers.splats import read_splats
from g3d.render import render_scene
from g3d.scenes.scene import Gaussians
from g3d.scenes.scene_file import load_scene
from g3d.storage import artifacts
from plyfile import PlyData, PlyElement

NAMES = (
    "x",
    "y",
    "z",
    "f_dc_0",
    "f_dc_1",
    "f_dc_2",
    "opacity",
    "scale_0",
    "scale_1",
    "scale_2",
    "rot_0",
    "rot_1",
    "rot_2",
    "rot_3",
)
ROW = (0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 4.0, -2.0, -2.0, -2.0, 1.0, 0.0, 0.0, 0.0)


def _row(**change: float) -> tuple[float, ...]:
    return tuple(change.get(name, value) for name, value in zip(NAMES, ROW, strict=True))


def _ply(path: Path, *rows: tuple[float, ...], comment: bytes = b"") -> Path:
    table = np.array(list(rows), [(n, "<f4") for n in NAMES])
    PlyData([PlyElement.describe(table, "vertex")], comments=["x"]).write(str(path))
    path.write_bytes(path.read_bytes().replace(b"comment x", b"comment x" + comment))
    return path


def _imported(path: Path, *words: object) -> tuple[Any, Gaussians]:
    out = path.with_suffix(".safetensors")
    done = g3d("import-ply", path, "--out", out, "--json", "--overwrite", *words)
    assert done.code == 0, done.err
    scene = load_scene(out)
    assert isinstance(scene, Gaussians)
    return done, scene


def test_infinite_opacities_and_flat_scales(tmp_path: Path) -> None:
    inf = float("inf")
    rows = [_row(opacity=inf), _row(opacity=-inf, x=1.0), _row(scale_2=-inf, x=2.0), _row(x=3.0)]
    done, scene = _imported(_ply(tmp_path / "a.ply", *rows))
    assert (
        done.json["splats"] == 4
        and done.json["dropped"] == 0
        and done.json["left_out"] == {}
        and "left out" not in done.err
    )
    opacity = scene.opacity_logits[0].sigmoid()
    assert opacity[0] == 1 and 0 < opacity[1] < 1e-8 and 0 < scene.log_scales[0, 2, 2].exp() < 1e-8
    assert torch.isfinite(scene.opacity_logits).all() and scene.means[0, :, 0].tolist() == [0, 1, 2, 3]


def test_rows_that_are_nothing_are_left_out_and_counted(tmp_path: Path) -> None:
    nan, inf = float("nan"), float("inf")
    rows = [
        _row(),
        _row(x=nan),
        (0.0,) * len(NAMES),
        _row(y=inf),
        _row(scale_0=inf),
        _row(x=1e20),
        _row(scale_1=60.0),
        _row(x=1.0),
    ]
    done, scene = _imported(_ply(tmp_path / "a.ply", *rows))
    wanted = {
        "rows with NaN or infinity": ["row 1", "row 3", "row 4"], "rows of zeros, without an orientation": ["row 2"],
        "rows farther or larger than 1e+09 world units": ["row 5", "row 6"],
    }  # fmt: skip
    assert done.json["left_out"] == wanted and (done.json["splats"], done.json["dropped"]) == (2, 6)
    (told,) = [line for line in done.err.splitlines() if "left out" in line]
    assert told.startswith("of 8 Gaussians left out: 3 rows with NaN or infinity ('row 1', ...); 1 rows of zeros")
    kept = artifacts.header(tmp_path / "a.safetensors").config["left_out"]
    assert kept["rows of zeros, without an orientation"] == [1, "row 2"]
    assert scene.means[0, :, 0].tolist() == [0, 1] and np.isfinite(scene.world.bounds).all()


def test_files_without_gaussians(tmp_path: Path) -> None:
    out = ["--out", tmp_path / "a.safetensors"]
    refused(g3d("import-ply", _ply(tmp_path / "none.ply"), *out), "holds no Gaussians that can be drawn, of 0 rows")
    refused(
        g3d("import-ply", _ply(tmp_path / "nan.ply", _row(x=float("nan"))), *out),
        "of 1 rows: left out: 1 rows with NaN",
    )
    assert not (tmp_path / "a.safetensors").exists()


def test_comments_of_any_bytes(tmp_path: Path) -> None:
    for i, comment in enumerate(("Ελληνικά".encode(), "größe".encode("latin-1"), b"\xff\xfe\x00")):
        _, scene = _imported(_ply(tmp_path / f"{i}.ply", _row(), _row(x=0.5), comment=comment))
        assert scene.means[0].tolist() == [[0, 0, 0], [0.5, 0, 0]]


@pytest.mark.parametrize(("kind", "scale"), [("u1", 1), ("<u2", 257), ("<f4", 1 / 255), ("<f4", 1)])
def test_colours_without_harmonics(tmp_path: Path, kind: str, scale: float) -> None:
    others = [n for n in NAMES if not n.startswith("f_dc")]
    table = np.zeros(2, [*((n, "<f4") for n in others), *((n, kind) for n in ("red", "green", "blue"))])
    for name in others:
        table[name] = ROW[NAMES.index(name)]
    for name, values in (("red", (255, 0)), ("green", (51, 102)), ("blue", (0, 204))):
        table[name] = np.array(values) * scale
    PlyData([PlyElement.describe(table, "vertex")]).write(str(tmp_path / "a.ply"))
    found = read_splats(tmp_path / "a.ply")
    np.testing.assert_allclose(
        found.sh[:, 0] * 0.28209479 + 0.5, np.array([[255, 51, 0], [0, 102, 204]]) / 255, atol=1e-6
    )


def test_a_point_cloud_is_refused_by_what_it_lacks(tmp_path: Path) -> None:
    table = np.zeros(2, [*((n, "<f4") for n in "xyz"), *((n, "u1") for n in ("red", "green", "blue"))])
    PlyData([PlyElement.describe(table, "vertex")]).write(str(tmp_path / "a.ply"))
    refused(g3d("import-ply", tmp_path / "a.ply", "--out", tmp_path / "a.safetensors"), "f_dc_0", "scale_0")


def test_a_single_gaussian_is_seen(tmp_path: Path) -> None:
    """A ball of one world unit: the camera stands outside of it, and it fills some of the picture, not all."""
    _, scene = _imported(_ply(tmp_path / "a.ply", _row(scale_0=0.0, scale_1=0.0, scale_2=0.0, f_dc_0=1.7)))
    assert scene.world.camera_prior is not None
    camera = scene.world.camera_prior.default()
    assert camera.c2w[0, :3, 3].norm() > 3
    drawn = render_scene(scene, camera.resized(64, 64))
    covered = (drawn.alpha[0] > 0.5).float().mean()
    assert 0.02 < covered < 0.5


def test_the_video_of_one_scene_has_the_size_of_its_frames(tmp_path: Path) -> None:
    from imageio_ffmpeg import read_frames

    _imported(_ply(tmp_path / "a.ply", _row(), _row(x=0.5)))
    words = ["--cameras", "orbit:2", "--size", 300, "--video", tmp_path / "v.mp4"]
    done = g3d("render", tmp_path / "a.safetensors", *words, "--out", tmp_path / "i")
    assert done.code == 0, done.err
    reader = read_frames(str(tmp_path / "v.mp4"))
    assert next(reader)["source_size"] == (300, 300)
    reader.close()
