"""The figures of one run of a GAN's ablation as one JSON object: those of metrics.json (256 samples); over them those of fid.json
(as many samples as were drawn for it, by whatever features), where it is there; and how much the loss of the discriminator
varies over the second half of the log.

usage: gather_gan.py RUN
"""

import json
import statistics
import sys
from pathlib import Path

NAMES = ("precision", "recall", "cloudy_share", "halo", "seconds")
DISTANCES = ("fid", "kid", "frechet_", "kernel_")
HOW = ("_std", "_size", "_subsets")  # of a kernel distance: how it was taken

run = Path(sys.argv[1])
sources = [json.loads((run / name).read_text()) for name in ("metrics.json", "fid.json") if (run / name).is_file()]
found = {
    name: value
    for figures in sources
    for name, value in figures.items()
    if isinstance(value, int | float) and (name in NAMES or (name.startswith(DISTANCES) and not name.endswith(HOW)))
}
if (run / "log.jsonl").is_file():
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    if losses:  # none at 0 kimg
        found["loss_spread"] = statistics.pstdev(losses[len(losses) // 2 :])
print(json.dumps(found, sort_keys=True))
