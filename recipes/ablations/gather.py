"""The figures of one run of an ablation, from the JSON files that commands left in its folder, as one JSON object.

usage: gather.py RUN

fid_train.json and fid_test.json are distances of reconstructions: their names get an r before them (rfid, as the paper writes),
and _test behind; fid_generated.json is of samples.
"""

import json
import sys
from pathlib import Path

run = Path(sys.argv[1])
fitted = json.loads((run / "metrics.json").read_text())
found = {"psnr_train_db": fitted["psnr_db"], "seconds": fitted["seconds"]}
held_out = json.loads((run / "held_out.json").read_text()) if (run / "held_out.json").is_file() else {}
found["psnr_test_db"] = held_out.get("psnr_db", fitted.get("psnr_held_out_db"))
for file, before, behind in (("train", "r", ""), ("test", "r", "_test"), ("generated", "", "")):
    if (run / f"fid_{file}.json").is_file():
        distance = json.loads((run / f"fid_{file}.json").read_text())
        found[f"{before}{distance['metric']}{behind}"] = distance["value"]
        found |= {f"{before}{name}{behind}": distance[name] for name in ("precision", "recall") if name in distance}
print(json.dumps({name: value for name, value in found.items() if value is not None}, sort_keys=True))
