"""The discriminator's logits of generated pictures over pictures seen, a curve a row of an ablation: figure 7 of GSGAN.

usage: logits.py FOLDER OUT.png      FOLDER/ROW/SEED/log.jsonl are runs; the band is a batch's deviation, mean over seeds.

It prints, a row a line, mean and deviation of the logits over the second half of the runs.
"""

import json
import math
import statistics
import sys
from pathlib import Path

from g3d.evaluation.plots import Curve, curves

folder, out = Path(sys.argv[1]), Path(sys.argv[2])
series = {}
for row in sorted(path for path in folder.iterdir() if path.is_dir()):
    logs = []
    for log in sorted(row.glob("*/log.jsonl")):
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        batch = json.loads((log.parent / "config.json").read_text())["settings"]["batch"]
        found = [
            (line["step"] * batch / 1000, line["fake_logit"], line["fake_logit_std"])
            for line in lines
            if math.isfinite(line.get("fake_logit") or math.nan)
        ]
        if len(found) > 1:
            logs.append(found)
    if not logs:
        print(f"{row.name}: no curve, it ended at once")
        continue
    # Logs are written by the clock: bin them by thousands of pictures.
    last = max(kimg for log in logs for kimg, _, _ in log)
    width = last / 12
    x, mean, low, high = [], [], [], []
    for k in range(12):
        inside = [line for log in logs for line in log if k * width <= line[0] < (k + 1) * width + 1e-9]
        if inside:
            centre, spread = (statistics.mean(line[i] for line in inside) for i in (1, 2))
            x.append(round((k + 0.5) * width, 2))
            mean.append(centre)
            low.append(centre - spread)
            high.append(centre + spread)
    series[row.name] = Curve(x, mean, low, high)
    late = [line for log in logs for line in log if line[0] > last / 2]
    values, inside_a_batch = [line[1] for line in late], statistics.mean(line[2] for line in late)
    print(
        f"{row.name}: logit {statistics.mean(values):.2f}, from step to step ± {statistics.pstdev(values):.2f}, within a batch "
        f"± {inside_a_batch:.2f}"
    )
curves(out, series, "logits of generated pictures", "thousands of pictures", "logit")
