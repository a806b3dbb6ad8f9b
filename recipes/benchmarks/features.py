"""Is a distance of features a good measure? Sets of pictures made worse step by step, by EfficientNet and by random features.

usage: python recipes/benchmarks/features.py speed
       python recipes/benchmarks/features.py photos FOLDER            a folder of pictures for each class
       python recipes/benchmarks/features.py views DATASET [NAME=FOLDER ...]   views of objects, and what models drew of them

`speed`: the network beside its convolutions alone, on one thread. The others print tables in Markdown: each row a set, each
column a distance from real pictures (kernel distances times 1,000), and whether it grows from step to step. A set and what it
is compared with hold different pictures, but for the first row; all rows of a group hold equally many.
"""

import io
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from g3d.data.columns import SPLITS
from g3d.data.opening import open_dataset
from g3d.evaluation.efficientnet import efficientnet_extractor
from g3d.evaluation.features import Extractor, features, random_extractor
from g3d.evaluation.pictures import pictures
from g3d.images import U8
from g3d.metrics.frechet import frechet_distance, moments
from g3d.metrics.kid import kernel_distance
from g3d.nets import efficientnet
from PIL import Image, ImageFilter
from torch.nn import functional as F

EXTRACTORS = [efficientnet_extractor(), random_extractor()]
COLUMNS = [f"{kind}_{e.name}" for e in EXTRACTORS for kind in ("kernel", "frechet")]
Change = Callable[[U8], U8]
Row = dict[str, float]


def blurred(share: float) -> Change:
    """A Gaussian of so many hundredths of the side."""
    return lambda p: np.array(Image.fromarray(p).filter(ImageFilter.GaussianBlur(share / 100 * p.shape[1])))


def noisy(deviation: float) -> Change:
    """Of each value, in steps of 255."""

    def change(p: U8) -> U8:
        stream = np.random.default_rng(int(p.sum()))
        return (p + stream.normal(0, deviation, p.shape)).round().clip(0, 255).astype(np.uint8)

    return change


def compressed(quality: int) -> Change:
    """Through JPEG."""

    def change(p: U8) -> U8:
        box = io.BytesIO()
        Image.fromarray(p).save(box, "JPEG", quality=quality)
        return np.array(Image.open(box).convert("RGB"))

    return change


def tinted(share: float) -> Change:
    """More red and less blue."""
    return lambda p: (p * np.array([1 + share, 1, 1 - share])).round().clip(0, 255).astype(np.uint8)


CHANGES: dict[str, list[tuple[str, Change]]] = {
    "blur, σ of the side": [(f"{s} %", blurred(s)) for s in (0.5, 1, 2, 4)],
    "noise, σ of 255": [(f"{s}", noisy(s)) for s in (5, 10, 25, 50)],
    "JPEG, quality": [(f"{q}", compressed(q)) for q in (80, 50, 20, 5)],
    "tint": [(f"{s}", tinted(s)) for s in (0.05, 0.1, 0.2, 0.4)],
}


def embedded(shown: Sequence[U8]) -> list[np.ndarray]:
    """The features of some pictures by each extractor."""
    return [features(lambda i: shown[i], range(len(shown)), extractor, 64) for extractor in EXTRACTORS]


def distances(real: list[np.ndarray], fake: list[np.ndarray]) -> Row:
    """All columns."""
    found: list[float] = []
    for a, b in zip(real, fake, strict=True):
        found += [1000 * kernel_distance(a, b, 0, subsets=20).mean, frechet_distance(moments(a), moments(b))]
    return dict(zip(COLUMNS, found, strict=True))


def table(title: str, rows: list[tuple[str, Row]], monotone: bool = True) -> None:
    """Print a table; in its last line, whether every row is farther than the one before."""
    print(f"\n| {title} | {' | '.join(COLUMNS)} |\n|{'---|' * (len(COLUMNS) + 1)}")
    for name, row in rows:
        print(f"| {name} | {' | '.join(f'{row[c]:.3g}' for c in COLUMNS)} |")
    if monotone:
        grows = [all(b[1][c] > a[1][c] for a, b in pairwise(rows)) for c in COLUMNS]
        print(f"| grows | {' | '.join('yes' if g else 'no' for g in grows)} |", flush=True)


def worse(real: list[np.ndarray], other: Sequence[U8], far: list[np.ndarray]) -> None:
    """Tables of a set made worse by each change."""
    for title, steps in CHANGES.items():
        rows = [("as it is", distances(real, far))]
        rows += [(name, distances(real, embedded([change(p) for p in other]))) for name, change in steps]
        table(title, rows)


