"""The figures of one run of VQ3D's ablation, from the JSON files that commands left in its folder, as one JSON object.

usage: gather_vq3d.py RUN
"""

import json
import sys
from pathlib import Path

run = Path(sys.argv[1])
fitted = json.loads((run / "metrics.json").read_text())
last = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
found = {
    "psnr_test_db": fitted["psnr_held_out_of_mean_mse_db"],
    "codes_used": last["codes_used"],
    "perplexity": last["perplexity"],
    "bits_per_token": json.loads((run / "prior" / "metrics.json").read_text())["held_out_bits_per_token"],
}
for name in ("disparity_accuracy", "disparity_scale_pointwise"):
    value = fitted.get(f"{name}_held_out", last.get(name.removesuffix("_pointwise")))
    if value is not None:
        found[name] = value
for stage in ("s1", "s2", "disc_0.2", "disc_0.3"):
    figures = json.loads((run / f"fid_{stage}.json").read_text())
    found[f"{figures['metric']}_{stage}"] = figures["value"]
print(json.dumps(found, sort_keys=True))
