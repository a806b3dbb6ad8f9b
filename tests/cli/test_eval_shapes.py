"""`g3d eval-shapes`: every form of shapes, what is stated beside the figures, and what is refused."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import Pipeline, g3d, refused
from g3d.data.columns import Made
from g3d.data.writer import Writer
from g3d.errors import G3dError
from g3d.export.ply import write_mesh, write_points
from g3d.scenes.mlp import Activation, Encoding, Layer, Network, Output
from g3d.scenes.scene import MlpField, World
from g3d.scenes.scene_file import save_scene
from g3d.steps import export_ply
from g3d.steps.eval_shapes import Options, resolve, run
from numpy.typing import NDArray
from PIL import Image
from toy_scenes import radiance

GREY = np.full((1, 3), 128, np.uint8)


def cube(side: float, centre: float = 0.0) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """12 triangles, turned outwards."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32) * side / 2 + centre
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return corners, np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))], np.int32)


def meshes(folder: Path, sides: list[float], centre: float = 0.0) -> Path:
    for i, side in enumerate(sides):
        vertices, faces = cube(side, centre)
        write_mesh(folder / f"{i:03d}.ply", vertices, faces, np.repeat(GREY, 8, axis=0))
    return folder


def solids(folder: Path, grids: dict[str, NDArray[np.uint8]], splits: str = "") -> Path:
    """A dataset of occupancy grids; `splits` has a letter a grid: r (training) or e (test)."""
    folder.mkdir()
    writer = Writer(folder)
    for i, (name, grid) in enumerate(grids.items()):
        split = {"split": "test" if splits[i : i + 1] == "e" else "train"}
        writer.add(name, Made(shape={"occupancy_bits": np.packbits(grid)}, entry=split))
    writer.close({"name": "t", "width": 0, "height": 0, "background": [1, 1, 1], "licence": "", "provenance": ""})
    return folder


def below(height: float, cells: int = 8) -> NDArray[np.uint8]:
    """Cells of [-1, 1]³ whose centre has y below `height`."""
    y = (np.arange(cells) + 0.5) / cells * 2 - 1
    return np.broadcast_to((y < height)[None, :, None], (cells,) * 3).astype(np.uint8)


def field(folder: Path, name: str, height: float, item: str, steep: float = 100.0) -> None:
    """Occupied where y < height: sigmoid(steep (height - y))."""
    outputs = {"occupancy": Output("a", 0, 1, Activation("sigmoid"))}
    network = Network((Layer("a", ("x",), Activation("linear")),), outputs, {"x": Encoding()})
    weights = {"a": (torch.tensor([[[0.0, -steep, 0]]]), torch.tensor([[steep * height]]))}
    save_scene(folder / f"{name}.safetensors", MlpField(weights, network, World(), "occupancy"), item=item)


def options(true: Path, test: Path, **more: Any) -> Options:
    return Options(true, test, **{"device": "cpu", **({} if more.get("grids") else {"points": 64}), **more})


def test_json_names_all_that_makes_figures_comparable(tmp_path: Path) -> None:
    true = meshes(tmp_path / "true", [0.5, 1.0, 1.5])
    test = meshes(tmp_path / "test", [0.5, 1.0, 1.5, 1.5], centre=50)
    words = ["--points", 100, "--seed", 3, "--normalise", "none", "--json", "--device", "cpu"]
    result = g3d("eval-shapes", true, test, *words)
    assert result.code == 0 and "1-NN accuracy is 0.5 for equal distributions only" in result.err
    found = result.json
    figures = {k: found.pop(k) for k in ("coverage", "mmd", "mmd_from_test", "jsd_bits")}
    assert figures["jsd_bits"] > 0.9 and figures["mmd"] == pytest.approx(
        2 * 3 * 50**2, rel=0.1
    )  # 50 away along each axis
    assert found == {
        "metric": "shapes", "n_true": 3, "n_test": 4, "empty_true": 0, "empty_test": 0, "points": 100, "seed": 3,
        "normalise": "none", "chamfer": "mean squared distance to the nearest point, both ways added", "jsd_cells": 28,
        "kind_true": "meshes_or_points", "kind_test": "meshes_or_points", "cells_true": None, "cells_test": None, "split": None,
        "num": None, "true": str(true), "test": str(test), "one_nn_accuracy": 1.0, "one_nn_of_true": 1.0, "one_nn_of_test": 1.0,
    }  # fmt: skip


