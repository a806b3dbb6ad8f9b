"""`g3d profile`: the paper's exact figures, counted from built models; tables over sizes, settings, against another."""

import itertools
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import Pipeline, g3d, g3d_process, refused
from g3d.cameras import CameraPrior
from g3d.evaluation import cost
from g3d.evaluation.memory import rise_mb
from g3d.evaluation.table import Table
from g3d.scenes.scene_file import save_scene
from g3d.steps import profile
from g3d.steps.profile import Options
from g3d.storage import artifacts
from PIL import Image
from toy_scenes import gaussians, occupancy, radiance

ROW = {
    "parameters", "inference_parameters", "macs", "macs_by_hand", "flops", "ms_per_view", "ms_quartiles", "views_per_second",
    "memory_rise_mb", "width", "height",
}  # fmt: skip
KEYS = ROW | {"peak_memory_mb", "device", "threads", "omp_wait", "repeats"}
SMALL = ["signal=image", "hidden_layers=1", "width=16", "bases=4", "latent_dim=8"]


@pytest.mark.slow
def test_the_command_prints_the_figures_of_the_paper() -> None:
    words = [f"--set={pair}" for pair in ("signal=image", "hidden_layers=2", "width=64", "bases=64", "latent_dim=256")]
    found = g3d_process("profile", "mnif", *words, "--json").json
    assert set(found) == KEYS
    assert found["parameters"] == 623040 and found["inference_parameters"] == 8707
    by_hand = 4096 * (2 * 64 + 2 * 64 * 64 + 64 * 3)  # the products of a 64² image
    assert found["macs"] == found["macs_by_hand"] == by_hand and found["flops"] == 2 * by_hand
    assert found["views_per_second"] == pytest.approx(1000 / found["ms_per_view"], rel=1e-2)
    assert found["ms_quartiles"][0] <= found["ms_per_view"] <= found["ms_quartiles"][1]
    assert (found["width"], found["height"], found["repeats"]) == (64, 64, 5)


def test_multiply_adds_of_a_64_image() -> None:
    """Table 1: 0.069 G for S, 0.340 G for L."""
    small = ["signal=image", "hidden_layers=4", "width=64", "bases=16", "latent_dim=16"]
    large = ["signal=image", "hidden_layers=5", "width=128", "bases=16", "latent_dim=16"]
    assert round(profile.run(Options("mnif", settings=small, device="cpu"))["macs"] / 1e9, 3) == 0.068
    assert round(profile.run(Options("mnif", settings=large, device="cpu"))["macs"] / 1e9, 3) == 0.338


def test_the_grid_of_a_solid() -> None:
    """Table 2: 4.4 GFLOPs (multiply-adds) for S and 21.6 for L over 64³ cells: here by the products of 8³, times 512."""
    sizes = {"s": (4, 64), "l": (5, 128)}
    for name, (layers, width) in sizes.items():
        small = ["signal=voxel", f"hidden_layers={layers}", f"width={width}", "bases=4", "latent_dim=4"]
        found = profile.run(Options("mnif", settings=small, grid=8, repeats=1, device="cpu"))
        products = 3 * width + layers * width * width + width
        assert found["macs"] == found["macs_by_hand"] == 8**3 * products and found["grid_cells"] == 8
        assert round(512 * found["macs"] / 1e9, 1) == pytest.approx({"s": 4.4, "l": 21.6}[name], abs=0.11)
        assert {"views_per_second", "memory_rise_mb"} <= set(found)


def test_a_grid_is_of_solids_alone() -> None:
    words = ["profile", "mnif", *(f"--set={pair}" for pair in SMALL)]
    refused(g3d(*words, "--grid", 8), "--grid 8", "occupancy field")
    refused(g3d(*words, "--grid", 1), "between 2 and 512")
    refused(g3d(*words, "--grid", 8, "--size", 9), "leave one of them out")


def test_a_model_and_a_scene(pipeline: Pipeline) -> None:
    of_model = profile.run(Options(str(pipeline.model), size=16, device="cpu"))
    of_scene = profile.run(Options(str(pipeline.scenes / "000000.safetensors"), size=16, device="cpu"))
    scene_numbers = 3 * 16 + 16 + 16 * 16 + 16 + 16 * 4 + 4
    assert of_model["inference_parameters"] == of_scene["inference_parameters"] == scene_numbers
    assert of_model["parameters"] == 4 * scene_numbers + (8 + 1) * 4 * 3
    assert of_model["macs"] == of_scene["macs"] > 0
    rays = 16 * 16 * 3 * 3  # each direction is turned by a 3 x 3 matrix, which the counter sees
    assert of_scene["macs"] == of_scene["macs_by_hand"] + rays
    assert of_scene["macs_by_hand"] % (8 * (3 * 16 + 16 * 16 + 16 * 4)) == 0  # whole rays of 8 samples


