"""Recipes of INFAMOUS-NeRF, of refiners, and of VQ3D's own data and ablations: what they type, and what ablations gather."""

import importlib.util
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from commands import environment
from facescape_ball import ball_mesh, write_facescape
from g3d.methods import settings_of
from recipe_words import RECIPES, run, table


def test_infamous_faces(tmp_path: Path) -> None:
    """From data to sheets, with both kinds of pairs for stage 2; without stage 2 nothing is refined."""
    found = run("infamous-faces.sh", tmp_path, "in", "out", fitted="infamous-nerf", PAIRS="refit")
    assert found.of("fit_refiner")[0].has("--drawn-from", "out/refit.safetensors")
    assert len(found.of("eval_transfer")) == 2 and found.of("refine")[0].options["out"] == Path("out/refined")
    short = run("infamous-faces.sh", tmp_path, "in", "two", fitted="infamous-nerf", REFINER_STEPS="0", STEPS="9")
    assert not short.of("refine") and short.of("fit_stage1")[0].has("--set", "steps=9")


def test_infamous_facescape(tmp_path: Path) -> None:
    """Of the unseen subjects one expression each is fitted; fits and novel views of both stages are judged, as far as may be."""
    more = {"MADE": "masks depth", "LANDMARKS": "dlib", "IDENTITY": "dlib"}
    found = run("infamous-facescape.sh", tmp_path, "in", "out", fitted="infamous-nerf", **more)
    unseen, refit = found.of("encode")
    assert unseen.options["items"] in ("2/neutral", "2/grin") and unseen.has("--set", "view=random")
    assert refit.options["items"] == "1/neutral" and found.of("fit_refiner")[0].has("--preset", "paper")
    assert found.of("prepare_data")[0].has("--landmarks", "dlib") and "note:" not in found.said
    assert all(one.has("--depth-kind", "max_weight") for one in found.of("render"))
    judged = {one.options["out"].stem: one for one in found.of("eval_recon")}
    kinds = [
        f"{stage}{of}_{what}" for stage in ("", "refined_") for of in ("fit", "nvs") for what in ("portrait", "face")
    ]
    assert sorted(judged) == sorted(kinds)
    assert all(one.options["inputs"] == ("fit" in name) for name, one in judged.items())
    assert all(one.has("--masks") == name.endswith("portrait") for name, one in judged.items())
    identities = found.of("eval_identity")
    assert [one.options["inputs"] for one in identities] == [True, False] * 2
    assert [one.options["input_view"] for one in identities] == [None, "latents:out/unseen.safetensors"] * 2


def test_infamous_facescape_without_what_may_be_missing(tmp_path: Path) -> None:
    """Whole pictures, and it says so."""
    found = run("infamous-facescape.sh", tmp_path, "in", "out", fitted="infamous-nerf", REFINER="0")
    assert {one.options["out"].name for one in found.of("eval_recon")} == {"fit_whole.json", "nvs_whole.json"}
    assert not any(one.has("--masks") for one in found.of("eval_recon")) and not found.of("eval_identity")
    for words in ("no masks, so whole pictures", "no depth", "no LANDMARKS", "no IDENTITY"):
        assert words in found.said
    assert not any(one.has("--depth") for one in found.of("render")) and not found.of("refine")