def test_a_set_against_its_copy_and_against_itself_at_the_middle(tmp_path: Path) -> None:
    true = meshes(tmp_path / "true", [0.5, 1.0, 1.5])
    copy = run(options(true, meshes(tmp_path / "copy", [0.5, 1.0, 1.5])))
    assert (copy["coverage"], copy["mmd"], copy["one_nn_accuracy"], copy["jsd_bits"]) == (1, 0, 0, 0)
    alike = run(options(true, meshes(tmp_path / "far", [1.0, 2.0, 3.0], centre=7), normalise="unit-box"))
    assert (
        alike["mmd"] < 1e-12 < run(options(true, tmp_path / "far"))["mmd"]
    )  # all are one cube, once they are normalised


def test_points_of_a_mesh_lie_on_it_and_follow_the_seed(tmp_path: Path) -> None:
    """A cube of side 1 against the cloud of its six faces' grid points: near, and never nearer than they can be."""
    true = meshes(tmp_path / "true", [1.0, 1.0])
    squared = [run(options(true, true, points=n, seed=s, one_nn=False)) for n, s in ((400, 0), (400, 0), (400, 1))]
    assert squared[0] == squared[1]
    line = np.linspace(-0.5, 0.5, 21)
    faces = [
        np.insert(np.stack(np.meshgrid(line, line), -1).reshape(-1, 2), a, h, axis=1)
        for a in range(3)
        for h in (-0.5, 0.5)
    ]
    dense = np.concatenate(faces).astype(np.float32)
    np.save(tmp_path / "dense.npy", np.stack([dense, dense]))
    found = [
        run(options(true, tmp_path / "dense.npy", points=2646, seed=s, chamfer="euclidean"))["mmd"] for s in (0, 1)
    ]
    assert found[0] != found[1]
    for value in found:
        assert (
            0.02 < value < 0.06
        )  # steps of 0.05: mean distance to a lattice 0.019 (0.3826 of a step), and the way back


def test_every_form_of_points_gives_the_same(tmp_path: Path) -> None:
    clouds = np.random.default_rng(0).normal(size=(3, 64, 3)).astype(np.float32)
    np.save(tmp_path / "all.npy", clouds)
    np.savez(tmp_path / "all.npz", points=clouds, other=np.zeros(2))
    for folder in ("npy", "ply"):
        (tmp_path / folder).mkdir()
    for i, cloud in enumerate(clouds):
        np.save(tmp_path / "npy" / f"{i}.npy", cloud.astype(np.float64))
        write_points(tmp_path / "ply" / f"{i}.ply", cloud, np.repeat(GREY, 64, axis=0))
    for form in ("all.npz", "npy", "ply"):
        assert run(options(tmp_path / "all.npy", tmp_path / form))["mmd"] == 0
    fewer = run(options(tmp_path / "all.npy", tmp_path / "ply", points=32))  # the same half of both
    assert fewer["mmd"] == 0