def test_a_count_that_needs_no_renderer(tmp_path: Path) -> None:
    """A camera within the box: every one of 8² rays passes it, and asks 8 times for 4 outputs of 3 inputs."""
    scene = radiance()
    world = scene.world
    inside = type(scene)(
        scene.weights, scene.network, type(world)(camera_prior=CameraPrior(0.5, 45.0, 8, 8), samples=8)
    )
    save_scene(tmp_path / "s.safetensors", inside)
    assert profile.run(Options(str(tmp_path / "s.safetensors"), device="cpu"))["macs_by_hand"] == 64 * 8 * 12


def test_kinds_whose_work_is_not_known_beforehand(tmp_path: Path) -> None:
    for name, scene in {"g": gaussians(), "o": occupancy()}.items():
        save_scene(tmp_path / f"{name}.safetensors", scene)
    points = profile.run(Options(str(tmp_path / "g.safetensors"), device="cpu", repeats=1))
    assert points["flops"] is points["macs"] is points["macs_by_hand"] is None
    solid = profile.run(Options(str(tmp_path / "o.safetensors"), device="cpu", repeats=1))
    assert solid["macs"] > 0 and solid["macs_by_hand"] is None
    assert solid["ms_quartiles"] == [solid["ms_per_view"]] * 2  # of one view


def test_sizes_and_sweeps_make_a_row_each(tmp_path: Path) -> None:
    sweep = ("bases=4,8", "hidden_layers=1,2")
    options = Options(
        "mnif", settings=[SMALL[0], *SMALL[2:3], SMALL[4]], sizes="8,16", sweep=sweep, device="cpu", repeats=2
    )
    found = profile.run(options)
    rows = found["rows"]
    arms = [f"bases={m} hidden_layers={n}" for m in (4, 8) for n in (1, 2)]
    assert [(r["what"], r["width"]) for r in rows] == [(arm, size) for arm in arms for size in (8, 16)]
    assert all(set(r) == ROW | {"what"} for r in rows)
    assert rows[1]["macs"] == 4 * rows[0]["macs"]  # twice the side
    by_name = {r["what"]: r for r in rows}
    per_basis = 16 * 2 + 16 + 16 * 16 + 16 + 3 * 16 + 3 + 9 * 3  # weights, biases, its three rows of T
    assert by_name[arms[2]]["parameters"] - by_name[arms[0]]["parameters"] == 4 * per_basis
    assert by_name[arms[0]]["inference_parameters"] == by_name[arms[2]]["inference_parameters"]
    assert profile.resolve(options)["rows"] == arms


def test_against_another_gives_ratios(pipeline: Pipeline) -> None:
    words = [
        "profile",
        "mnif",
        *(f"--set={pair}" for pair in SMALL),
        "--sizes",
        "8,16",
        "--repeats",
        2,
        "--device",
        "cpu",
    ]
    found = g3d(*words, "--against", "mnif:smoke", "--json").json
    assert [r["what"] for r in found["rows"]] == ["mnif", "mnif", "mnif:smoke", "mnif:smoke"]
    mine, other = found["rows"][1], found["rows"][3]
    ratio = found["ratios"][1]
    assert (ratio["what"], ratio["width"], len(found["ratios"])) == ("mnif", 16, 2)
    for name in ("parameters", "macs", "ms_per_view"):
        assert ratio[name] == pytest.approx(mine[name] / other[name], abs=1e-3)
    same = profile.run(Options(str(pipeline.model), against=str(pipeline.model), device="cpu", repeats=1))
    assert same["ratios"][0]["parameters"] == same["ratios"][0]["macs"] == 1


def test_a_table_is_aligned_for_people_and_whole_for_programs() -> None:
    rows: list[dict[str, Any]] = [
        {"what": "a", "macs": 68_157_440, "ms": 1.23456, "q": [1.0, 2.5], "more": 1},
        {"what": "longer", "macs": 4096, "ms": None, "q": None, "more": 2},
    ]
    table = Table(rows, {"what": "what", "macs": "MACs", "ms": "ms", "q": "quartiles"})
    lines = [
        "what       MACs     ms  quartiles",
        "a       68.16 M  1.235      1-2.5",
        "longer    4,096      -          -",
    ]
    assert str(table).splitlines() == ["", *lines]
    assert list(table) == rows
    words = [
        "profile",
        "mnif",
        *(f"--set={pair}" for pair in SMALL),
        "--sizes",
        "8,16",
        "--repeats",
        1,
        "--device",
        "cpu",
    ]
    shown = g3d(*words).out.splitlines()
    assert shown[0].strip() == "rows" and shown[1].split()[:2] == ["what", "px"]
    assert [line.split()[:2] for line in shown[2:4]] == [["mnif", "8"], ["mnif", "16"]]
    assert len({len(line) for line in shown[1:4]}) == 1


