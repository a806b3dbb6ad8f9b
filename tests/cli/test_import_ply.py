"""`g3d import-ply` and `export-ply --as splats`: files of other programs come in, ours go out, and the picture stays."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import g3d, refused
from g3d import images
from g3d.cameras import CameraPrior
from g3d.export.splats import write_splats
from g3d.importers.splats import read_splats
from g3d.render import render_scene
from g3d.render.splat import turn
from g3d.render.splat.harmonics import sh_colour
from g3d.scenes.scene import Gaussians
from g3d.scenes.scene_file import load_scene, save_scene
from g3d.steps import export_ply, import_ply
from numpy.typing import NDArray
from plyfile import PlyData, PlyElement
from splat_cases import crowd
from toy_scenes import world


def scene(k: int = 16, count: int = 300) -> Gaussians:
    made = crowd(count, k=k)
    tensors = {n: getattr(made, n).float() for n in ("means", "log_scales", "quats", "opacity_logits", "sh")}
    return Gaussians(**tensors, world=world(64))


@pytest.mark.parametrize("up", ["y", "-y", "z", "-z"])
@pytest.mark.parametrize("k", [1, 4, 9, 16])
def test_a_round_trip_draws_the_same_picture(k: int, up: str, tmp_path: Path) -> None:
    before = scene(k)
    save_scene(tmp_path / "s.safetensors", before)
    out = g3d("export-ply", tmp_path / "s.safetensors", "--as", "splats", "--up", up, "--out", tmp_path / "s.ply")
    assert out.code == 0, out.err
    back = g3d("import-ply", tmp_path / "s.ply", "--up", up, "--out", tmp_path / "t.safetensors", "--json")
    assert back.json["splats"] == 300 and back.json["dropped"] == 0 and back.json["sh_degree"] == math.isqrt(k) - 1
    after = load_scene(tmp_path / "t.safetensors")
    camera = CameraPrior(3.0, 45.0, 64, 64).default()
    for a, b in zip(
        render_scene(before, camera), render_scene(replace(after, world=before.world), camera), strict=True
    ):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=0)
    if up == "y":
        assert isinstance(after, Gaussians)
        assert torch.equal(before.sh, after.sh) and torch.equal(before.quats, after.quats)


def test_the_layout_is_that_of_3d_gaussian_splatting(tmp_path: Path) -> None:
    made = scene(4, 7)
    save_scene(tmp_path / "s.safetensors", made)
    export_ply.run(export_ply.Options(tmp_path / "s.safetensors", tmp_path / "s.ply", form="splats", device="cpu"))
    data = PlyData.read(str(tmp_path / "s.ply"))
    assert data.byte_order == "<" and not data.text
    vertex = data["vertex"]
    wanted = [
        "x",
        "y",
        "z",
        "nx",
        "ny",
        "nz",
        *(f"f_dc_{i}" for i in range(3)),
        *(f"f_rest_{i}" for i in range(9)),
        "opacity",
    ]
    assert [p.name for p in vertex.properties] == [
        *wanted,
        *(f"scale_{i}" for i in range(3)),
        *(f"rot_{i}" for i in range(4)),
    ]
    assert all(p.val_dtype == "f4" for p in vertex.properties)
    np.testing.assert_array_equal(vertex["f_rest_1"], made.sh[0, :, 2, 0])  # red: coefficients 1, 2, 3, then green
    np.testing.assert_array_equal(vertex["f_rest_3"], made.sh[0, :, 1, 1])
    np.testing.assert_array_equal(vertex["rot_0"], made.quats[0, :, 0])
    np.testing.assert_array_equal(vertex["opacity"], made.opacity_logits[0])
    np.testing.assert_array_equal(vertex["scale_2"], made.log_scales[0, :, 2])
    assert not vertex["nx"].any()


def test_open3d_reads_our_splats(tmp_path: Path) -> None:
    o3d = pytest.importorskip("open3d", exc_type=ImportError)
    made = scene(1, 9)
    save_scene(tmp_path / "s.safetensors", made)
    export_ply.run(export_ply.Options(tmp_path / "s.safetensors", tmp_path / "s.ply", form="splats", device="cpu"))
    assert "f_rest_0" not in (tmp_path / "s.ply").read_bytes()[:2000].decode("latin1")  # only above degree 0
    cloud = o3d.t.io.read_point_cloud(str(tmp_path / "s.ply"))
    np.testing.assert_array_equal(cloud.point.positions.numpy(), made.means[0].numpy())


def test_rows_that_are_no_numbers_are_left_out_and_counted(tmp_path: Path) -> None:
    made = scene(1, 5)
    arrays = [getattr(made, n)[0].numpy().copy() for n in ("means", "log_scales", "quats", "opacity_logits", "sh")]
    arrays[0][1, 2], arrays[3][4] = np.nan, np.inf
    assert write_splats(tmp_path / "s.ply", *arrays) == 2
    assert len(read_splats(tmp_path / "s.ply").means) == 3
    table = PlyData.read(str(tmp_path / "s.ply"))["vertex"].data.copy()
    table["scale_1"][0] = np.nan
    PlyData([PlyElement.describe(table, "vertex")]).write(str(tmp_path / "t.ply"))
    assert import_ply.run(import_ply.Options(tmp_path / "t.ply", tmp_path / "t.safetensors"))["dropped"] == 1
    table["scale_1"][:] = np.nan
    PlyData([PlyElement.describe(table, "vertex")]).write(str(tmp_path / "u.ply"))
    refused(
        g3d("import-ply", tmp_path / "u.ply", "--out", tmp_path / "u.safetensors"), "no Gaussian", "left out: 3 rows"
    )


def test_other_scalar_types_and_byte_orders(tmp_path: Path) -> None:
    made = scene(4, 6)
    arrays = [getattr(made, n)[0].numpy() for n in ("means", "log_scales", "quats", "opacity_logits", "sh")]
    write_splats(tmp_path / "s.ply", *arrays)
    table = PlyData.read(str(tmp_path / "s.ply"))["vertex"].data
    wide = table.astype([(n, "f8") for n in table.dtype.names])
    PlyData([PlyElement.describe(wide, "vertex")], byte_order=">").write(str(tmp_path / "w.ply"))
    PlyData([PlyElement.describe(table, "vertex")], text=True).write(str(tmp_path / "a.ply"))
    for name in ("w", "a"):
        np.testing.assert_allclose(read_splats(tmp_path / f"{name}.ply").sh, arrays[4], rtol=1e-5)


def pack(made: Gaussians, path: Path) -> None:
    """SuperSplat's layout, written by hand for this test: one chunk."""
    n = made.means.shape[1]
    means, logs = made.means[0].numpy(), made.log_scales[0].numpy()
    rgb = made.sh[0, :, 0].numpy() * 0.28209479177387814 + 0.5
    opacity = torch.sigmoid(made.opacity_logits[0]).numpy()

    def unit(values: NDArray[np.float32]) -> NDArray[np.float32]:
        result: NDArray[np.float32] = (values - values.min(0)) / (values.max(0) - values.min(0))
        return result

    def word(values: NDArray[np.float32], widths: tuple[int, ...]) -> NDArray[np.uint32]:
        total = np.zeros(n, np.uint32)
        for column, width in zip(values.T, widths, strict=True):
            total = (total << np.uint32(width)) | np.round(column * ((1 << width) - 1)).astype(np.uint32)
        return total

    quats = torch.nn.functional.normalize(made.quats[0], dim=-1).numpy()
    largest = np.abs(quats).argmax(1)
    quats = quats * np.sign(quats[np.arange(n), largest])[:, None]
    others = np.array([np.delete(q, k) for q, k in zip(quats, largest, strict=True)], np.float32)
    turn_word = (largest.astype(np.uint32) << np.uint32(30)) | word(others / np.float32(2**0.5) + 0.5, (10, 10, 10))
    low_high = [np.concatenate([v.min(0), v.max(0)]) for v in (means, logs, rgb)]
    names = [
        f"{end}_{kind}{a}"
        for kind, axes in (("", "xyz"), ("scale_", "xyz"), ("", "rgb"))
        for end in ("min", "max")
        for a in axes
    ]
    chunk = np.array([tuple(np.concatenate(low_high))], [(k, "f4") for k in names])
    vertex = np.empty(n, [(f"packed_{k}", "u4") for k in ("position", "rotation", "scale", "color")])
    vertex["packed_position"], vertex["packed_rotation"] = word(unit(means), (11, 10, 11)), turn_word
    vertex["packed_scale"] = word(unit(logs), (11, 10, 11))
    vertex["packed_color"] = word(np.concatenate([unit(rgb), opacity[:, None]], 1), (8, 8, 8, 8))
    rest = made.sh[0, :, 1:].numpy().transpose(0, 2, 1).reshape(n, -1)
    bands = np.empty(n, [(f"f_rest_{i}", "u1") for i in range(rest.shape[1])])
    for i in range(rest.shape[1]):
        bands[f"f_rest_{i}"] = np.round((rest[:, i] + 4) * 255 / 8).clip(0, 255)
    PlyData([PlyElement.describe(t, k) for t, k in ((chunk, "chunk"), (vertex, "vertex"), (bands, "sh"))]).write(
        str(path)
    )