def test_polygons_and_text_of_other_programs(tmp_path: Path) -> None:
    """A square as one quad in a text file, against the same as two triangles."""
    header = "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\nelement face {}\n"
    body = "property list uchar int vertex_index\nend_header\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n"
    for name, faces in (("quad", ["4 0 1 2 3"]), ("pair", ["3 0 1 2", "3 0 2 3"])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.ply").write_text(header.format(len(faces)) + body + "\n".join(faces) + "\n")
    assert run(options(tmp_path / "quad", tmp_path / "pair", one_nn=False))["mmd"] == 0


def test_grids_of_a_dataset_and_occupancy_fields_make_surfaces(tmp_path: Path) -> None:
    data = solids(tmp_path / "data", {"a": below(0.0), "b": below(0.5)}, "re")
    (tmp_path / "scenes").mkdir()
    for i, height in enumerate((0.0, 0.5)):
        field(tmp_path / "scenes", f"{i:06d}", height, "ab"[i])
    found = run(options(data, tmp_path / "scenes", points=500))
    assert (found["cells_true"], found["cells_test"], found["kind_test"]) == (8, 8, "fields")
    assert (
        found["coverage"] == 1 and found["mmd"] < 1e-5
    )  # the same cells, the same surface up to the edge of a sigmoid
    finer = run(options(data, tmp_path / "scenes", points=500, cells=16))
    assert finer["cells_test"] == 16 and finer["cells_true"] == 8
    one = resolve(options(data, tmp_path / "scenes", split="test", one_nn=False))
    assert one["split"] == "test"
    assert run(options(data, tmp_path / "scenes", split="test", one_nn=False))["n_true"] == 1


def test_grids_by_name_have_their_closed_form(tmp_path: Path) -> None:
    """8 layers: a differs by no cell, b by 1 layer of 8; the field is 1/2 in layer 3 and exact elsewhere."""
    true = solids(tmp_path / "true", {"a": below(0.0), "b": below(0.0)})
    test = solids(tmp_path / "test", {"b": below(0.25), "a": below(0.0)})  # in another order
    found = run(options(true, test, grids=True))
    assert found["n"] == 2 and found["mse"] == pytest.approx(1 / 16) and found["mse_std"] == pytest.approx(1 / 16)
    assert found["iou"] == pytest.approx((1 + 4 / 5) / 2)
    assert found["psnr_db"] is None and found["psnr_of_mean_mse_db"] == pytest.approx(10 * math.log10(16))
    (tmp_path / "scenes").mkdir()
    for name in "ab":
        field(tmp_path / "scenes", name, -0.125, name, steep=1e4)  # y = -0.125 is the centre of layer 3: 1/2 there
    soft = run(options(true, tmp_path / "scenes", grids=True))
    assert soft["mse"] == pytest.approx(0.25 / 8) and soft["psnr_db"] == pytest.approx(-10 * math.log10(0.25 / 8))
    assert soft["iou"] == pytest.approx(3 / 4) and (soft["cells_true"], soft["cells_test"]) == (8, 8)


def test_a_missing_partner_and_grids_that_differ(tmp_path: Path) -> None:
    true = solids(tmp_path / "true", {"a": below(0.0), "b": below(0.0)})
    with pytest.raises(
        G3dError, match=r"1 of the true shapes '.*true' have no partner in the test shapes '.*test', the first is 'b'"
    ):
        run(options(true, solids(tmp_path / "test", {"a": below(0.0)}), grids=True))
    with pytest.raises(G3dError, match=r"1 of the test shapes .* the first is 'b'"):
        run(options(tmp_path / "test", true, grids=True))
    with pytest.raises(G3dError, match=r"8³ cells .* and 4³ .* cannot be compared"):
        run(options(true, solids(tmp_path / "small", {"a": below(0.0, 4), "b": below(0.0, 4)}), grids=True))


def test_empty_shapes_are_named_or_left_out_and_counted(tmp_path: Path) -> None:
    true = meshes(tmp_path / "true", [1.0, 1.0])
    test = solids(tmp_path / "test", {"a": below(0.0), "nothing": below(-2.0), "c": below(0.5)})
    refused(g3d("eval-shapes", true, test, "--points", 9), "the test shape 'nothing'", "is empty", "--skip-empty")
    found = run(options(true, test, skip_empty=True))
    assert (found["n_test"], found["empty_test"], found["empty_true"]) == (2, 1, 0)
    with pytest.raises(G3dError, match="are all empty"):
        run(options(true, solids(tmp_path / "none", {"a": below(-2.0), "b": below(-2.0)}), skip_empty=True))


def test_num_draws_by_seed(tmp_path: Path) -> None:
    true, test = meshes(tmp_path / "true", [0.2 * i for i in range(1, 9)]), meshes(tmp_path / "test", [1.0, 1.1, 1.2])
    found = [run(options(true, test, num=3, seed=s, points=16)) for s in (0, 0, 2)]
    assert [f["n_true"] for f in found] == [3] * 3 and found[0] == found[1]
    assert found[0]["mmd"] != found[2]["mmd"]


def test_out_and_plot_are_written_and_protected(tmp_path: Path) -> None:
    true, out, plot = meshes(tmp_path / "true", [0.5, 1.0, 1.5]), tmp_path / "s.json", tmp_path / "s.png"
    words = ["eval-shapes", true, true, "--points", 32, "--out", out, "--plot", plot, "--device", "cpu"]
    assert g3d(*words).out.split() == [str(out), str(plot)]
    assert json.loads(out.read_text())["mmd"] == 0
    assert Image.open(plot).size == (768, 432)
    first = plot.read_bytes()
    refused(g3d(*words), "exists", "--overwrite")
    assert g3d(*words, "--overwrite").code == 0 and plot.read_bytes() == first
    refused(g3d("eval-shapes", true, true, "--plot", tmp_path / "s.jpg"), "must end in .png")
    grids = solids(tmp_path / "grids", {"a": below(0.0)})
    assert g3d("eval-shapes", grids, grids, "--grids", "--plot", plot, "--overwrite").code == 0


def test_what_export_ply_writes_is_read(pipeline: Pipeline, tmp_path: Path) -> None:
    export_ply.run(export_ply.Options(pipeline.scenes, tmp_path / "plys", resolution=12, level=0.0975, device="cpu"))
    found = run(options(pipeline.data, tmp_path / "plys", num=3))
    assert (found["kind_true"], found["n_test"], found["cells_true"]) == ("grids", 3, 64) and found["mmd"] > 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--normalise", "sphere"], "--normalise 'sphere' is unknown (did you mean 'unit-sphere'?); allowed are none, "),
        (["--chamfer", "cubed"], "--chamfer 'cubed' is unknown"),
        (["--points", "0"], "--points is 0; it must lie between 1 and 1048576"),
        (["--num", "1"], "are 2; 1-NN accuracy needs 2 or more on each side"),
        (["--cells", "16"], "--cells 16 has no effect: it belongs to occupancy fields, and there are none"),
        (["--split", "test"], "--split needs a dataset"),
        (["--grids"], "are meshes or points, which have no grid"),
        (["--grids", "--points", "9"], "--points has no effect: --grids compares cells"),
        (["--grids", "--no-one-nn"], "--no-one-nn has no effect"),
    ],
)  # fmt: skip
def test_options_without_range_or_effect_are_refused(tmp_path: Path, words: list[str], sentence: str) -> None:
    true = meshes(tmp_path / "true", [0.5, 1.0])
    refused(g3d("eval-shapes", true, true, *words), sentence)


