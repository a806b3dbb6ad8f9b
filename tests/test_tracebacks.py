"""What ended with a traceback ends with one sentence: odd splats, ragged matrices, long numbers, odd links, odd logs."""

import json
import os
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import Pipeline, g3d, refused
from g3d.errors import G3dError
from g3d.storage import files
from PIL import Image

LONG = "9" * 6000
SPLAT = [
    "x",
    "y",
    "z",
    "f_dc_0",
    "f_dc_1",
    "f_dc_2",
    "opacity",
    *(f"scale_{i}" for i in range(3)),
    *(f"rot_{i}" for i in range(4)),
]


def write_splats(path: Path, rows: Any, order: str = "<") -> Path:
    """3D Gaussians as PLY; rows [N, 14]."""
    word = "little" if order == "<" else "big"
    head = f"ply\nformat binary_{word}_endian 1.0\nelement vertex {len(rows)}\n"
    head += "".join(f"property float {name}\n" for name in SPLAT) + "end_header\n"
    path.write_bytes(head.encode() + np.asarray(rows, order + "f4").tobytes())
    return path


def test_splats_of_no_vertices_and_of_1e30(tmp_path: Path) -> None:
    none = write_splats(tmp_path / "none.ply", np.zeros((0, 14)))
    refused(g3d("import-ply", none, "--out", tmp_path / "s.safetensors"), "none.ply", "no Gaussian")
    far = np.full((4, 14), 0.5)
    far[:, 0] = [1e30, -1e30, 0, 1]
    for rows in (np.full((4, 14), 1e30), np.full((4, 14), 3e38)):
        odd = write_splats(tmp_path / "odd.ply", rows)
        refused(g3d("import-ply", odd, "--out", tmp_path / "s.safetensors"), "odd.ply", "no Gaussian")
    assert not (tmp_path / "s.safetensors").exists()
    done = g3d("import-ply", write_splats(tmp_path / "far.ply", far), "--out", tmp_path / "s.safetensors", "--json")
    assert (
        done.code == 0
        and done.json["splats"] == done.json["dropped"] == 2
        and "farther" in next(iter(done.json["left_out"]))
    )


def test_splats_of_either_byte_order_are_the_same(tmp_path: Path) -> None:
    from g3d.scenes.scene_file import load_scene

    rows = np.random.default_rng(0).normal(size=(20, 14))
    for order, name in (("<", "little"), (">", "big")):
        file = write_splats(tmp_path / f"{name}.ply", rows, order)
        assert g3d("import-ply", file, "--out", tmp_path / f"{name}.safetensors").code == 0
    one, other = (load_scene(tmp_path / f"{name}.safetensors") for name in ("little", "big"))
    assert torch.equal(one.means, other.means) and torch.equal(one.sh, other.sh)  # type: ignore[union-attr]
    done = g3d("render", tmp_path / "big.safetensors", "--size", 8, "--out", tmp_path / "i", "--device", "cpu")
    assert done.code == 0, done.err


RAGGED = (
    [[1, 0, 0, 0], [0, 1], [0, 0, 1, 0], [0, 0, 0, 1]],
    [[1, 0, 0, 0]],
    [1, 2],
    3,
    None,
    "x",
    [[[1]] * 4] * 4,
    {"a": 1},
)


@pytest.mark.parametrize("matrix", RAGGED, ids=str)
def test_matrices_that_are_none(matrix: Any, pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "in" / "a.png")
    table = {"w": 8, "h": 8, "fl_x": 8, "frames": [{"file_path": "a.png", "transform_matrix": matrix}]}
    (tmp_path / "in" / "transforms.json").write_text(json.dumps(table))
    words = ["prepare-data", "transforms", tmp_path / "in", "--workers", 1, "--out", tmp_path / "data"]
    refused(g3d(*words), "transforms.json")
    cameras = f"file:{tmp_path / 'in' / 'transforms.json'}"
    refused(g3d("render", pipeline.scenes, "--cameras", cameras, "--out", tmp_path / "i"), "transforms.json")