def test_packed_splats_of_supersplat(tmp_path: Path) -> None:
    made = scene(9, 200)
    pack(made, tmp_path / "p.ply")
    found = read_splats(tmp_path / "p.ply")
    span = float(made.means[0].max() - made.means[0].min())
    np.testing.assert_allclose(found.means, made.means[0], atol=span / 1000)
    np.testing.assert_allclose(found.log_scales, made.log_scales[0], atol=0.01)
    unit = torch.nn.functional.normalize(made.quats[0], dim=-1).numpy()
    assert np.abs((found.quats * unit).sum(1)).min() > 0.999  # up to the sign
    np.testing.assert_allclose(found.sh[:, 1:], made.sh[0, :, 1:], atol=0.016)
    np.testing.assert_allclose(found.sh[:, 0], made.sh[0, :, 0], atol=0.03)
    np.testing.assert_allclose(
        1 / (1 + np.exp(-found.opacity_logits)), torch.sigmoid(made.opacity_logits[0]), atol=0.003
    )


def test_harmonics_turn_with_the_scene() -> None:
    """The colour seen along R d afterwards is the colour seen along d before."""
    g = torch.Generator().manual_seed(0)
    d = torch.randn(50, 3, generator=g, dtype=torch.float64)
    sh = torch.randn(50, 16, 3, generator=g, dtype=torch.float64)
    for up in ("-y", "z", "-z"):
        rotation = turn.from_y_up(up)
        new = torch.einsum("jk,nkc->njc", turn.sh_turn(rotation, 16), sh)
        torch.testing.assert_close(sh_colour(new, d @ rotation.double().T), sh_colour(sh, d), atol=1e-10, rtol=0)


