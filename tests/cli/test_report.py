"""`g3d report`: a page with everything in it, that a real browser opens; runs that go on, are damaged, or are no runs."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from commands import Pipeline, g3d, refused
from g3d.export.chart import chart
from PIL import Image

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def test_the_page_holds_curves_pictures_settings_and_figures(pipeline: Pipeline, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["fit-stage1", "mnif", "--data", pipeline.data, "--preset", "smoke", "--set", "epochs=8", "--device", "cpu"]
    assert g3d(*words, "--checkpoint-every", 4, "--keep", 1, "--out", run).code == 0
    result = g3d("report", run, "--json")
    assert result.code == 0 and result.json["written"] == [str(run / "report.html")] and result.json["steps"] == 8
    page = (run / "report.html").read_text()
    for word in (
        "psnr_db",
        "mean_image_psnr_db",
        "best checkpoint",
        "gradient_norm",
        "evaluation: psnr_db",
        "latent_dim",
        "sha256:",
    ):
        assert word in page, word
    assert page.count("<svg") >= 8 and "data:image/png;base64," in page
    assert not re.search(r"(src|href)=['\"](?!data:)", page) and "<script" not in page  # nothing is fetched
    assert g3d("report", run).code == 0  # again: the page is of the run as it is now
    refused(g3d("report", run, "--out", run / "report.html"), "exists", "--overwrite")


@pytest.mark.parametrize("generated", [False, True])
def test_the_grid_is_called_what_it_shows(pipeline: Pipeline, tmp_path: Path, generated: bool) -> None:
    """Samples of a GAN are no reconstructions; also of a run that still goes on, which has figures in its log alone."""
    run = tmp_path / "run"
    shutil.copytree(pipeline.model, run)
    (run / "metrics.json").unlink()
    with (run / "log.jsonl").open("a") as log:
        log.write(json.dumps({"step": 6, "evaluation": {"generated_views" if generated else "psnr_db": 8}}) + "\n")
    assert (run / "grid.png").is_file() and g3d("report", run).code == 0
    page = (run / "report.html").read_text()
    assert ("then generated ones" in page) == generated
    assert ("true and reconstructed" in page) != generated


def test_a_browser_draws_it(pipeline: Pipeline, tmp_path: Path) -> None:
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"no browser ({', '.join(BROWSERS)}) is installed")
    page, picture = tmp_path / "report.html", tmp_path / "page.png"
    assert g3d("report", pipeline.model, "--out", page).code == 0
    how = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--window-size=1200,1600",
        "--force-color-profile=srgb",
    ]
    command = [browser, *how, f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={picture}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert picture.is_file(), done.stderr
    pixels = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    assert (pixels.min(axis=-1) < 90).sum() > 2000, "there is no text on the page"
    blue = (np.abs(pixels - [0x25, 0x63, 0xEB]).sum(axis=-1) < 30).sum()
    assert blue > 500, "there are no curves on the page"
    dom = subprocess.run(
        [browser, *how, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    ).stdout  # fmt: skip
    lines = [json.loads(line) for line in (pipeline.model / "log.jsonl").read_text().splitlines()]
    assert f"{lines[-1]['loss']:.4g}" in dom and "<polyline" in dom


def test_a_run_that_is_being_written(pipeline: Pipeline, tmp_path: Path) -> None:
    shutil.copytree(pipeline.model, tmp_path / "run")
    with (tmp_path / "run/log.jsonl").open("a") as stream:
        stream.write('{"step": 7, "lo')
    (tmp_path / "run/metrics.json").unlink()
    assert g3d("report", tmp_path / "run").code == 0
    assert "one damaged line left out" in (tmp_path / "run/report.html").read_text()


def test_refusals(pipeline: Pipeline, tmp_path: Path) -> None:
    refused(g3d("report", tmp_path / "nothing"), "does not exist")
    refused(g3d("report", pipeline.data), "not a run")
    refused(g3d("report", pipeline.model, "--out", tmp_path / "page.pdf"), "must end in .html")


def test_a_curve_lies_where_its_values_are() -> None:
    drawn = chart("x", [0, 50, 100], [1.0, 3.0, 2.0])
    points = [tuple(map(float, p.split(","))) for p in re.search(r'points="([^"]+)"', drawn).group(1).split()]  # type: ignore[union-attr]
    (x0, y0), (x1, y1), (x2, y2) = points
    assert x1 - x0 == pytest.approx(x2 - x1) and y1 < y2 < y0  # up is a smaller y
    assert (y0 - y2) / (y0 - y1) == pytest.approx(0.5, abs=0.01)
    decades = chart("loss", [0, 1, 2], [1.0, 0.1, 0.01], log=True)
    y = [float(p.split(",")[1]) for p in re.search(r'points="([^"]+)"', decades).group(1).split()]  # type: ignore[union-attr]
    assert y[1] - y[0] == pytest.approx(y[2] - y[1], abs=0.2)
    assert ">0.1<" in decades and ">0.01<" in decades
    nan = float("nan")
    assert chart("gap", [0, 1, 2, 3, 4], [1.0, 2.0, nan, 2.0, 1.0]).count("<polyline") == 2
    assert "no finite values" in chart("x", [0, 1], [float("nan")] * 2)
    assert "<polyline" in chart("flat", [0, 1], [5.0, 5.0]) and "<polyline" in chart("one", [3], [0.0])
    assert len(chart("many", list(range(100_000)), [float(i % 97) for i in range(100_000)])) < 40_000