def test_rows_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that becomes slower meanwhile must not make the last row the slowest."""
    drawn: list[str] = []
    views = [lambda name=name: drawn.append(name) for name in "ab"]
    times = cost.times_ms(views, 3, torch.device("cpu"), profile.SILENT)
    assert "".join(drawn) == "ababab" and [len(t) for t in times] == [3, 3]
    assert cost.spread([1.0, 2.0, 3.0, 4.0, 100.0]) == {
        "ms_per_view": 3.0, "ms_quartiles": [2.0, 4.0], "views_per_second": 333.33,
    }  # fmt: skip
    slow = cost.times_ms([lambda: time.sleep(0.02)], 1, torch.device("cpu"), profile.SILENT)
    assert 20 <= slow[0][0] < 200


def test_memory_rise_is_that_of_the_work() -> None:
    """64 MB that are taken and let go, twice: earlier peaks do not hide later ones; nothing shows as nothing."""
    cpu = torch.device("cpu")
    for _ in range(2):
        assert 60 < rise_mb(lambda: np.ones(8 << 20).sum(), cpu) < 80
    assert rise_mb(lambda: None, cpu) < 4


def test_plot_of_times_over_sizes(tmp_path: Path) -> None:
    place = tmp_path / "t.png"
    words = [
        "profile",
        "mnif",
        *(f"--set={pair}" for pair in SMALL),
        "--repeats",
        1,
        "--plot",
        place,
        "--device",
        "cpu",
    ]
    refused(g3d(*words), "--plot draws the time over the size; give two sizes or more")
    assert g3d(*words, "--sizes", "8,16", "--json").json["plot"] == str(place)
    assert Image.open(place).size == (768, 432)
    refused(g3d(*words, "--sizes", "8,16"), "exists")


def test_refusals(pipeline: Pipeline, tmp_path: Path) -> None:
    refused(g3d("profile", "mnfi"), "neither a method (mnif, hypernerfgan, gsgan, vq3d, infamous-nerf) nor a file")
    refused(g3d("profile", "mnif", "--set", "wdith=3"), "did you mean 'width'")
    refused(g3d("profile", pipeline.model, "--set", "width=3"), "belong to a method")
    refused(g3d("profile", pipeline.model, "--sweep", "width=3,4"), "belong to a method")
    refused(g3d("profile", pipeline.prior / "prior.safetensors"), "holds prior")
    refused(g3d("profile", "mnif", "--sweep", "bases"), "--sweep 'bases' is not of the form key=value,value")
    refused(g3d("profile", "mnif", "--sweep", "bases=1,"), "is not of the form")
    refused(g3d("profile", "mnif", "--set", "bases=3", "--sweep", "bases=1,2"), "'bases' is given twice")
    refused(g3d("profile", "mnif", "--sweep", "bases=1,none"), "bases", "none")
    refused(g3d("profile", "mnif", "--sizes", "64,no"), "--sizes '64,no' is no list of sizes of 1 to 8192 pixels")
    refused(g3d("profile", "mnif", "--sizes", "64", "--size", "32"), "say the same")
    refused(g3d("profile", "mnif", "--repeats", "0"), "--repeats is 0; it must lie between 1 and 1000")
    refused(g3d("profile", "mnif", "--against", "nothing"), "'nothing' is neither a method")
    refused(g3d("profile", "mnif", "--against", "mnif:smok"), "no preset 'smok' (did you mean 'smoke'?)")


def test_similarity_of_the_bases(pipeline: Pipeline, tmp_path: Path) -> None:
    """The figures of the drawn matrices, of a fitted model; what has no bases is refused."""
    page = tmp_path / "bases.png"
    found = g3d("profile", pipeline.model, "--size", 8, "--repeats", 1, "--similarity", page, "--json").json[
        "similarity"
    ]
    weights = artifacts.read(pipeline.model / "model.safetensors", "model").values
    assert list(found["layers"]) == ["layer 0", "layer 1", "layer 2"] and found["plot"] == str(page)
    for i in range(3):
        flat = weights[f"basis_weight.{i}"].flatten(1).double()
        cosines = [
            abs(float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))) for a, b in itertools.combinations(flat, 2)
        ]
        figures = found["layers"][f"layer {i}"]
        assert figures["mean"] == pytest.approx(sum(cosines) / 6, abs=1e-4)
        assert figures["largest"] == pytest.approx(max(cosines), abs=1e-4)
    picture = np.asarray(Image.open(page).convert("RGB"))
    assert picture.shape[1] > 2 * picture.shape[0] and picture.std() > 20
    scene = pipeline.scenes / "000000.safetensors"
    refused(g3d("profile", scene, "--similarity", tmp_path / "x.png"), "--similarity", "000000.safetensors")
    refused(g3d("profile", pipeline.model, "--similarity", page), "exists")
    refused(g3d("profile", "mnif", "--similarity", tmp_path / "x.jpg"), "must end in .png")
