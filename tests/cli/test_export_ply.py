"""`g3d export-ply`: meshes and points in world units."""

import struct
from pathlib import Path

import numpy as np
import torch
from commands import Pipeline, g3d, refused
from g3d.export.splats import write_splat
from g3d.scenes.scene import tensors_of, with_tensors
from g3d.scenes.scene_file import save_scene
from g3d.steps import export_ply
from g3d.steps.export_ply import Options
from plyfile import PlyData
from toy_scenes import gaussians, image_field


def test_a_mesh_lies_within_the_bounds_and_has_colours(pipeline: Pipeline, tmp_path: Path) -> None:
    scene = pipeline.scenes / "000000.safetensors"
    out = tmp_path / "one.ply"
    level = 0.0975  # the smoke model is a fog; its density at the start is 0.095 to 0.1
    figures = export_ply.run(Options(scene, out, resolution=24, level=level, device="cpu"))
    ply = PlyData.read(str(out))
    vertices = np.stack([ply["vertex"][a] for a in "xyz"], axis=1)
    from g3d.scenes.scene_file import load_scene

    low, high = load_scene(scene).world.bounds
    assert len(vertices) == figures["last"]["vertices"] > 100
    assert (vertices >= np.array(low) - 1e-5).all() and (vertices <= np.array(high) + 1e-5).all()
    assert {"red", "green", "blue"} <= {p.name for p in ply["vertex"].properties}
    assert len(ply["face"]) == figures["last"]["faces"]


def test_points_and_a_folder_of_scenes(pipeline: Pipeline, tmp_path: Path) -> None:
    words = ["--as", "points", "--num", 50, "--resolution", 16, "--level", 0.0975, "--device", "cpu"]
    result = g3d("export-ply", pipeline.scenes, *words, "--out", tmp_path / "p")
    assert result.code == 0, result.err
    files = sorted((tmp_path / "p").glob("[!.]*"))
    assert [f.name for f in files] == ["000000.ply", "000001.ply", "000002.ply"]
    assert all(len(PlyData.read(str(f))["vertex"]) == 50 for f in files)


def test_refusals(pipeline: Pipeline, tmp_path: Path) -> None:
    out = ["--out", tmp_path / "p"]
    refused(g3d("export-ply", pipeline.scenes, "--as", "mehs", *out), "did you mean 'mesh'")
    refused(g3d("export-ply", pipeline.scenes, "--resolution", 1, *out), "between 2 and 1024")
    refused(
        g3d("export-ply", pipeline.scenes, "--level", 1e6, "--resolution", 8, *out), "--level", "000000.safetensors"
    )
    refused(g3d("export-ply", pipeline.scenes, "--out", tmp_path / "x.ply"), "give a folder")
    refused(g3d("export-ply", pipeline.scenes, "--num", 5, *out), "--num has no effect", "--as mesh")
    refused(g3d("export-ply", pipeline.scenes, "--seed", 0, "--dry-run", *out), "--seed has no effect")
    refused(g3d("export-ply", pipeline.data, *out), "holds")
    assert not list(tmp_path.iterdir())


def test_gaussians_are_written_as_they_are(tmp_path: Path) -> None:
    scene = tmp_path / "g.safetensors"
    save_scene(scene, gaussians())
    words = ["export-ply", scene, "--as", "points", "--device", "cpu", "--out", tmp_path / "g.ply"]
    for option in ("--num", "--resolution", "--level", "--seed"):
        refused(g3d(*words, option, 3), f"{option} has no effect", "g.safetensors")
    refused(g3d("export-ply", scene, "--out", tmp_path / "p"), "no surface", "g.safetensors")
    assert {"resolution", "points"}.isdisjoint(g3d(*words, "--dry-run").json)
    assert g3d(*words).code == 0
    assert len(PlyData.read(str(tmp_path / "g.ply"))["vertex"]) == 2


def test_no_gaussians_at_all(tmp_path: Path) -> None:
    """Nothing is written, rather than a file that nobody opens."""
    some = gaussians()
    none = with_tensors(some, {name: value[:, :0] for name, value in tensors_of(some).items()})
    save_scene(tmp_path / "a.safetensors", none)
    for words in (("splats",), ("splats", "--format", "splat"), ("points",)):
        done = g3d("export-ply", tmp_path / "a.safetensors", "--as", *words, "--out", tmp_path / "o")
        refused(done, "a.safetensors", "holds no Gaussians")
    assert not (tmp_path / "o").exists()


def test_an_image_field_has_no_surface(tmp_path: Path) -> None:
    save_scene(tmp_path / "i.safetensors", image_field())
    refused(g3d("export-ply", tmp_path / "i.safetensors", "--out", tmp_path / "p"), "no surface", "i.safetensors")


def test_a_level_outside_of_the_range_is_refused_with_the_range(pipeline: Pipeline, tmp_path: Path) -> None:
    scene = pipeline.scenes / "000000.safetensors"
    for level in (0, 0.05):
        words = ["--level", level, "--resolution", 8, "--out", tmp_path / "a.ply"]
        refused(g3d("export-ply", scene, *words), "everywhere at least as dense", "found 0.095", "--level between them")
    assert not list(tmp_path.iterdir())


