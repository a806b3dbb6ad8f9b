"""The figures of one run of INFAMOUS-NeRF's ablation, from the JSON files that commands left in its folder, as one JSON object.

usage: gather_infamous.py RUN [DONOR ...]      (whose epsilon unseen pairs got; default: of every one that was ever drawn)
"""

import json
import statistics
import sys
from pathlib import Path

run, donors = Path(sys.argv[1]), sys.argv[2:]
fitted = json.loads((run / "metrics.json").read_text())
paths = [run / f"unseen_{donor}.json" for donor in donors] or sorted(run.glob("unseen_*.json"))
unseen = [json.loads(path.read_text()) for path in paths]
pairs = [next(row for row in one["by_split"] if row["split"] == "pairs") for one in unseen]
found = {
    "psnr_train_db": fitted["psnr_db"],
    "psnr_novel_db": fitted["psnr_test_views_db"],
    "residual_unseen": statistics.mean(row["change_residual"] for row in pairs),  # over the donors of epsilon
    "psnr_unseen_db": statistics.mean(row["psnr_db"] for row in pairs),
}
if (run / "seen.json").is_file():
    found["residual_seen"] = json.loads((run / "seen.json").read_text())["change_residual"]
if (run / "fit.json").is_file():
    found["psnr_fit_db"] = json.loads((run / "fit.json").read_text())["psnr_db"]
if (run / "nvs.json").is_file():
    found["psnr_nvs_db"] = json.loads((run / "nvs.json").read_text())["psnr_db"]
print(json.dumps(found, sort_keys=True))
