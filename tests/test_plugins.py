"""Methods, priors and sources of other packages: every command works with them, and a broken one harms no other."""

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import fields
from inspect import isclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import g3d, refused
from g3d import images
from g3d.methods import METHODS
from g3d.plugins import Registry, misfit
from g3d.priors import PRIORS
from g3d.sources import SOURCES

ENTRY_POINTS = """\
[g3d.methods]
boxes = plugin_boxes:METHOD
gone = plugin_that_is_not_there:METHOD
broken = plugin_broken:METHOD
wrong = plugin_boxes:SPACE
exits = plugin_exits:METHOD
fog = plugin_boxes:METHOD
twice = plugin_boxes:METHOD
mnif = plugin_boxes:METHOD
unchecked = plugin_misfits:UNCHECKED
lame = plugin_lacks:METHOD
narrow = plugin_misfits:NARROW
silent = plugin_misfits:SILENT

[g3d.priors]
mixed = plugin_shuffled:PRIOR
shuffled = plugin_shuffled:PRIOR
broken = plugin_broken:PRIOR
short = plugin_misfits:SHORT

[g3d.sources]
flags = plugin_flags
broken = plugin_broken
"""


MISFITS = """
from dataclasses import replace
from plugin_boxes import METHOD
from plugin_shuffled import PRIOR
UNCHECKED = replace(METHOD, name="unchecked", check=None)
NARROW = replace(METHOD, name="narrow", decode=lambda model, latents: None)
SILENT = replace(METHOD, name="silent", fit=lambda config, dataset, run: None)
SHORT = replace(PRIOR, kind="short", sample=3)
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path as `pip install` leaves it: modules, and a dist-info with entry points."""
    site, info = tmp_path / "site", tmp_path / "site" / "g3d_boxes-1.0.dist-info"
    info.mkdir(parents=True)
    for path in (Path(__file__).parent / "plugin").glob("*.py"):
        shutil.copy(path, site / f"plugin_{path.name}")
    (site / "plugin_broken.py").write_text("raise RuntimeError('no such\\nlibrary')\n")
    (site / "plugin_exits.py").write_text("import sys; sys.exit('not on this machine')\n")
    (site / "plugin_misfits.py").write_text(MISFITS)
    (site / "plugin_lacks.py").write_text(
        "from g3d.methods.contract import Method\nMETHOD = Method('lame', 'none', dict, {})\n"
    )
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: g3d-boxes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    other = site / "g3d_other-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: g3d-other\nVersion: 1.0\n")
    (other / "entry_points.txt").write_text("[g3d.methods]\ntwice = plugin_gone:METHOD\n")
    monkeypatch.syspath_prepend(str(site))
    registries = (METHODS, PRIORS, SOURCES)
    for registry in registries:
        registry.__dict__.pop("_foreign", None)
    yield tmp_path
    for registry in registries:
        registry.__dict__.pop("_foreign", None)
    for name in [name for name in sys.modules if name.startswith("plugin_")]:
        del sys.modules[name]


def test_every_command_works_with_a_plug_in(plugin: Path) -> None:
    def run(*words: object) -> str:
        result = g3d(*words)
        assert result.code == 0, result.err
        return result.out

    data, model, prior = plugin / "data", plugin / "model", plugin / "prior"
    codes, scenes, path = plugin / "codes.safetensors", plugin / "scenes", plugin / "path.safetensors"
    run("prepare-data", "flags", "--num", 3, "--size", 8, "--holdout", 1, "--out", data)
    dry = json.loads(
        run("fit-stage1", "boxes", "--data", data, "--set", "steps=9", "--out", model, "--dry-run", "--json")
    )
    assert dry["settings"] == {"steps": 9, "density": 3.0} and not model.exists()
    run(
        "fit-stage1",
        "boxes",
        "--data",
        data,
        "--preset",
        "thin",
        "--set",
        "density=40",
        "--out",
        model,
        "--device",
        "cpu",
    )
    fitted = json.loads((model / "metrics.json").read_text())["psnr_db"]
    assert fitted is None or fitted > 30  # None: equal to the last step
    found = json.loads(run("encode", model, "--data", data, "--split", "all", "--out", codes, "--json"))
    assert found["latents"] == 3 and found["mse"] < 1e-4
    run("fit-prior", codes, "--kind", "shuffled", "--out", prior)
    run("fit-prior", codes, "--kind", "gaussian", "--out", plugin / "gaussian")
    run("sample", model, "--prior", prior, "--num", 4, "--out", scenes, "--latents", plugin / "s.safetensors")
    run("sample", model, "--prior", plugin / "gaussian", "--seeds", "1,5", "--render", plugin / "g", "--batch", 1)
    run("edit", "interpolate", codes, "--items", "flag-0,2", "--steps", 3, "--out", path)
    run("decode", model, path, "--render", plugin / "drawn", "--size", 8)
    grey = [int(images.read_image(plugin / "drawn" / f"00000{i}.png")[4, 4].mean()) for i in range(3)]
    assert grey[0] <= 2 and abs(grey[2] - 120) <= 2 and grey[0] < grey[1] < grey[2]
    run("render", scenes, "--cameras", "orbit:2", "--size", 8, "--out", plugin / "views")
    run("export-ply", scenes, "--as", "mesh", "--resolution", 16, "--out", plugin / "meshes")
    run("eval-fid", data, plugin / "g", "--extractor", "random", "--metrics", "fid", "--cache", plugin / "cache")
    assert json.loads(run("profile", "boxes", "--size", 8, "--repeats", 1, "--json"))["parameters"] == 1
    assert json.loads(run("info", model, "--json"))["config"]["method"] == "boxes"
    run("report", model)
    assert np.ptp(images.read_image(plugin / "g" / "000001.png")[2:6, 2:6]) <= 1  # a box of one colour