def test_the_same_mesh_as_ply_obj_and_glb(pipeline: Pipeline, tmp_path: Path) -> None:
    from g3d.sources.surfaces.mesh_files import read_surface

    scene, found = pipeline.scenes / "000000.safetensors", {}
    for kind in ("ply", "obj", "glb"):
        done = g3d(
            "export-ply", scene, "--level", 0.0975, "--resolution", 12, "--out", tmp_path / f"a.{kind}", "--json"
        )
        assert done.code == 0, done.err
        found[kind] = read_surface(tmp_path / f"a.{kind}")
        assert len(found[kind].corners) == done.json["last"]["faces"] > 10
        np.testing.assert_allclose(found[kind].corners, found["ply"].corners, atol=1e-6)
        np.testing.assert_allclose(found[kind].colours, found["ply"].colours, atol=1e-5)
    words = ["--level", 0.0975, "--resolution", 8, "--format", "glb", "--out", tmp_path / "many"]
    assert g3d("export-ply", pipeline.scenes, *words).code == 0
    assert sorted(p.name for p in (tmp_path / "many").glob("[!.]*")) == [f"00000{i}.glb" for i in range(3)]


def test_forms_and_names_that_do_not_go_together(pipeline: Pipeline, tmp_path: Path) -> None:
    scene = pipeline.scenes / "000000.safetensors"
    refused(g3d("export-ply", scene, "--out", tmp_path / "a.stl"), "asks for STL", ".ply, .obj or .glb")
    refused(g3d("export-ply", scene, "--out", tmp_path / "a.obj", "--format", "glb"), "contradict each other")
    refused(g3d("export-ply", scene, "--out", tmp_path / "a", "--format", "fbx"), "one of ply, obj, glb")
    refused(g3d("export-ply", scene, "--as", "points", "--out", tmp_path / "a.obj"), "PLY alone", "--as mesh")
    refused(g3d("export-ply", scene, "--out", tmp_path / "a.splat"), "PLY or OBJ or GLB, not as SPLAT", "--as splats")
    refused(g3d("export-ply", scene, "--as", "splats", "--format", "glb", "--out", tmp_path / "a"), "PLY or SPLAT")
    refused(g3d("export-ply", scene, "--as", "splats", "--out", tmp_path / "a.sog"), "splat-transform makes SOG")
    refused(g3d("export-ply", scene, "--as", "splats", "--format", "spz", "--out", tmp_path / "a"), "makes SPZ")
    assert not list(tmp_path.iterdir())


def test_a_splat_file_read_by_its_layout(tmp_path: Path) -> None:
    """32 bytes each: the numbers of three Gaussians by hand, the largest and most opaque first; one is no number."""
    means = torch.tensor([[[1.0, 2, 3], [4, 5, 6], [float("nan"), 0, 0], [7, 8, 9]]])
    log_scales = torch.tensor([[[0.1, 0.2, 0.3], [1, 1, 1], [1, 1, 1], [0.1, 0.2, 0.3]]]).log()
    quats = torch.tensor([[[2.0, 0, 0, 0], [0, 0, -3, 0], [1, 0, 0, 0], [1, 1, 1, 1]]])
    logits = torch.tensor([[0.0, 0, 0, 100]])
    sh = torch.zeros(1, 4, 4, 3)
    sh[0, :, 0] = torch.tensor([[0.0, 9, -9], [0.5 / 0.2820948, 0, 0], [0, 0, 0], [0, 0, 0]])
    sh[0, :, 1:] = 3.0  # by direction: left out
    arrays = (t[0].numpy() for t in (means, log_scales, quats, logits, sh))
    assert write_splat(tmp_path / "a.splat", *arrays) == 1
    data = (tmp_path / "a.splat").read_bytes()
    rows = [struct.unpack("<6f8B", data[i : i + 32]) for i in range(0, len(data), 32)]
    assert len(rows) == 3
    np.testing.assert_allclose([row[:3] for row in rows], [[4, 5, 6], [7, 8, 9], [1, 2, 3]])
    np.testing.assert_allclose([row[3:6] for row in rows], [[1, 1, 1], [0.1, 0.2, 0.3], [0.1, 0.2, 0.3]], rtol=1e-6)
    assert [row[6:10] for row in rows] == [(255, 128, 128, 128), (128, 128, 128, 255), (128, 255, 0, 128)]
    assert [row[10:] for row in rows] == [(128, 128, 0, 128), (192, 192, 192, 192), (255, 128, 128, 128)]


def test_splat_and_ply_hold_the_same_splats(tmp_path: Path) -> None:
    """Turned by --up, too; by the folder, and by a name."""
    scene = gaussians(far_along_z=2.0)
    save_scene(tmp_path / "s" / "g.safetensors", scene)
    for up, z in (("y", -2.0), ("-y", 2.0)):
        words = ("export-ply", tmp_path / "s", "--as", "splats", "--up", up)
        assert g3d(*words, "--format", "splat", "--out", tmp_path / f"f{up}").code == 0
        data = np.frombuffer((tmp_path / f"f{up}" / "g.splat").read_bytes(), np.float32).reshape(2, 8)
        np.testing.assert_allclose(sorted(data[:, 2] / z), [0, 1], atol=1e-6)
    one = g3d("export-ply", tmp_path / "s", "--as", "splats", "--out", tmp_path / "one.splat", "--json")
    assert one.code == 0 and one.json["last"]["splats"] == 2
    assert (tmp_path / "one.splat").read_bytes() == (tmp_path / "fy" / "g.splat").read_bytes()
