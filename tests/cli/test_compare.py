"""`g3d compare`: which settings differ, figures of groups by hand, and what is refused."""

import csv
import json
import re
from pathlib import Path

import pytest
from commands import g3d, refused


def made(path: Path, seed: int, psnr: float | None, **settings: float) -> Path:
    path.mkdir(parents=True)
    config = {
        "method": "mnif",
        "seed": seed,
        "settings": {"lr": 0.1, "width": 64, **settings},
        "parents": {"dataset": "sha256:a"},
    }
    (path / "config.json").write_text(json.dumps(config))
    if psnr is not None:
        (path / "metrics.json").write_text(
            json.dumps({"psnr_db": psnr, "seconds": 10 * psnr, "note": "none", "ok": True})
        )
    return path


def test_seeds_are_one_row_and_only_what_differs_is_a_column(tmp_path: Path) -> None:
    runs = [made(tmp_path / "a" / str(seed), seed, psnr) for seed, psnr in enumerate((20.0, 22.0, 24.0))]
    runs.append(made(tmp_path / "b", 0, 30.0, width=128))
    found = g3d("compare", *runs, "--csv", tmp_path / "all.csv", "--json").json
    assert found["differ"] == ["width"] and found["runs"] == 4
    first, second = found["groups"]
    assert (
        first["seeds"] == 3
        and first["width"] == 64
        and first["psnr_db"] == pytest.approx(22)
        and first["psnr_db ±"] == pytest.approx(2)
    )
    assert second["seeds"] == 1 and second["width"] == 128 and second["psnr_db"] == 30 and "psnr_db ±" not in second
    assert "note" not in first and "ok" not in first and first["seconds"] == pytest.approx(220)
    rows = list(csv.reader((tmp_path / "all.csv").open()))
    assert rows[0] == ["run", "seed", "width", "psnr_db", "seconds"] and len(rows) == 5
    assert rows[2] == [str(tmp_path / "a" / "1"), "1", "64", "22.0", "220.0"]
    lines = g3d("compare", *runs, "--figures", "psnr_db").out
    assert "width" in lines and "22" in lines and "seconds" not in lines and "lr" not in lines


def test_figures_of_other_files_and_unfinished_runs(tmp_path: Path) -> None:
    runs = [made(tmp_path / "a", 0, 20.0), made(tmp_path / "b", 0, None, lr=0.2)]
    for value, run in enumerate(runs):
        (run / "fid.json").write_text(json.dumps({"value": value, "metric": "fid"}))
    found = g3d("compare", *runs, "--also", "fid.json", "--json").json["groups"]
    assert [row["fid: value"] for row in found] == [0, 1] and [row["psnr_db"] for row in found] == [20, None]


def test_the_page_has_a_line_for_each_run_in_the_colour_of_its_group(tmp_path: Path) -> None:
    runs = [made(tmp_path / "a" / str(seed), seed, 20.0 + seed) for seed in range(2)]
    runs.append(made(tmp_path / "b" / "0", 0, 30.0, width=128))
    for number, run in enumerate(runs):
        lines: list[dict[str, float]] = [{"step": s, "loss": 1.0 / s + number, "logit": -s} for s in (1, 2, 3)]
        lines[0]["once"] = number
        (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 4, "lo')
    runs.append(made(tmp_path / "c" / "0", 0, None, lr=0.5))  # one that ended at once
    page, some = tmp_path / "all.html", tmp_path / "some.html"
    assert g3d("compare", *runs, "--html", page).code == 0
    text = page.read_text()
    assert (
        text.count("<svg") == 3
        and text.count("<circle") == 3
        and "<script" not in text
        and not re.search(r"(src|href)=", text)
    )
    assert [text.count(f'class="curve g{i}"') for i in range(4)] == [6, 3, 0, 0]
    loss = text.split("loss</text>")[1].split("</svg>")[0]
    ends = [[float(v) for v in line.split()[-1].split(",")] for line in re.findall(r'points="([^"]+)"', loss)]
    assert len(ends) == 3 and len({x for x, _ in ends}) == 1  # one axis for all
    assert ends[0][1] > ends[1][1] > ends[2][1]  # the higher the loss, the higher up: y falls
    assert all(word in text for word in ("b/0", "c/0", "width", "psnr_db"))
    assert g3d("compare", *runs, "--html", some, "--curves", "logit").code == 0
    assert some.read_text().count("<svg") == 1
    refused(g3d("compare", *runs, "--html", page), "exists")
    refused(g3d("compare", *runs, "--html", tmp_path / "p.htm", "--curves", "logits"), "did you mean 'logit'")
    refused(g3d("compare", *runs, "--curves", "logit"), "--html")
    refused(g3d("compare", *runs, "--html", tmp_path / "page.txt"), "must end in .html")


def test_refusals(tmp_path: Path) -> None:
    one, two = made(tmp_path / "one", 0, 20.0), made(tmp_path / "two", 0, 21.0)
    refused(g3d("compare", one), "nothing to compare")
    refused(g3d("compare", one, two), "are the same run")
    refused(g3d("compare", one, tmp_path), "is not a run")
    three = made(tmp_path / "three", 1, 21.0)
    refused(g3d("compare", one, three, "--figures", "psnr"), "has a figure 'psnr'", "psnr_db")
    refused(g3d("compare", one, three, "--also", "fid.json"), "fid.json")
    (tmp_path / "there.csv").write_text("mine")
    refused(g3d("compare", one, three, "--csv", tmp_path / "there.csv"), "exists")
    config = json.loads((three / "config.json").read_text())
    (three / "config.json").write_text(json.dumps({**config, "method": "vq3d"}))
    refused(g3d("compare", one, three), "mnif, vq3d")
    config["refiner"] = config.pop("method")
    (three / "config.json").write_text(json.dumps(config))
    refused(g3d("compare", one, three), "the runs are of a refiner, mnif")
