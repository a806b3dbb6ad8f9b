"""How large the Gaussians of scenes are, level by level.

Letters: N Gaussians.
"""

from pathlib import Path
from typing import Any

import torch

from g3d.errors import G3dError
from g3d.scenes.scene import Gaussians
from g3d.scenes.scene_file import load_scene, scene_files


def level_statistics(path: Path) -> dict[str, Any]:
    """Mean log-scale of the Gaussians of scenes, of all and level by level (of a background apart), over all scenes: what GSGAN
    compares its anchors and Gaussians by (A.5)."""
    sums: dict[str, tuple[float, int]] = {}
    scenes = scene_files(path)
    for file in scenes:
        scene = load_scene(file)
        if not isinstance(scene, Gaussians):
            raise G3dError(f"'{file}' holds no 3D Gaussians, so it has no levels; leave --levels out")
        log_scales, count = scene.log_scales[0].mean(dim=1), scene.means.shape[1]
        back = torch.zeros(count, dtype=torch.bool) if scene.background is None else scene.background[0] == 1
        level = torch.zeros(count, dtype=torch.uint8) if scene.level is None else scene.level[0]
        groups = {"all": ~back, **{f"level_{i}": ~back & (level == i) for i in level[~back].unique().tolist()}}
        groups |= {"background": back} if back.any() else {}
        for name, chosen in groups.items():
            if not chosen.any():
                continue
            total, seen = sums.get(name, (0.0, 0))
            sums[name] = (total + float(log_scales[chosen].double().sum()), seen + int(chosen.sum()))
    means = {f"mean_log_scale_{name}": round(total / seen, 4) for name, (total, seen) in sorted(sums.items())}
    each = {f"gaussians_{name}": seen / len(scenes) for name, (_, seen) in sorted(sums.items())}
    return {"scenes": len(scenes), **means, **each}
