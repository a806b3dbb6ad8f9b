"""Calls a step and turns its result or its error into what a terminal sees. Only this file prints and exits.

stdout: the paths that were written, or the figures where nothing is written, or one JSON object with `--json`.
stderr: progress, notes, and one sentence for an error. Exit codes: see `g3d.errors`.
"""

import importlib
import json
import math
import os
import signal
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any, NoReturn

import typer
from g3d.errors import Failure, G3dError, Interrupted, from_os_error

from g3d_cli import show

_SHARED = (
    "fit_stage1", "fit_prior", "fit_refiner", "refine", "sample", "decode", "encode", "render", "eval_fid", "eval_shapes"
)  # fmt: skip
"""Steps that several processes started by torchrun share out; the others are done by the first of them."""
_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)]


def execute(
    step: str,
    options: Mapping[str, Any],
    *,
    as_json: bool = False,
    dry_run: bool = False,
    drawing: Mapping[str, Any] | None = None,
) -> None:
    """Run `g3d.steps.<step>` with `Options(**options)`; `dry_run` prints the resolved settings instead.

    `drawing` are the options of its pictures, for the steps that draw."""
    if step not in _SHARED and not _first():
        return
    before = {number: signal.signal(number, _terminated) for number in _ENDING}
    try:
        module = importlib.import_module(f"g3d.steps.{step}")
        how = {"drawing": module.Drawing(**drawing)} if drawing is not None else {}
        resolved = module.Options(**options, **how)
        if dry_run:
            text = json.dumps(module.resolve(resolved), indent=1, sort_keys=True, default=str)
            if _first():
                print(text)
            return
        from g3d_cli.progress import terminal_progress

        with terminal_progress() as progress:
            result = module.run(resolved, progress)
    except (G3dError, Interrupted) as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted; what was saved before is whole", 130)
    except OSError as error:
        _fail(str(from_os_error(error, f"g3d {step.replace('_', '-')} ({error.filename or 'input or output'})")), 1)
    except MemoryError as error:
        _fail(f"out of memory: {error or 'the machine refused an allocation'}; use smaller settings", Failure.exit_code)
    except RuntimeError as error:
        if "out of memory" not in str(error).lower() and "can't allocate" not in str(error).lower():
            raise
        _fail(f"out of memory ({str(error).splitlines()[0]}); use smaller settings or --device cpu", Failure.exit_code)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
    _show(result, as_json)


def _first() -> bool:
    """Whether this process speaks, and does what is not shared out: of those that torchrun starts the first one does."""
    return os.environ.get("WORLD_SIZE", "1") in ("", "1") or os.environ.get("RANK", "0") == "0"


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM, and SIGUSR1 by which batch schedulers say that it comes, end a command the way Ctrl-C does: half-written
    outputs are removed. Training loops save first."""
    raise Interrupted(f"ended by {signal.Signals(number).name}; what was saved before is whole", signal.SIGTERM)


def _show(result: Mapping[str, Any], as_json: bool) -> None:
    if not _first():
        return
    if as_json:
        print(json.dumps(_finite(result), sort_keys=True, default=str, allow_nan=False))
        return
    for path in result.get("written", []):
        print(path)
    if "written" not in result:
        for line in show.lines(result):
            print(line)


def _finite(value: Any) -> Any:
    """As JSON has it: what is not finite is null."""
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _fail(sentence: str, code: int) -> NoReturn:
    print(f"g3d: {sentence}", file=sys.stderr)
    raise typer.Exit(code)
