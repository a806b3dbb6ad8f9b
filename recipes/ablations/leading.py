"""The words of table.py for an ordering by the distance that leads in all runs of a table: FID where every run has it, else
the first that every run has.

usage: leading.py FOLDER TITLE ROW ROW ...      TITLE's spaces become _ (the words are split by a shell)
"""

import json
import sys
from pathlib import Path

ORDER = ("fid", "kernel_efficientnet", "frechet_efficientnet", "frechet_random", "kernel_random")

folder, title, rows = Path(sys.argv[1]), sys.argv[2].replace(" ", "_"), sys.argv[3:]
runs = [json.loads(path.read_text()) for path in sorted(folder.glob("*/*.json")) if path.stem.isdecimal()]
known = [set(run) for run in runs if not run.get("diverged")]
common = set.intersection(*known) if known else set()
others = sorted(name for name in common if name.startswith(("frechet_", "kernel_")))  # of a file of one's own
for name in [*ORDER, *others]:
    if name in common:
        print("--order", f"{title},_{name}", name, *rows)
        break
