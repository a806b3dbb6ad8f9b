"""A table of an ablation: mean and standard deviation over seeds of each row's figures, and whether orderings appeared.

usage: table.py FOLDER BASE [--order TITLE FIGURE ROW ROW ...]...      (_ in a TITLE is a space)

FOLDER/ROW/SEED.json holds the figures of a run, or {"diverged": true}. An ordering says that FIGURE rises from row to row.
Between neighbours it `appeared` where the difference of the means is above the spread (the root of the sum of both variances
of the mean), `not` where it is below minus the spread, and is `within the spread` between.
"""

import json
import math
import statistics
import sys
from itertools import pairwise
from pathlib import Path

Figures = dict[str, list[float]]


def rows_of(folder: Path) -> dict[str, tuple[Figures, int]]:
    """Row => its figures over seeds, and how many runs diverged."""
    found: dict[str, tuple[Figures, int]] = {}
    for path in sorted(folder.glob("*/*.json")):
        if not path.stem.isdecimal():
            continue
        figures, diverged = found.get(path.parent.name, ({}, 0))
        run = json.loads(path.read_text())
        if run.get("diverged"):
            diverged += 1
        else:
            for name, value in run.items():
                figures.setdefault(name, []).append(float(value))
        found[path.parent.name] = (figures, diverged)
    return found


def text(values: list[float]) -> str:
    """Mean ± standard deviation of a sample."""
    if not values:
        return "-"
    spread = f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4g}{spread}"


def verdict(low: list[float], high: list[float]) -> str:
    """Whether the mean of `high` is above that of `low`."""
    if len(low) < 2 or len(high) < 2:
        return "too few runs"
    spread = math.sqrt(statistics.variance(low) / len(low) + statistics.variance(high) / len(high))
    difference = statistics.mean(high) - statistics.mean(low)
    return "appeared" if difference > spread else "not" if difference < -spread else "within the spread"


def main() -> None:
    """Print the table and the orderings as Markdown."""
    folder, base = Path(sys.argv[1]), sys.argv[2]
    rows = rows_of(folder)
    names = sorted({name for figures, _ in rows.values() for name in figures})
    order = [base, *(row for row in rows if row != base)]
    print(f"| row | runs | diverged | {' | '.join(names)} |\n|---|---|---|{'---|' * len(names)}")
    for row in order:
        figures, diverged = rows.get(row, ({}, 0))
        runs = max((len(v) for v in figures.values()), default=0) + diverged
        print(f"| {row} | {runs} | {diverged} | {' | '.join(text(figures.get(name, [])) for name in names)} |")
    print("\n| ordering | from row to row |\n|---|---|")
    for part in " ".join(f"\0{w}" for w in sys.argv[3:]).replace("\0", "\n").split("\n--order")[1:]:
        title, figure, *chain = [word.strip() for word in part.strip().split("\n")]
        steps = [
            f"{a} < {b}: {verdict(rows.get(a, ({}, 0))[0].get(figure, []), rows.get(b, ({}, 0))[0].get(figure, []))}"
            for a, b in pairwise(chain)
        ]
        print(f"| {title.replace('_', ' ')} | {'; '.join(steps)} |")


if __name__ == "__main__":
    main()