def test_files_of_others(shared_data: Path, tmp_path: Path) -> None:
    """90,854 splats of degree 0, and 64 packed ones of degree 3: imported, drawn, measured and exported."""
    for name, count, degree in (("guitar_sh0", 90854, 0), ("playcanvas_64_sh3", 64, 3)):
        scene_file = tmp_path / f"{name}.safetensors"
        read = g3d("import-ply", shared_data / "splats" / f"{name}.ply", "--up", "-y", "--out", scene_file, "--json")
        assert read.code == 0, read.err
        assert read.json["splats"] + read.json["dropped"] == count and read.json["sh_degree"] == degree
        words = ["--size", 96, "--device", "cpu", "--out", tmp_path / name, "--set", "background=0,0,0"]
        assert g3d("render", scene_file, "--backend", "cpu", *words).code == 0
        picture = images.read_image(tmp_path / name / "000000.png")
        assert (picture.max(axis=-1) > 40).mean() > 0.02, name
        out = g3d("export-ply", scene_file, "--as", "splats", "--up", "-y", "--out", tmp_path / f"{name}.ply")
        assert out.code == 0, out.err
        again = read_splats(tmp_path / f"{name}.ply")
        np.testing.assert_allclose(again.means, read_splats(shared_data / "splats" / f"{name}.ply").means, atol=1e-6)
    found = g3d("profile", tmp_path / "guitar_sh0.safetensors", "--size", 256, "--device", "cpu", "--json").json
    assert found["width"] == 256 and found["ms_per_view"] > 0


def test_refusals(tmp_path: Path) -> None:
    save_scene(tmp_path / "s.safetensors", scene(1, 3))
    base = ["export-ply", tmp_path / "s.safetensors", "--out", tmp_path / "o.ply"]
    refused(g3d(*base, "--as", "splats", "--up", "x"), "--up is 'x'", "y, -y, z, -z")
    refused(g3d(*base, "--as", "points", "--up", "y"), "--up has no effect")
    refused(g3d(*base, "--as", "splats", "--num", 3), "--num has no effect")
    assert g3d(*base, "--as", "points").code == 0
    out = ["--out", tmp_path / "t.safetensors"]
    refused(g3d("import-ply", tmp_path / "o.ply", *out), "holds no 3D Gaussians", "f_dc_0")
    refused(g3d("import-ply", tmp_path / "nothing.ply", *out), "does not exist")
    assert g3d(*base[:2], "--out", tmp_path / "p.ply", "--as", "splats").code == 0
    refused(g3d("import-ply", tmp_path / "p.ply", "--out", tmp_path / "t.ply"), "ends in .safetensors")
    refused(g3d("import-ply", tmp_path / "p.ply", "--out", tmp_path / "s.safetensors"), "exists")
    table = PlyData.read(str(tmp_path / "p.ply"))["vertex"].data
    short = np.empty(len(table), [(n, "f4") for n in table.dtype.names if n != "rot_3"])
    PlyData([PlyElement.describe(short, "vertex")]).write(str(tmp_path / "q.ply"))
    refused(g3d("import-ply", tmp_path / "q.ply", *out), "lacks the property 'rot_3'")


def test_a_back_end_is_for_gaussians_and_must_be_there(tmp_path: Path) -> None:
    from toy_scenes import radiance

    save_scene(tmp_path / "g.safetensors", scene(1, 20))
    save_scene(tmp_path / "r.safetensors", radiance())
    for command in (["render", "--out", tmp_path / "i", "--overwrite"], ["profile", "--repeats", 1]):
        words = [command[0], tmp_path / "g.safetensors", *command[1:], "--size", 16, "--device", "cpu", "--backend"]
        refused(g3d(*words, "gpv"), "did you mean 'gpu'")
        refused(g3d(*words, "gsplat"), "needs a CUDA GPU")
        assert g3d(*words, "reference").code == 0
        other = [command[0], tmp_path / "r.safetensors", *command[1:], "--device", "cpu", "--backend", "cpu"]
        refused(g3d(*other), "--backend cpu draws 3D Gaussians")
