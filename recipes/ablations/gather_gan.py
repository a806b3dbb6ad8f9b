"""The figures of one run of a GAN's ablation as one JSON object: those of metrics.json, and how much the loss of the
discriminator varies over the second half of the log.

usage: gather_gan.py RUN
"""

import json
import statistics
import sys
from pathlib import Path

run = Path(sys.argv[1])
fitted = json.loads((run / "metrics.json").read_text())
names = ("kernel_efficientnet", "frechet_random", "precision", "recall", "cloudy_share", "halo", "seconds")
found = {name: fitted[name] for name in names if fitted.get(name) is not None}
lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
losses = [line["loss"] for line in lines if "loss" in line]
found["loss_spread"] = statistics.pstdev(losses[len(losses) // 2 :])
print(json.dumps(found, sort_keys=True))
