"""The wheel: built from the checkout, it installs into an environment of its own and works there; one version everywhere.

What g3d depends on is lent by the environment of the tests, so that nothing is downloaded; g3d itself comes from the wheel alone.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from g3d import __version__

ROOT = Path(__file__).parents[1]
BUILT_FROM = ("lib", "cli", "pyproject.toml", "README.md", "LICENSE")


def done(*words: object, cwd: Path, **environment: str) -> str:
    """What a command says, run where nothing of the checkout is on the path."""
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    ran = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**clean, **environment},
        check=False,
    )
    assert ran.returncode == 0, f"{words}: {ran.stdout}{ran.stderr}"
    return ran.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the checkout, so that nothing is left in it."""
    if find_spec("setuptools") is None:
        pytest.skip("setuptools, which builds the wheel, is not installed (pip install -e '.[dev]')")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in BUILT_FROM:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    for left in (source / "lib").glob("*.egg-info"):  # of an editable installation: what it lists may be old
        shutil.rmtree(left)
    pip = (sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index", "--quiet")
    done(*pip, "--wheel-dir", folder, source, cwd=folder)
    (found,) = folder.glob("*.whl")
    return found


@pytest.mark.slow
def test_everything_that_the_code_needs_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        names, metadata = packed.namelist(), next(n for n in packed.namelist() if n.endswith("METADATA"))
        about = packed.read(metadata).decode()
    for root in ("lib", "cli"):
        for path in (ROOT / root).rglob("*"):
            own = (
                path.is_file()
                and "__pycache__" not in path.parts
                and not any(p.endswith(".egg-info") for p in path.parts)
            )
            assert not own or path.relative_to(ROOT / root).as_posix() in names, f"{path} is not in the wheel"
    assert not [name for name in names if name.startswith(("tests", "docs", "recipes"))]
    assert f"\nVersion: {__version__}\n" in about and "\nLicense-Expression: MIT\n" in about
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.slow
def test_the_wheel_works_outside_of_the_checkout(wheel: Path, tmp_path: Path) -> None:
    env, work = tmp_path / "env", tmp_path / "work"
    work.mkdir()
    done(sys.executable, "-m", "venv", "--without-pip", env, cwd=work)
    (site,) = (env / "lib").glob("python*/site-packages")
    python, g3d = env / "bin" / "python", env / "bin" / "g3d"
    done(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--no-deps",
        "--no-index",
        "--quiet",
        wheel,
        cwd=work,
    )
    lent = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (site / "lent.pth").write_text("\n".join(lent) + "\n")  # a .pth names folders; those inside of them are not read

    ask = "import g3d, g3d_cli.main as main; print(g3d.__file__, main.__file__)"
    assert all(Path(place).is_relative_to(site) for place in done(python, "-c", ask, cwd=work).split())
    assert "Example: g3d" in done(g3d, "--help", cwd=work)
    assert done(g3d, "--version", cwd=work).strip() == f"g3d {__version__}"
    words = "prepare-data procedural cars --num 2 --views 2 --size 16 --workers 1 --out data"
    done(g3d, *words.split(), cwd=work)
    words = "fit-stage1 mnif --data data --preset smoke --set epochs=2 --device cpu --out model --json"
    assert json.loads(done(g3d, *words.split(), cwd=work))["psnr_db"] > 0


def test_there_is_one_version() -> None:
    """That of g3d itself; pyproject.toml asks for it, and CITATION.cff and CHANGELOG.md say the same."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"] and "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "g3d.__version__"}
    assert re.findall(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE) == [__version__]
    first = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0]
    assert first == __version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)


def test_the_extras_name_what_the_tests_need() -> None:
    """setuptools is what the wheel is built with; the two places that ask for it agree."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (needed,) = project["build-system"]["requires"]
    assert needed in project["project"]["optional-dependencies"]["dev"]