@pytest.mark.slow
def test_infamous_facescape_runs_to_its_end(tmp_path: Path) -> None:
    """The commands themselves, on two balls with meshes, one of them unseen: what the recipe is for is in its files."""
    if importlib.util.find_spec("open3d") is None:
        pytest.skip("open3d is not here")
    folder = write_facescape(tmp_path / "in")
    for subject in ("2", "10"):
        ball_mesh(folder / subject / "1_neutral.ply", rings=20)
        shutil.rmtree(folder / subject / "4_anger")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "g3d").write_text(f'#!/bin/sh\nexec {sys.executable} -m g3d_cli.main "$@"\n')
    (tmp_path / "bin" / "g3d").chmod(stat.S_IRWXU)
    settings = {"SIZE": "32", "PRESET": "smoke", "HELD_OUT": "1", "STEPS": "3", "MORE": "--set steps=4", "REFINER": "0"}
    done = subprocess.run(
        ["sh", str(RECIPES / "infamous-facescape.sh"), str(folder), str(tmp_path / "out")], capture_output=True, text=True,
        check=False, env={**environment(), "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", **settings},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    fit, novel = (json.loads((tmp_path / "out" / f"{of}_portrait.json").read_text()) for of in ("fit", "nvs"))
    assert (fit["n"], novel["n"]) == (1, 3) and fit["inputs"] and "true masks" in novel["mask"]
    assert novel["depth_rmse_world"] > 0 and "max_weight" in novel["depth"]
    assert "no LANDMARKS" in done.stdout and "no masks" not in done.stdout


def test_infamous_on_photographs(tmp_path: Path) -> None:
    found = run("infamous-ffhq.sh", tmp_path, "model", "in", "labels", "dlib", "out", fitted="infamous-nerf")
    assert found.of("fit_stage1")[0].has("--init", "model") and found.of("prepare_data")[0].has("--landmarks", "dlib")
    other = run("infamous-celebahq.sh", tmp_path, "model", "in", "labels", "marks", "two", fitted="infamous-nerf")
    assert not other.of("fit_stage1") and other.of("encode")[0].has("--num", "26")


def test_the_ablation_of_infamous_nerf(tmp_path: Path) -> None:
    """Each row differs from `full` by what its name says; no-surface leaves nothing behind that belongs to L_sur."""
    found = run("ablations/infamous_nerf.sh", tmp_path, "data", "out", "0 1", fitted="infamous-nerf")
    rows = {
        one.options["out"].parent.name: settings_of("infamous-nerf", one.options["preset"], one.options["settings"])
        for one in found.of("fit_stage1")
    }
    assert list(rows) == ["full", "no-hypernetwork", "no-surface", "no-adaptive", "naive"]
    assert (rows["full"].surface_weight, rows["full"].surface, rows["no-surface"].surface_weight) == (1, "checked", 0)
    assert all(row.near_pairs for row in rows.values())
    assert rows["no-hypernetwork"].hypernetwork == "none" and rows["no-adaptive"].sampling == "uniform"
    assert "| psnr_nvs_db |" in table(found) and "the surface loss helps" in table(found)
    assert len([one for one in found.of("eval_transfer") if one.has("--objects", "pairs,train")]) == 2 * (4 + 9)


def test_no_surface_also_where_all_rows_have_its_sum(tmp_path: Path) -> None:
    base = "--set surface_weight=1 --set surface_sum=true"
    run("ablations/infamous_nerf.sh", tmp_path, "d", "out", "0", fitted="infamous-nerf", ROWS="no-surface", BASE=base)


def test_the_donors_of_another_time_are_not_averaged(tmp_path: Path) -> None:
    """The stand-in's residual is the donor's number."""
    old = tmp_path / "work" / "out" / "naive" / "0" / "unseen_009.json"
    old.parent.mkdir(parents=True)
    old.write_text('{"by_split": [{"split": "pairs", "change_residual": 9, "psnr_db": 9}]}')
    more = {"ROWS": "naive", "DONORS": "001 003"}
    found = run("ablations/infamous_nerf.sh", tmp_path, "data", "out", "0", fitted="infamous-nerf", **more)
    assert json.loads((found.folder / "out/naive/0.json").read_text())["residual_unseen"] == 2
    assert old.is_file()


@pytest.mark.parametrize("recipe", ["infamous_nerf", "gsgan", "hypernerfgan", "mnif", "vq3d"])
def test_a_run_without_figures_is_no_result(recipe: str, tmp_path: Path) -> None:
    """Else an empty file would count as a row that is there already."""
    fitted, more = recipe.replace("_", "-"), {"BROKEN": "1", "PSNR_ONLY": "1", "SAMPLES": "1"}
    with pytest.raises(AssertionError, match="JSONDecodeError"):
        run(f"ablations/{recipe}.sh", tmp_path, "in", "out", "0", fitted=fitted, **more)
    assert (tmp_path / "work" / "out").is_dir() and not [*tmp_path.glob("work/out/*/0.json")]


def test_a_refiner_of_any_pictures(tmp_path: Path) -> None:
    found = run("refined-cars.sh", tmp_path, "out", fitted="mnif")
    assert len(found.of("fit_refiner")) == 1 and len(found.of("eval_fid")) == 2


def test_vq3d_on_one_object_before_photographs(tmp_path: Path) -> None:
    """PYTHON=true: the tokens are not there to be counted."""
    found = run("vq3d-mvs1.sh", tmp_path, "meshes", "photos", "out", fitted="vq3d", PYTHON="true")
    assert len(found.of("fit_prior")) == 1 and len(found.of("eval_fid")) == 9


def test_the_ablation_of_vq3d(tmp_path: Path) -> None:
    found = run("ablations/vq3d.sh", tmp_path, "data", "out", "0", fitted="vq3d")
    assert len(found.of("fit_stage1")) == 11 and "depth needs its loss" in table(found)


def test_the_ablation_of_vq3d_with_settings_of_the_discriminators(tmp_path: Path) -> None:
    base = "--set gan_from=0.5 --set novel_from=0.9"
    run("ablations/vq3d.sh", tmp_path, "data", "out", "0", fitted="vq3d", BASE=base)


def test_a_grid_of_top_k_and_top_p(tmp_path: Path) -> None:
    found = run("ablations/vq3d_sampling.sh", tmp_path, "run", "out", fitted="vq3d")
    assert len(found.of("sample")) == 12 and len(found.of("eval_fid")) == 24