def test_files_that_are_no_shapes(tmp_path: Path) -> None:
    good = meshes(tmp_path / "good", [0.5, 1.0])
    np.save(tmp_path / "flat.npy", np.zeros((5, 3), np.float32))
    np.save(tmp_path / "words.npy", np.full((2, 3, 3), "x"))
    np.save(tmp_path / "few.npy", np.zeros((2, 5, 3), np.float32))
    np.save(tmp_path / "nan.npy", np.full((2, 9, 3), np.nan, np.float32))
    np.savez(tmp_path / "two.npz", a=np.zeros(1), b=np.zeros(1))
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 no zip")
    (tmp_path / "mixed").mkdir()
    np.save(tmp_path / "mixed" / "a.npy", np.zeros((5, 3)))
    (tmp_path / "mixed" / "a.ply").write_bytes((good / "000.ply").read_bytes())
    for name, sentence in {
        "flat.npy": "holds an array [5, 3]; wanted are point clouds [N, P, 3]",
        "words.npy": "wanted are numbers",
        "few.npy": "it has 5 points and no triangles, fewer than --points 9",
        "nan.npy": "coordinates that are not finite",
        "two.npz": "holds the arrays a, b; wanted is one, or one called points",
        "bad.npz": "cannot be read",
        "mixed": "has both *.ply and *.npy",
    }.items():
        refused(g3d("eval-shapes", good, tmp_path / name, "--points", 9), name, sentence)
    whole = (good / "001.ply").read_bytes()
    for damage in (whole[:-5], whole[:100], b"", b"no ply", whole.replace(b"vertex_indices", b"vertex_indicez")):
        (good / "001.ply").write_bytes(damage)
        refused(g3d("eval-shapes", good, good), "001.ply' is not a PLY file that can be read")
    vertices, faces = cube(1.0)
    far = faces.copy()
    far[0, 0] = 8
    write_mesh(good / "001.ply", np.concatenate([vertices, vertices]), far, np.repeat(GREY, 16, axis=0))
    damaged = (good / "001.ply").read_bytes().replace(b"element vertex 16", b"element vertex 08")
    (good / "001.ply").write_bytes(damaged[: damaged.index(b"end_header\n") + 11 + 8 * 15] + damaged[-12 * 13 :])
    refused(g3d("eval-shapes", good, good, "--points", 9), "001.ply' has a face with vertex 8, but 8 vertices")


def test_scenes_that_have_no_grid(pipeline: Pipeline, tmp_path: Path) -> None:
    save_scene(tmp_path / "scenes" / "000000.safetensors", radiance())
    refused(g3d("eval-shapes", pipeline.data, tmp_path / "scenes"), "no occupancy field", "g3d export-ply")
