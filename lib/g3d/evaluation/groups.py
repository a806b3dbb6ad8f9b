"""Figures over groups of pairs, as papers give them (mean and deviation over subjects), and two sets of pictures pair by pair.

Deviations are divided by n, as elsewhere. Differences of pairs take away what is common to both sets: that one subject is
harder than the other.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from g3d.errors import G3dError
from g3d.evaluation.pairs import Pairs

KINDS = ("object", "subject", "expression", "class")
Row = Mapping[str, float]


def names_of(found: Pairs, kind: str) -> list[str]:
    """The group of each pair."""
    data = found.true.data
    if data is None:
        raise G3dError(f"--by {kind} needs a true dataset, whose labels say so; '{found.true.path}' is none")
    views = [one.true.view for one in found.pairs]
    if kind == "object":
        names = data.object_names
        return [names[int(data.view_object[view])] for view in views if view is not None]
    if kind not in data.labels:
        known = ["object", *(k for k in KINDS if k in data.labels)]
        raise G3dError(f"'{found.true.path}' has no label '{kind}' for --by; it has {', '.join(known)}")
    numbers = [int(data.labels[kind][view]) for view in views if view is not None]
    known_names = data.info.get("names", {}).get(kind, [])
    return [known_names[n] if n < len(known_names) else str(n) for n in numbers]


def over_groups(rows: Sequence[Row], groups: Sequence[str], kind: str) -> dict[str, Any]:
    """Mean and deviation over groups of each figure's mean in a group, `psnr_db_over_subjects` and `..._std`; how many groups."""
    means = _means(rows, groups)
    found: dict[str, Any] = {f"{kind}s": len(means)}
    for name in _figures(rows):
        values = np.array([mean[name] for mean in means.values() if name in mean])
        finite = bool(np.isfinite(values).all())
        found[f"{name}_over_{kind}s"] = float(values.mean()) if finite else None
        found[f"{name}_over_{kind}s_std"] = float(values.std()) if finite else None
    return found


def table(rows: Sequence[Row], groups: Sequence[str], kind: str) -> list[dict[str, Any]]:
    """A row a group: its name, how many pairs, the mean of each figure."""
    counts = {group: groups.count(group) for group in dict.fromkeys(groups)}
    return [{kind: group, "n": counts[group], **mean} for group, mean in _means(rows, groups).items()]


def differences(rows: Sequence[Row], others: Sequence[Row], groups: Sequence[str] | None, kind: str) -> dict[str, Any]:
    """rows - others, pair by pair: mean, deviation, standard error, and the share of pairs where the first is larger; with
    groups the error is that of the groups' means, since pairs of one subject are not independent."""
    if len(rows) != len(others):
        raise G3dError(f"there are {len(rows)} and {len(others)} pairs; give two sets of the same pictures to compare")
    found: dict[str, Any] = {}
    for name in [name for name in _figures(rows) if all(name in row for row in (*rows, *others))]:
        each = np.array([a[name] - b[name] for a, b in zip(rows, others, strict=True)])
        if not np.isfinite(each).all():
            continue  # exact in one or in both: decibels without end
        by = list(_means([{name: v} for v in each], groups).values()) if groups else []
        single = np.array([mean[name] for mean in by]) if by else each
        error = float(single.std(ddof=1) / np.sqrt(len(single))) if len(single) > 1 else None
        found[name] = {
            "difference": float(each.mean()), "std": float(each.std()), "larger_share": float((each > 0).mean()),
            "error": error, "error_over": f"{len(single)} {kind}s" if by else f"{len(single)} pairs",
        }  # fmt: skip
    return found


def _figures(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _means(rows: Sequence[Row], groups: Sequence[str]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for group in dict.fromkeys(groups):
        mine = [row for row, g in zip(rows, groups, strict=True) if g == group]
        found[group] = {name: float(np.mean([r[name] for r in mine if name in r])) for name in _figures(mine)}
    return found
