"""Who follows docs/new-method.md, or CONTRIBUTING.md alone, has a method that every command knows."""

import importlib
import json
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from commands import g3d, refused
from g3d import images
from g3d.methods import METHODS
from g3d.priors import PRIORS
from g3d.sources import SOURCES
from test_docs import ROOT, blocks, text

REGISTRIES = (METHODS, PRIORS, SOURCES)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path, as pip's; what is imported from it is forgotten afterwards."""
    folder, known = tmp_path / "site", set(sys.modules)
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(tmp_path)
    yield folder
    for name in set(sys.modules) - known:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    for registry in REGISTRIES:
        registry.__dict__.pop("_foreign", None)


def install(site: Path, entry_points: Mapping[str, Mapping[str, str]], name: str) -> None:
    """What pip leaves of a package besides its modules."""
    info = site / f"{name.replace('-', '_')}-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    lines = [f"[{group}]\n" + "\n".join(f"{n} = {v}" for n, v in some.items()) for group, some in entry_points.items()]
    (info / "entry_points.txt").write_text("\n\n".join(lines) + "\n")
    importlib.invalidate_caches()
    for registry in REGISTRIES:
        registry.__dict__.pop("_foreign", None)


def of_language(page: str, language: str) -> list[str]:
    return [content for found, content in blocks(page) if found == language]


def run(*words: str) -> str:
    result = g3d(*words)
    assert result.code == 0, (words, result.err)
    return result.out


@pytest.mark.slow  # the kernels that draw Gaussians are compiled
def test_the_stub_works_by_the_commands_of_its_page(site: Path, tmp_path: Path) -> None:
    (code,), (project,), (script,) = (of_language("docs/new-method.md", kind) for kind in ("python", "toml", "sh"))
    about = tomllib.loads(project)
    (module,) = about["tool"]["setuptools"]["py-modules"]
    assert f"{module}.py" in text("docs/new-method.md").partition("```toml")[0]
    (site / f"{module}.py").write_text(code)
    install(site, about["project"]["entry-points"], about["project"]["name"])
    lines = [shlex.split(line, comments=True) for line in script.splitlines()]
    assert lines[0][:2] == ["pip", "install"] and len(lines) > 7
    for words in lines[1:]:
        assert words[0] == "g3d"
        run(*words[1:], *(["--workers", "1"] if words[1] == "prepare-data" else []))
    # the mean colour of an object's pictures is that of its blob, which fills the middle of a view
    data = json.loads((tmp_path / "data" / "dataset.json").read_text())
    run("decode", "runs/blobs", "runs/blobs", "--items", "0", "--render", "drawn", "--size", "16")
    views = sorted((tmp_path / "data" / "images").glob("*.png"))[: data["views"] // len(data["objects"])]
    mean = np.mean([images.read_image(view) for view in views], axis=(0, 1, 2))
    seen = images.read_image(next((tmp_path / "drawn").glob("*.png")))[8, 8]
    assert np.abs(seen - mean).max() < 12
    run(
        "fit-stage1",
        "blobs",
        "--data",
        "data",
        "--preset",
        "small",
        "--set",
        "steps=40",
        "--out",
        "runs/blobs",
        "--resume",
    )


def test_the_stub_refuses_in_a_sentence_what_it_cannot_use(site: Path, tmp_path: Path) -> None:
    (code,) = of_language("docs/new-method.md", "python")
    (site / "g3d_blobs.py").write_text(code)
    install(site, {"g3d.methods": {"blobs": "g3d_blobs:METHOD"}}, "g3d-blobs")
    (tmp_path / "photos").mkdir()
    for i in range(2):
        images.write_image(tmp_path / "photos" / f"{i}.png", np.full((8, 8, 3), 100 * i, np.uint8))
    run("prepare-data", "images", "photos", "--size", "8", "--workers", "1", "--out", "plain")
    refused(g3d("fit-stage1", "blobs", "--data", "plain", "--out", "x"), "records no camera_prior", "posed views")
    run(
        "prepare-data",
        "procedural",
        "cars",
        "--num",
        "1",
        "--size",
        "8",
        "--views",
        "1",
        "--workers",
        "1",
        "--out",
        "posed",
    )
    words = ["fit-stage1", "blobs", "--data", "posed", "--out", "x", "--set"]
    refused(g3d(*words, "radius_world=2.7"), "radius_world is 2.7", "stand at 2.6", "give a smaller one")
    refused(g3d(*words, "step=3"), "did you mean 'steps'")
    refused(g3d(*words, "radius_world=0"), "at least 0.001")


def test_the_package_that_contributing_describes_is_known_to_the_commands(site: Path, tmp_path: Path) -> None:
    """With what it says alone: the groups and the form of the entry points, and the commands of its text."""
    (project,) = of_language("CONTRIBUTING.md", "toml")
    groups = tomllib.loads(project)["project"]["entry-points"]
    assert set(groups) == {registry.group for registry in REGISTRIES}
    shutil.copytree(ROOT / "tests" / "plugin", site / "my_package", ignore=shutil.ignore_patterns("__pycache__"))
    install(site, groups, "my-package")
    run("prepare-data", "flags", "--workers", "1", "--out", "data")
    said = re.findall(r"`g3d ((?:info|fit-stage1) boxes[^`]*)`", text("CONTRIBUTING.md"))
    assert len(said) == 2
    for words in said:
        run(*words.split(), *(["--data", "data", "--out", "model"] if words.startswith("fit-stage1") else []))
    run("fit-prior", "model", "--kind", "shuffled", "--out", "prior")
    run("sample", "model", "--prior", "prior", "--num", "2", "--render", "pictures", "--size", "8")


def test_contributing_leads_to_the_page_of_the_stub() -> None:
    assert "(docs/new-method.md)" in text("CONTRIBUTING.md")
