"""The figures of one run of an ablation, from the JSON files that commands left in its folder, as one JSON object.

usage: gather.py RUN
"""

import json
import sys
from pathlib import Path

run = Path(sys.argv[1])
found: dict[str, float] = {}
for split in ("train", "test"):
    recon = run / f"recon_{split}.json"
    if recon.is_file():
        found[f"psnr_{split}_db"] = json.loads(recon.read_text())["psnr_db"]
if (run / "frechet.json").is_file():
    frechet = json.loads((run / "frechet.json").read_text())
    found["frechet"] = next(v for k, v in frechet.items() if k.startswith(("fid", "frechet")) and isinstance(v, float))
    found |= {name: frechet[name] for name in ("precision", "recall") if name in frechet}
found["seconds"] = json.loads((run / "metrics.json").read_text())["seconds"]
print(json.dumps(found, sort_keys=True))
