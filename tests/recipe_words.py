"""Run a recipe and read what it types, without doing any of it.

It runs with a `g3d` that only writes down its words and leaves files where the next command looks for them. The words are then
read by g3d's own parser, and settings by the methods and priors that they are for, as --dry-run does before it opens a file.
"""

import importlib
import os
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import typer
from g3d import config
from g3d.drawing.camera_plan import CameraPlan
from g3d.evaluation.extractors import Choice
from g3d.methods import method, settings_of
from g3d.priors import prior
from g3d.refiners import config as refiner

RECIPES = Path(__file__).parents[1] / "recipes"
STUB = r"""#!/bin/sh
{ printf '%s\037' "$@"; printf '\036'; } >> "$G3D_LOG"
command=$1; out=""; extractor=""; previous=""; render=""
for word in "$@"; do
    case $previous in --out) out=$word ;; --extractor) extractor=$word ;; --render) render=$word ;; esac
    previous=$word
done
[ -z "$render" ] || mkdir -p "$render"
case ${BROKEN:-}/$command in 1/fit-stage1) mkdir -p "$out"; echo '{' > "$out/metrics.json"; exit 0 ;; esac
case $command in
eval-fid)
    if [ "$extractor" = inception ] && [ -n "${NO_INCEPTION:-}" ]; then exit 4; fi
    if [ "$extractor" = inception ]; then metric=fid; else metric=kernel_$extractor; fi
    more='"kernel_x_std": 1, "precision": 0.5, "recall": 0.25'
    printf '{"metric": "%s", "value": 1.5, "%s": 1.5, %s}' "$metric" "$metric" "$more" > "$out" ;;
fit-stage1)
    mkdir -p "$out/checkpoints/000100" "$out/best"
    case $* in *kimg=0\ *) steps="" ;; *) steps="1 9" ;; esac
    more='"psnr_test_views_db": 18, "psnr_held_out_of_mean_mse_db": 17, "disparity_accuracy_held_out": 0.8'
    printf '{"psnr_db": 20, "psnr_held_out_db": 19, "seconds": 1, "kernel_efficientnet": 0.4, "recall": 0.1, %s}' "$more" \
        > "$out/metrics.json"
    echo '{"settings": {"batch": 4}}' > "$out/config.json"
    for step in $steps; do
        more='"fake_logit": 0, "fake_logit_std": 1, "codes_used": 9, "perplexity": 4'
        printf '{"step": %d, "loss": %d, %s}\n' "$step" "$step" "$more" >> "$out/log.jsonl"
    done
    case $* in *autodecode*) : > "$out/latents.safetensors" ;; esac ;;
prepare-data)
    mkdir -p "$out"
    one='{"name": "1/neutral", "split": "train"}, {"name": "2/neutral", "split": "test"}, {"name": "2/grin", "split": "test"}'
    for more in ${MADE:-}; do mkdir -p "$out/$more"; done
    printf '{"objects": [%s], "labels": {}}' "$one" > "$out/dataset.json" ;;
fit-prior) mkdir -p "$out"; echo '{"held_out_bits_per_token": 9}' > "$out/metrics.json" ;;
encode) echo '{"psnr_db": 18}' ;;
eval-recon) echo '{"psnr_db": 16}' > "$out" ;;
eval-transfer)
    case $out in *_[0-9]*) value=${out##*_}; value=${value%.json} ;; *) value=0 ;; esac # the donor's number
    of=$(printf '"change_residual": %d, "psnr_db": 15' "${value#"${value%%[!0]*}"}")
    printf '{%s, "by_split": [{"split": "pairs", %s}]}' "$of" "$of" > "$out" ;;
info) echo "mean_log_scale_level_0 -3"; echo "mean_log_scale_level_1 -4" ;;
profile) echo '{}' ;;
*) case $out in *.*) : > "$out" ;; ?*) mkdir -p "$out" ;; esac ;;
esac
"""


@dataclass(frozen=True)
class Typed:
    """A command as the parser understood it."""

    name: str
    options: Mapping[str, Any]
    words: Sequence[str]

    def has(self, *words: str) -> bool:
        """Whether these words were typed, one after the other."""
        n = len(words)
        return any(tuple(self.words[i : i + n]) == words for i in range(len(self.words)))