def photos(folder: Path) -> None:
    """Photographs of several classes, at 224 pixels: halves of all, classes left out, one class against another."""
    classes = sorted(p for p in folder.iterdir() if p.is_dir())
    shown: dict[str, list[U8]] = {}
    for place in classes:
        found = pictures(place, "the images")
        shown[place.name] = [np.array(Image.fromarray(found.read(i)).resize((224, 224))) for i in range(len(found))]
    halves = [[p for kind in shown.values() for p in kind[k::2]] for k in (0, 1)]
    of_class = {name: embedded(kind) for name, kind in shown.items()}
    real, other = ([np.concatenate([of_class[n][e][k::2] for n in shown]) for e in range(2)] for k in (0, 1))
    table(f"{len(halves[0])} photographs", [("themselves", distances(real, real)), ("others", distances(real, other))])
    worse(real, halves[1], other)
    names, count = list(shown), min(map(len, shown.values())) // 2
    rows = []
    for kept in range(len(names), 0, -1):
        of = [np.concatenate([of_class[n][e][1::2][: count // kept] for n in names[:kept]]) for e in range(2)]
        rows.append((f"{kept} of {len(names)}", distances(real, of)))
    table(f"classes kept, {count} photographs", rows)
    rows = [(f"{n}, {n}", distances(*([f[k::2] for f in of_class[n]] for k in (0, 1)))) for n in names]
    rows += [
        (f"{a}, {b}", distances([f[::2] for f in of_class[a]], [f[1::2] for f in of_class[b]]))
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    ]
    table(f"one class against another, {count} each", rows, monotone=False)


def views(path: Path, sampled: Sequence[tuple[str, Path]]) -> None:
    """Views of objects: halves of the objects' views, objects left out, and pictures that models drew."""
    data = open_dataset(path)
    train = (data.view_split == SPLITS.index("train")).nonzero().squeeze(1)
    objects = data.view_object[train]
    shown = list(data.pictures(train))
    found = embedded(shown)
    quarter = torch.arange(len(train)) % 4  # two quarters of the views of each object
    real, other = ([f[(quarter == k).numpy()] for f in found] for k in (0, 2))
    title = f"{len(real[0])} views of {data.info['name']} at {data.info['width']} pixels"
    table(title, [("themselves", distances(real, real)), ("others", distances(real, other))])
    worse(real, [p for p, keep in zip(shown, quarter == 2, strict=True) if keep], other)
    rows = []
    total, count = len(set(objects.tolist())), 48
    for kept in (total, total // 2, total // 4, total // 8, total // 16):
        places = torch.nonzero((quarter == 2) & (objects < kept)).squeeze(1)
        chosen = places[torch.linspace(0, len(places) - 1, min(count, len(places))).long()].numpy()
        rows.append((f"{kept} of {total}", distances(real, [f[chosen] for f in found])))
    table(f"objects kept, {count} views", rows)
    rows = [(name, distances(found, embedded([*_read(folder)]))) for name, folder in sampled]
    if rows:
        table("all views against", rows, monotone=False)


def _read(folder: Path) -> Iterator[U8]:
    found = pictures(folder, "the images")
    for i in range(min(256, len(found))):
        yield found.read(i)


def speed() -> None:
    """Pictures a second at 224 pixels on one thread, of processor time: the network, and its convolutions alone; best of 8."""
    torch.set_num_threads(1)
    network, calls = efficientnet.load(), []
    plain = F.conv2d

    def recorded(x: torch.Tensor, *words: object, **more: object) -> torch.Tensor:
        calls.append((x.clone(), words, more))
        return plain(x, *words, **more)  # type: ignore[arg-type]

    extractor: Extractor = EXTRACTORS[0]
    batch = [np.random.default_rng(i).integers(0, 256, (64, 64, 3), dtype=np.uint8) for i in range(16)]
    ready = [extractor.prepare(p) for p in batch]
    four = torch.from_numpy(np.stack(ready[:4])).permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        F.conv2d = recorded  # type: ignore[assignment]
        network(four)
        F.conv2d = plain
        works: dict[str, tuple[int, Callable[[], object]]] = {
            "with resizing from 64": (16, lambda: extractor.embed([extractor.prepare(p) for p in batch])),
            "network": (16, lambda: extractor.embed(ready)),
            "convolutions alone": (4, lambda: [plain(x, *words, **more) for x, words, more in calls]),  # type: ignore[arg-type]
        }
        best = dict.fromkeys(works, float("inf"))
        for _ in range(8):
            for name, (_, work) in works.items():
                start = time.process_time()
                work()
                best[name] = min(best[name], time.process_time() - start)
    for name, (count, _) in works.items():
        print(f"{name:<24} {count / best[name]:.1f} pictures/s")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["speed"]:
            speed()
        case ["photos", folder]:
            photos(Path(folder))
        case ["views", dataset, *more]:
            views(Path(dataset), [(name, Path(folder)) for name, _, folder in (word.partition("=") for word in more)])
        case _:
            sys.exit(__doc__)
