"""Who may import whom: the table of the design, read from the source with `ast`.

A room is a module or package of `g3d`. Every room may also import those in EVERYWHERE.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from commands import environment

ROOT = Path(__file__).parents[1]
LIB, CLI = ROOT / "lib" / "g3d", ROOT / "cli" / "g3d_cli"

EVERYWHERE = {"errors", "progress", "seeds"}
BASE = {"artifacts", "files", "config"}
WAIST = BASE | {"cameras", "images"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "progress": set(),
    "seeds": set(),
    "device": set(),
    "files": set(),
    "container": set(),
    "artifacts": {"files", "container"},
    "config": set(),
    "mlp": set(),
    "cameras": BASE,
    "images": BASE,
    "scene": WAIST | {"mlp"},
    "scene_file": WAIST | {"mlp", "scene"},
    "dataset_writer": BASE | {"images"},
    "dataset": WAIST | {"dataset_writer"},
    "torchscript": {"files"},
    "camera_plan": WAIST | {"scene", "dataset"},
    "render": {"scene", "cameras", "config", "mlp"},
    "export": {"scene", "cameras", "images", "artifacts", "files"},
    "sources": WAIST | {"dataset", "dataset_writer", "torchscript", "device"},
    "nets": {"config"},
    "losses": {"config"},
    "training": BASE | {"losses"},
    "metrics": WAIST | {"losses", "scene", "scene_file", "mlp", "dataset", "render", "training", "torchscript"},
    "methods": WAIST | {"scene", "mlp", "dataset", "render", "nets", "losses", "training"},
    "priors": BASE | {"nets", "losses", "training"},
    "refiners": BASE | {"nets", "losses", "training"},
    "importers": BASE,
}
BELOW = WAIST | {"scene", "scene_file", "dataset", "dataset_writer", "camera_plan", "device", "mlp"}
ALL_BELOW = BELOW | {"render", "export", "metrics", "training", "losses", "torchscript"}
STEPS_USE = {"sample": {"decode", "render"}, "decode": {"render"}}  # what --render shares; no other step calls a step
STEPS: dict[str, set[str]] = {
    "fit_stage1": ALL_BELOW | {"methods"},
    "encode": ALL_BELOW | {"methods"},
    "decode": ALL_BELOW | {"methods", "steps"},
    "sample": ALL_BELOW | {"methods", "priors", "steps"},
    "profile": ALL_BELOW | {"methods"},
    "import_checkpoint": ALL_BELOW | {"methods", "importers"},
    "fit_prior": ALL_BELOW | {"priors"},
    "prepare_data": BELOW | {"sources"},
    "render": ALL_BELOW,
    "export_ply": ALL_BELOW,
    "import_ply": ALL_BELOW | {"importers"},
    "eval_fid": ALL_BELOW,
    "eval_recon": ALL_BELOW,
    "eval_geometry": ALL_BELOW,
    "eval_consistency": ALL_BELOW,
    "eval_identity": ALL_BELOW,
    "eval_shapes": ALL_BELOW,
    "edit": ALL_BELOW,
    "sheet": ALL_BELOW,
    "report": ALL_BELOW,
    "info": ALL_BELOW,
}
"""Steps of files alone (from `render` on) reach neither methods nor priors: scenes outlive what made them."""


def imported_rooms(source: str, package: str = "g3d") -> set[tuple[str, ...]]:
    """The parts behind `g3d.` of everything that a source imports, also inside functions."""
    found: set[tuple[str, ...]] = set()
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module] if node.module != package else [f"{package}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            raise AssertionError("relative imports hide the room; write the whole name")
        found |= {tuple(name.split(".")[1:]) for name in names if name.split(".")[0] == package}
    return {parts for parts in found if parts and parts != ("__version__",)}


def library_files() -> list[Path]:
    return sorted(p for p in LIB.rglob("*.py") if p != LIB / "__init__.py")


@pytest.mark.parametrize("path", library_files(), ids=lambda p: str(p.relative_to(LIB)))
def test_a_room_imports_only_what_the_table_allows(path: Path) -> None:
    parts = path.relative_to(LIB).with_suffix("").parts
    room = parts[0]
    if room == "steps":
        allowed = STEPS.get(parts[1], set())
    else:
        assert room in MAY_IMPORT, f"{path}: the room '{room}' is not in the table"
        allowed = MAY_IMPORT[room] | {room}
    for target in imported_rooms(path.read_text()):
        assert target[0] in allowed | EVERYWHERE, f"{path} may not import g3d.{'.'.join(target)}"
        if room == target[0] == "steps":
            assert target[1] in STEPS_USE[parts[1]], f"{path} may not use the step {target[1]}"
        if room == target[0] == "methods" and len(parts) > 2 and len(target) > 1:
            assert target[1] == parts[1], f"{path}: a method imports another method, g3d.{'.'.join(target)}"


@pytest.mark.parametrize("path", sorted(CLI.glob("*.py")), ids=lambda p: p.name)
def test_the_command_line_imports_only_errors_and_steps(path: Path) -> None:
    for target in imported_rooms(path.read_text()):
        assert target[0] in {"steps", "errors"}, f"{path} may not import g3d.{'.'.join(target)}"


def test_every_step_is_in_the_table_and_has_its_command_and_its_test() -> None:
    names = {p.stem for p in (LIB / "steps").glob("*.py")} - {"__init__"}
    assert names and names <= set(STEPS)
    commands = {p.stem for p in CLI.glob("*.py")}
    tests = {p.stem.removeprefix("test_") for p in (ROOT / "tests" / "cli").glob("test_*.py")}
    assert names <= commands, f"steps without a command: {names - commands}"
    assert names <= tests, f"commands without tests/cli/test_<name>.py: {names - tests}"


def test_the_reader_of_imports_sees_every_form() -> None:
    source = "import g3d.a.b\nfrom g3d import c, d\nfrom g3d.e import f\ndef x():\n    from g3d.h.i import j\nimport os"
    assert imported_rooms(source) == {("a", "b"), ("c",), ("d",), ("e",), ("h", "i")}
    with pytest.raises(AssertionError):
        imported_rooms("from . import a")


@pytest.mark.parametrize("module", ["open3d", "cleanfid"])
def test_heavy_packages_are_imported_only_where_they_are_used(module: str) -> None:
    """Training, sampling and rendering run on a machine without them: no import at the top of any file."""
    seen = []
    for path in [*library_files(), *CLI.glob("*.py")]:
        for node in ast.parse(path.read_text()).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            seen += [f"{path}: {n}" for n in names if n.split(".")[0] == module]
    assert not seen


def test_numba_is_imported_only_when_gaussians_are_drawn() -> None:
    code = "import sys, g3d.render, g3d.steps.render, g3d.steps.profile, g3d.steps.import_ply; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env=environment())
