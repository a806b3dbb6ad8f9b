"""All figures of two sets of features: which there are, what they need, what they are called.

Only the clean-fid protocol may be called FID, KID or IS; of other extractors the figures are named after them.
"""

from collections.abc import Collection, Sequence
from typing import Any

import torch

from g3d.evaluation.features import F32, Extractor, full_precision
from g3d.metrics.diversity import diversity
from g3d.metrics.frechet import frechet_distance, moments
from g3d.metrics.inception_score import inception_score
from g3d.metrics.kid import kernel_distance
from g3d.metrics.neighbours import K_DENSITY_COVERAGE, K_PRECISION_RECALL, Neighbours, neighbours
from g3d.progress import SILENT, Progress

METRICS = ("fid", "kid", "is", "precision", "recall", "f1", "density", "coverage", "diversity")
_BALLS = {"precision": K_PRECISION_RECALL, "recall": K_PRECISION_RECALL, "f1": K_PRECISION_RECALL,
          "density": K_DENSITY_COVERAGE, "coverage": K_DENSITY_COVERAGE}  # fmt: skip
_SETS = {
    "precision": ("real",),
    "recall": ("fake",),
    "f1": ("real", "fake"),
    "density": ("real",),
    "coverage": ("real",),
}
"""Whose balls a figure counts in."""
_OTHER_NAMES = {"fid": "frechet", "kid": "kernel", "is": "class_score"}


def name_of(metric: str, extractor: Extractor) -> str:
    """What a figure is called: `fid`, `kid_legacy_pytorch`, `kernel_random`, `recall`."""
    if metric not in _OTHER_NAMES:
        return "diversity_fake" if metric == "diversity" else metric
    if extractor.metric.startswith("fid"):
        return extractor.metric.replace("fid", metric, 1)
    return extractor.metric.replace("frechet", _OTHER_NAMES[metric], 1)


def headline(wanted: Sequence[str], extractor: Extractor, fewest: int) -> str:
    """The word of the figure that leads. A covariance of as many dimensions as there are pictures says little: below the
    extractor's `kernel_below` the kernel distance, which is unbiased, goes before the Fréchet distance."""
    return "kid" if "kid" in wanted and fewest < extractor.kernel_below else wanted[0]


def why_not(metric: str, extractor: Extractor, n_real: int, n_fake: int) -> str | None:
    """Why a figure cannot be given; None where it can."""
    if metric == "is" and extractor.logits is None:
        return f"the extractor '{extractor.name}' gives no classes"
    k = _BALLS.get(metric, 0)
    for role, count in (("real", n_real), ("fake", n_fake)):
        if role in _SETS.get(metric, ()) and count <= k:
            return f"{count} {role} images are too few for {k} neighbours"
    return None


def figures(
    real: F32,
    fake: F32,
    extractor: Extractor,
    wanted: Collection[str],
    seed: int,
    device: str | torch.device = "cpu",
    progress: Progress = SILENT,
) -> tuple[dict[str, Any], Neighbours | None]:
    """Every wanted figure by its name, with what one must know to compare it; and the neighbours, where they were looked for."""
    found: dict[str, Any] = {}
    near = None
    if "fid" in wanted:
        found[name_of("fid", extractor)] = frechet_distance(moments(real), moments(fake))
    with full_precision():
        if "kid" in wanted:
            kid, name = kernel_distance(real, fake, seed, device, progress=progress), name_of("kid", extractor)
            found |= {name: kid.mean, f"{name}_std": kid.std, f"{name}_subsets": kid.subsets,
                      f"{name}_subset_size": kid.subset_size}  # fmt: skip
        if "is" in wanted and extractor.logits is not None:
            name = name_of("is", extractor)
            for role, values in (("", fake), ("_real", real)):
                mean, std, splits = inception_score(values, extractor.logits, seed)
                found |= {f"{name}{role}": mean, f"{name}{role}_std": std, f"{name}{role}_splits": splits}
        if _BALLS.keys() & set(wanted):
            near = neighbours(real, fake, device, progress=progress)
            found |= {name: getattr(near, name) for name in _BALLS if name in wanted}
            found |= {
                f"{name}_k": _BALLS[name] for name in ("precision", "recall", "density", "coverage") if name in wanted
            }
    if "diversity" in wanted:
        for role, values in (("real", real), ("fake", fake)):
            found[f"diversity_{role}"], found[f"diversity_{role}_pairs"] = diversity(values, seed)
    return found, near