def test_a_broken_plug_in_is_one_sentence_and_harms_no_other(plugin: Path) -> None:
    words = ["--data", plugin / "data", "--out", plugin / "m"]
    assert g3d("prepare-data", "flags", "--out", plugin / "data").code == 0
    said = "the method 'broken' of the package 'g3d-boxes' cannot be loaded (RuntimeError: no such library); mend the package"
    refused(g3d("fit-stage1", "broken", *words), said)
    refused(
        g3d("fit-stage1", "gone", *words), "'gone' of the package 'g3d-boxes' cannot be loaded (ModuleNotFoundError"
    )
    refused(g3d("fit-stage1", "wrong", *words), "(plugin_boxes:SPACE) does not fulfil the contract of a method")
    refused(
        g3d("fit-stage1", "exits", *words), "'exits' of the package 'g3d-boxes' cannot be loaded (SystemExit: not on"
    )
    refused(g3d("fit-stage1", "twice", *words), "the packages 'g3d-boxes', 'g3d-other' each have a method 'twice'")
    refused(g3d("fit-stage1", "fog", *words), "the method 'fog'", "calls itself 'boxes'", "the same name")
    refused(g3d("fit-prior", plugin, "--kind", "mixed", "--out", plugin / "p"), "the prior 'mixed'", "calls itself")
    refused(g3d("fit-prior", plugin, "--kind", "broken", "--out", plugin / "p"), "the prior 'broken' of the package")
    refused(g3d("prepare-data", "broken", "--out", plugin / "d"), "the source 'broken' of the package")
    refused(
        g3d("fit-stage1", "boxe", *words),
        "there is no method 'boxe'",
        "did you mean 'boxes'",
        "vq3d, infamous-nerf, boxes",
    )
    assert METHODS.get("mnif").name == "mnif"  # our own name is not another's to take
    assert g3d("fit-stage1", "boxes", *words).code == 0


def test_a_method_that_does_not_keep_the_contract_is_told_what_it_lacks(plugin: Path) -> None:
    assert g3d("prepare-data", "flags", "--out", plugin / "data").code == 0
    words = ["--data", plugin / "data", "--out", plugin / "m"]
    refused(g3d("fit-stage1", "unchecked", *words), "'unchecked'", "lacks check(config, dataset)")
    refused(g3d("fit-stage1", "lame", *words), "lacks build(config), check(config, dataset), fit(config, dataset, run)")
    refused(
        g3d("fit-stage1", "narrow", *words), "has decode(model, latents)", "called as decode(model, latents, settings)"
    )
    refused(g3d("fit-stage1", "silent", *words), "the method silent: its fit wrote no model.safetensors", "run.write(")
    short = ["fit-prior", plugin, "--kind", "short", "--out", plugin / "p"]
    refused(g3d(*short), "has a sample that is no function, but int", "sample(prior, numbers, seed, settings, classes)")


@pytest.mark.parametrize("registry", [METHODS, PRIORS], ids=["methods", "priors"])
def test_our_own_keep_the_contract(registry: Registry[Any]) -> None:
    assert registry.own
    for name in registry.own:
        found = registry.get(name)
        assert misfit(found, registry.calls) == ""
        functions = {
            f.name for f in fields(found) if callable(getattr(found, f.name)) and not isclass(getattr(found, f.name))
        }
        assert functions <= set(registry.calls)  # none is forgotten in the table
