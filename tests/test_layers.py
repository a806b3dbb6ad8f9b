"""Who may import whom, read from the source with `ast`.

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

EVERYWHERE = {"errors", "plugins", "progress", "seeds"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "plugins": set(),
    "progress": set(),
    "seeds": set(),
    "threads": set(),
    "config": set(),
    "device": set(),
    "depth_estimator": {"device", "images", "storage"},
    "face_landmarks": {"images", "storage"},
    "importers": {"cameras", "render", "scenes", "storage"},
    "kernels": set(),
    "polygons": set(),
    "losses": {"nets"},
    "storage": set(),
    "distributed": {"storage"},
    "cameras": {"storage"},
    "images": {"storage"},
    "item_choice": set(),
    "nets": {"config"},
    "latents": {"distributed", "storage"},
    "scenes": {"cameras", "kernels", "storage"},
    "data": {"cameras", "images", "storage"},
    "export": {"images", "storage"},
    "render": {"cameras", "config", "kernels", "scenes"},
    "drawing": {"cameras", "config", "data", "distributed", "export", "images", "render", "scenes", "storage"},
    "conversion": {"cameras", "drawing", "export", "losses", "render", "scenes"},
    "viewing": {"cameras", "config", "drawing", "export", "images", "render", "scenes"},
    "sources": {"cameras", "data", "depth_estimator", "device", "face_landmarks", "images", "polygons", "storage"},
    "training": {"config", "distributed", "losses", "nets", "storage"},
    "metrics": {"distributed", "images", "losses"},
    "evaluation": {
        "cameras", "data", "distributed", "images", "latents", "losses", "metrics", "nets", "polygons", "render", "scenes",
        "storage"
    },
    "methods": {
        "cameras", "config", "data", "distributed", "latents", "losses", "nets", "render", "scenes", "storage", "training"
    },
    "refiners": {"config", "distributed", "nets", "storage", "training"},
    "priors": {"config", "distributed", "latents", "nets", "storage", "training"},
    "catalogue": {"config", "methods", "priors", "sources"},
    "api": {
        "cameras", "config", "device", "drawing", "latents", "methods", "render", "scenes", "steps", "storage"
    },
}  # fmt: skip
SHARED = {
    "cameras", "config", "conversion", "data", "depth_estimator", "device", "distributed", "drawing", "evaluation", "export",
    "face_landmarks", "images", "item_choice", "latents", "losses", "metrics", "render", "scenes", "storage", "training",
    "viewing",
}  # fmt: skip
OF_STEPS: dict[str, set[str]] = {
    "fit_stage1": {"methods"},
    "encode": {"methods"},
    "decode": {"methods"},
    "sample": {"methods", "priors"},
    "profile": {"methods", "threads"},
    "import_checkpoint": {"methods"},
    "fit_prior": {"priors"},
    "fit_refiner": {"refiners"},
    "refine": {"refiners"},
    "prepare_data": {"sources"},
    "import_ply": {"importers"},
    "info": {"catalogue"},
    "view": {"importers", "methods", "priors"},
}
"""What a step may import besides SHARED. The others, those of files alone, reach neither methods nor priors: scenes outlive what
made them."""
OF_FILES = (
    "render", "export_ply", "eval_fid", "eval_recon", "eval_geometry", "eval_consistency", "eval_identity", "eval_transfer",
    "eval_shapes", "edit", "sheet", "report", "compare", "convert",
    "export_html",
)  # fmt: skip
STEPS = {name: SHARED | OF_STEPS.get(name, set()) for name in (*OF_STEPS, *OF_FILES)}


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
        if room == target[0] == "methods" and len(parts) > 2 and len(target) > 1:
            assert target[1] in (parts[1], "contract"), (
                f"{path}: a method imports another method, g3d.{'.'.join(target)}"
            )


@pytest.mark.parametrize("path", sorted(CLI.glob("*.py")), ids=lambda p: p.name)
def test_the_command_line_imports_only_errors_steps_and_threads(path: Path) -> None:
    for target in imported_rooms(path.read_text()):
        assert target[0] in {"steps", "errors", "threads"}, f"{path} may not import g3d.{'.'.join(target)}"


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


def test_numba_is_imported_only_when_gaussians_are_drawn_or_planes_are_read() -> None:
    code = "import sys, g3d.render, g3d.steps.render, g3d.steps.profile, g3d.steps.import_ply; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env=environment())


def test_headers_are_read_without_torch() -> None:
    code = "import sys, g3d.steps.info, g3d.storage.artifacts; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env=environment())


def test_what_a_method_can_do_is_never_asked_by_hasattr() -> None:
    """Methods and priors are typed values; `hasattr` and `getattr` with a default are for the system's modules alone."""
    seen, files = (
        [],
        [
            p
            for p in library_files()
            if p.relative_to(LIB).parts[0] in {"steps", "methods", "priors", "drawing", "training"}
        ],
    )
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            asks = node.func.id == "hasattr" or (node.func.id == "getattr" and len(node.args) == 3)
            if asks and not (isinstance(node.args[0], ast.Name) and node.args[0].id in {"os", "signal"}):
                seen.append(f"{path.relative_to(LIB)}:{node.lineno}")
    assert files and not seen


def test_a_file_is_one_idea() -> None:
    """More than 350 lines are more than one."""
    lines = {p.relative_to(ROOT): len(p.read_text().splitlines()) for p in (*library_files(), *CLI.rglob("*.py"))}
    assert len(lines) > 200 and not [f"{path}: {count}" for path, count in lines.items() if count > 350]