@dataclass(frozen=True)
class Ran:
    """What a recipe did."""

    typed: Sequence[Typed]
    folder: Path
    said: str

    def of(self, name: str) -> list[Typed]:
        """Its commands of one name."""
        return [one for one in self.typed if one.name == name]


@cache
def parser(name: str) -> Any:
    """The command of a module of the command line."""
    return typer.main.get_command(importlib.import_module(f"g3d_cli.{name}").app)


def parsed(words: Sequence[str]) -> Typed:
    """The words through g3d's parser; it raises what it does not understand."""
    name = words[0].replace("-", "_")
    module = importlib.import_module(f"g3d_cli.{name}")
    caught: list[tuple[str, dict[str, Any]]] = []

    def execute(step: str, options: dict[str, Any], drawing: Any = None, **_: Any) -> None:
        how = {} if drawing is None else {"drawing": importlib.import_module(f"g3d.steps.{step}").Drawing(**drawing)}
        caught.append((step, {**options, **how}))

    with mock.patch.object(module, "execute", execute):
        parser(name).main(list(words[1:]), prog_name=words[0], standalone_mode=False)
    ((step, options),) = caught
    assert step == name
    importlib.import_module(f"g3d.steps.{name}").Options(**options)
    return Typed(name, options, list(words))


def check(one: Typed, fitted: str) -> None:
    """Settings and words that a method, a prior, an extractor or a camera plan reads."""
    options, how = one.options, method(fitted)
    pairs = list(options.get("settings") or ())
    if one.name == "fit_stage1":
        assert options["method"] == fitted
        settings_of(fitted, options["preset"], pairs)
    elif one.name == "fit_prior":
        kind, preset = prior(options["kind"]), options["preset"]
        config.override(
            config.preset(kind.presets, preset, "the prior") if preset else kind.config(), pairs, "the prior"
        )
    elif one.name == "fit_refiner":
        preset = options["preset"]
        start = config.preset(refiner.PRESETS, preset, "the refiner") if preset else refiner.Config()
        config.override(start, pairs, "the refiner")
    elif one.name == "encode":
        assert how.encode is not None
        config.override(how.encode.settings(), pairs, fitted)
    elif one.name == "decode":
        config.override(how.decode_settings(), pairs, fitted)
    elif one.name == "sample":
        mine = [p for p in pairs if p.partition("=")[0] in config.names(how.decode_settings())]
        config.override(how.decode_settings(), mine, fitted)
        if options["prior"] is None:
            assert how.draw is not None
            config.override(how.draw.settings(), [p for p in pairs if p not in mine], fitted)
    elif one.name == "eval_fid":
        Choice(options["extractor"], options["weights"], options["resize"], options["trust"]).check()
    drawing = options.get("drawing")
    cameras = options.get("cameras") if drawing is None else drawing.cameras
    if isinstance(cameras, str) and not cameras.startswith(("dataset:", "file:")):
        CameraPlan(cameras, 0, None)


def run(recipe: str, tmp_path: Path, *words: str, fitted: str, **environment: str) -> Ran:
    """Run a recipe with the written-down g3d, and read what it typed."""
    bin_, log, work = tmp_path / "bin", tmp_path / "log", tmp_path / "work"
    for folder in (bin_, work, work / "in" / "roses"):
        folder.mkdir(parents=True, exist_ok=True)
    (work / "in" / "roses" / "1.jpg").touch()
    (bin_ / "g3d").write_text(STUB)
    (bin_ / "g3d").chmod(stat.S_IRWXU)
    log.unlink(missing_ok=True)
    path = f"{bin_}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", str(RECIPES / recipe), *words], cwd=work, capture_output=True, text=True, check=False,
        env={**os.environ, "PATH": path, "PYTHON": sys.executable, "G3D_LOG": str(log), **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = log.read_text().split("\036")[:-1]
    typed = [parsed(line.split("\037")[:-1]) for line in lines]
    assert typed
    for one in typed:
        check(one, fitted)
    return Ran(typed, work, done.stdout)


def table(found: Ran) -> str:
    """What an ablation printed at its end."""
    return (found.folder / "out" / "table.md").read_text()