@pytest.mark.parametrize("digits", [400, 6000])  # more than a float can hold, more than Python reads
def test_a_number_of_many_digits_in_any_json(digits: int, pipeline: Pipeline, tmp_path: Path) -> None:
    bad, large = tmp_path / "bad", "9" * digits
    bad.mkdir()
    for name in ("transforms.json", "dataset.json", "config.json", "log.jsonl", "metrics.json", "split.json"):
        (bad / name).write_text(f'{{"w": {large}, "frames": [], "labels": [[{large}, {large}]], "train": [{large}]}}')
    Image.new("RGB", (8, 8)).save(bad / "a.png")
    out = ["--out", tmp_path / "out"]
    tried = 0
    for words in (
        ["render", pipeline.scenes, "--cameras", f"file:{bad / 'transforms.json'}"],
        ["prepare-data", "transforms", bad, "--workers", 1],
        ["prepare-data", "eg3d", bad, "--workers", 1],
        ["prepare-data", "images", bad, "--size", 8, "--group", "labels", "--workers", 1],
        ["prepare-data", "procedural", "cars", "--num", 1, "--split", bad / "split.json"],
        ["fit-stage1", "mnif", "--data", bad, "--preset", "smoke"],
        ["fit-prior", pipeline.model, "--kind", "gaussian", "--overwrite"],
    ):
        place = ["--out", bad] if words[0] == "fit-prior" else out
        done = g3d(*words, *place)
        assert done.code == 2 and "Traceback" not in done.err and done.err.count("\n") == 1, done.err
        tried += 1
    assert tried == 7
    refused(g3d("report", bad, "--out", tmp_path / "r.html"), "config.json")
    refused(g3d("info", bad), "dataset.json")
    text = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).replace("[1]", f"[{large}]")
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(text)) + text.encode() + bytes(4))
    refused(g3d("info", tmp_path / "a.safetensors"), "a.safetensors")
    text = json.dumps({"__metadata__": {"g3d": f'{{"seed": {large}}}'}})
    (tmp_path / "b.safetensors").write_bytes(struct.pack("<Q", len(text)) + text.encode())
    refused(g3d("info", tmp_path / "b.safetensors"), "b.safetensors")


def test_a_json_file_of_a_gigabyte_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "big.json").open("wb") as stream:
        stream.write(b'{"a": "')
        stream.truncate(1 << 30)  # takes no room on the disk
    monkeypatch.setattr(Path, "read_text", lambda *words, **more: pytest.fail("read it"))
    with pytest.raises(G3dError, match=r"big\.json' has 1073741824 bytes; at most"):
        files.read_json(tmp_path / "big.json", "the settings")


def test_a_link_to_itself(pipeline: Pipeline, tmp_path: Path) -> None:
    loop = tmp_path / "self.zip"
    loop.symlink_to(loop)
    for words in (
        ["sheet", loop, "--out", tmp_path / "a.png"],
        ["eval-fid", loop, pipeline.data, "--extractor", "random"],
        ["prepare-data", "images", loop, "--size", 16, "--out", tmp_path / "b"],
        ["render", loop, "--out", tmp_path / "b"],
        ["render", pipeline.scenes, "--out", loop],
        ["render", pipeline.scenes, "--out", loop, "--overwrite"],
        ["info", loop],
    ):
        refused(g3d(*words), str(loop), "link")
    assert [p.name for p in tmp_path.iterdir()] == ["self.zip"]


LOG = [
    '{"step": Infinity, "loss": 1}', '{"step": "3", "loss": {"a": 1}}', '{"step": 1e400, "x": "text"}', "[3]", "5", '"step"',
    '{"step": 4, "evaluation": {"a": {"b": 1}, "c": true, "d": "x"}, "loss": Infinity}', f'{{"step": 5, "loss": {LONG}}}',
    '{"step": 3, "evaluation": [1, 2]}', '{"step": 99999999999999999999999999, "loss": NaN}', "null",
    f'{{"step": 5, "loss": {"9" * 400}}}', '{"step": 6, "loss": 1e308}', '{"step": 7, "loss": -1e308}', '{"step": -1}',
    "[" * 100_000, '{"step": 8, "loss": 2.5}',
]  # fmt: skip


def report(run: Path) -> str:
    done = g3d("report", run, "--out", run.parent / "r.html", "--overwrite")
    assert done.code == 0, done.err
    return (run.parent / "r.html").read_text()


