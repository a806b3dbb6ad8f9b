"""How fast pictures come from a stored zip, alone and beside a step that computes: `python recipes/benchmarks/loader.py`.

Makes a dataset of `--pictures` PNGs of 256² (smooth noise, about 140 KB each, `--distinct` of them different) in `--folder`
once, in one stored zip. Then: pictures per second of the loader alone by number of threads, and what a loop waits for its
batches beside a step of `--step-ms` milliseconds that uses one core (or, with --sleep, none: a step on a GPU).
"""

import argparse
import json
import shutil
import time
import zipfile
from pathlib import Path

import numpy as np
import torch
from g3d import images
from g3d.data.columns import FORMAT
from g3d.data.opening import open_dataset
from g3d.data.order import step_items
from g3d.training.prefetch import prefetch

SIZE = 256


def make(folder: Path, pictures: int, distinct: int) -> None:
    """A dataset without cameras whose pictures lie in one stored zip."""
    stream = np.random.default_rng(0)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    encoded = []
    for _ in range(distinct):
        small = stream.integers(0, 256, (32, 32, 3)).astype(np.uint8)
        noise = stream.integers(-6, 7, (SIZE, SIZE, 3))
        encoded.append(
            images.encode(np.clip(images.resized(small, SIZE, SIZE) + noise, 0, 255).astype(np.uint8), photo=True)
        )
    with zipfile.ZipFile(folder / "images.zip", "w", zipfile.ZIP_STORED) as archive:
        for number in range(pictures):
            archive.writestr(f"{number:06d}.png", encoded[number % distinct])
    info = {
        "format": FORMAT, "name": "noise", "views": pictures, "width": SIZE, "height": SIZE, "background": [1, 1, 1],
        "objects": [{"name": "noise", "split": "train"}], "licence": "CC0-1.0",
        "provenance": "made by loader.py", "digest": "none",
    }  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(info))


def busy(milliseconds: float, *, sleep: bool) -> None:
    """A step: one core at work, or none."""
    if sleep:
        time.sleep(milliseconds / 1e3)
        return
    a, end = torch.randn(256, 256), time.perf_counter() + milliseconds / 1e3
    while time.perf_counter() < end:
        a = torch.tanh(a @ a * 1e-3)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--folder", type=Path, default=Path("loader-data"))
    words.add_argument("--pictures", type=int, default=70_000)
    words.add_argument("--distinct", type=int, default=2_000)
    words.add_argument("--batch", type=int, default=32)
    words.add_argument("--steps", type=int, default=60)
    words.add_argument("--step-ms", type=float, default=250.0)
    words.add_argument("--sleep", action="store_true")
    words.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    how = words.parse_args()
    torch.set_num_threads(1)
    if not (how.folder / "dataset.json").is_file():
        make(how.folder, how.pictures, how.distinct)
    start = time.perf_counter()
    data = open_dataset(how.folder)
    count = int(data.info["views"])
    size_gb = (how.folder / "images.zip").stat().st_size / 1e9
    print(f"{count} pictures of {SIZE}², {size_gb:.1f} GB; opened in {time.perf_counter() - start:.2f} s")

    def draw(step: int) -> torch.Tensor:
        return torch.from_numpy(data.pictures(step_items(count, how.batch, 0, step)))

    draw(0)  # the first permutation
    for threads in how.threads:
        start = time.perf_counter()
        with prefetch(draw, how.steps, threads=threads) as batches:
            for step in range(how.steps):
                batches(step)
        rate = how.steps * how.batch / (time.perf_counter() - start)
        waited = 0.0
        with prefetch(draw, how.steps, threads=threads) as batches:
            batches(0)
            for step in range(1, how.steps):
                busy(how.step_ms, sleep=how.sleep)
                before = time.perf_counter()
                batches(step)
                waited += time.perf_counter() - before
        share = waited / (waited + (how.steps - 1) * how.step_ms / 1e3)
        print(
            f"{threads} threads: {rate:.0f} pictures/s alone; beside a step of {how.step_ms:.0f} ms for {how.batch} "
            f"pictures ({how.batch / how.step_ms * 1e3:.0f}/s) the loop waits {100 * share:.1f} % of the time"
        )


if __name__ == "__main__":
    main()
