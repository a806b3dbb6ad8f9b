"""The figures of one run of an ablation, from the JSON files that commands left in its folder, as one JSON object.

usage: gather.py RUN
"""

import json
import sys
from pathlib import Path

run = Path(sys.argv[1])
fitted = json.loads((run / "metrics.json").read_text())
found = {"psnr_train_db": fitted["psnr_db"], "seconds": fitted["seconds"]}
held_out = json.loads((run / "held_out.json").read_text()) if (run / "held_out.json").is_file() else {}
found["psnr_test_db"] = held_out.get("psnr_db", fitted.get("psnr_held_out_db"))
if (run / "frechet.json").is_file():
    frechet = json.loads((run / "frechet.json").read_text())
    found["frechet"] = frechet["value"]
    found |= {name: frechet[name] for name in ("precision", "recall") if name in frechet}
print(json.dumps(found, sort_keys=True))