def test_a_report_of_an_odd_log(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text('{"settings": [1, [2]], "parents": 3, "seed": {}, "changed": [["a: 1 -> 2"], 5]}')
    (run / "metrics.json").write_text(f'{{"a": 1e999, "b": {"9" * 300}, "c": {{"d": [1]}}, "e": "<script>"}}')
    for lines in (LOG, LOG[:-1], LOG[::-1], *([line] for line in LOG)):
        (run / "log.jsonl").write_text("\n".join(lines))
        page = report(run)
        assert "<script>" not in page and "</html>" in page
    (run / "log.jsonl").write_text("\n".join(LOG))
    assert "8 steps" in report(run) and "2.5" in report(run)
    (run / "best").mkdir()
    (run / "best" / "metrics.json").write_text('{"step": 1, "metric": [], "value": "x"}')
    refused(g3d("report", run, "--out", tmp_path / "q.html"), "metrics.json", "damaged")


def test_a_report_embeds_only_pictures_of_its_own(tmp_path: Path) -> None:
    run, secret = tmp_path / "run", tmp_path / "secret.txt"
    run.mkdir()
    secret.write_text("the key")
    (run / "config.json").write_text("{}")
    (run / "log.jsonl").write_text('{"step": 1, "loss": 1}\n')
    (run / "link.png").symlink_to(secret)
    (run / "text.png").write_text("the key")
    os.mkfifo(run / "pipe.png")
    (run / "folder.png").mkdir()
    assert "data:image" not in report(run)
    Image.new("RGB", (4, 4)).save(run / "grid.png")
    page = report(run)
    assert page.count("data:image") == 1


class Asserts(torch.nn.Module):
    """Fits at first sight, and raises on every picture that is not of one grey."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert float(x.max() - x.min()) == 0.0, "only grey"
        return x.mean(dim=(2, 3)) + torch.zeros(len(x), 3)


def test_a_network_that_asserts(pipeline: Pipeline, tmp_path: Path) -> None:
    torch.jit.script(Asserts()).save(str(tmp_path / "net.pt"))
    words = ["eval-fid", pipeline.data, pipeline.data, "--extractor", tmp_path / "net.pt", "--trust", "--device", "cpu"]
    refused(
        g3d(*words, "--extractor-range", "unit", "--extractor-size", 16, "--cache", "none"),
        "net.pt",
        "fails on pictures",
    )


def test_json_output_is_json(pipeline: Pipeline, tmp_path: Path) -> None:
    """`Infinity` is not JSON; a figure that is infinite is null."""
    import shutil

    shutil.copytree(pipeline.model, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").write_text('{"psnr": Infinity, "more": [NaN, 1.5]}')
    done = g3d("info", tmp_path / "run", "--json")
    assert json.loads(done.out, parse_constant=lambda word: pytest.fail(f"{word} in JSON"))["run"]["figures"] == {
        "psnr": None,
        "more": [None, 1.5],
    }


ODD: list[Any] = [[], "x", 3, [1, {"a": 2}], None, {"a": [1]}]


@pytest.mark.parametrize("key", ["settings", "parents", "changed", "seed", "method", "kind"])
def test_settings_of_a_run_that_were_changed_by_hand(key: str, pipeline: Pipeline, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "out.html"
    for value in ODD:
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(pipeline.prior, run)
        table = json.loads((run / "config.json").read_text())
        (run / "config.json").write_text(json.dumps({**table, key: value}))
        fit = ["fit-prior", pipeline.model, "--kind", "gaussian", "--device", "cpu", "--out", run]
        for words in (
            ["compare", run, pipeline.prior], ["report", run, "--out", out, "--overwrite"], ["info", run],
            [*fit, "--resume"], [*fit, "--set", "ridge=0.1", "--resume", "--allow-change"], [*fit, "--overwrite"],
        ):  # fmt: skip
            done = g3d(*words)
            assert done.code in (0, 2) and "Traceback" not in done.err, (words, value)


def test_figures_that_are_no_numbers_are_not_compared(pipeline: Pipeline, tmp_path: Path) -> None:
    runs = [tmp_path / name for name in "ab"]
    for seed, run in enumerate(runs):
        words = ["fit-prior", pipeline.model, "--kind", "gaussian", "--seed", seed, "--device", "cpu", "--out", run]
        assert g3d(*words).code == 0
        odd = '{"good": %d, "inf": Infinity, "nan": NaN, "text": "x", "true": true, "list": [1]}'
        (run / "metrics.json").write_text(odd % (seed + 1))
    done = g3d("compare", *runs, "--csv", tmp_path / "runs.csv")
    assert done.code == 0, done.err
    head, *rows = (tmp_path / "runs.csv").read_text().splitlines()
    assert "good" in head and len(rows) >= 2
    assert not [name for name in ("inf", "nan", "text", "true", "list") if name in head.split(",")], head
