"""Scenes as one self-contained HTML page that turns them: splats or meshes, with a small viewer of our own (WebGL 2).

Nothing is fetched: the page opens from a disk, or from a mail.
"""

import base64
import gzip
import importlib.resources
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d.errors import G3dError

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
MOST_BYTES = 200 << 20  # of a page; browsers refuse larger ones, or take minutes


@dataclass(frozen=True)
class Shape:
    """What the page draws of one scene: `kind` and arrays, with the camera that it starts at.

    splats: means [N, 3], cov [N, 6] (xx xy xz yy yz zz), rgba [N, 4]; mesh: vertices [V, 3], faces [F, 3], rgb [V, 3],
    and where a light at the camera is to shade it, normals [V, 3] of 128 + 127 times a unit vector."""

    name: str
    kind: str
    arrays: Mapping[str, NDArray[Any]]
    background: Sequence[float]
    target: Sequence[float]
    radius_world: float
    azimuth_deg: float
    elevation_deg: float
    fov_deg: float  # horizontal


def page(title: str, shapes: Sequence[Shape]) -> str:
    """The HTML."""
    scenes = []
    for shape in shapes:
        packed = {name: _packed(array) for name, array in shape.arrays.items()}
        about = {k: v for k, v in vars(shape).items() if k != "arrays"}
        scenes.append({**about, "arrays": packed})
    data = json.dumps(scenes, separators=(",", ":"), sort_keys=True).replace("<", "\\u003c")
    if len(data) > MOST_BYTES:
        raise G3dError(
            f"the page would have {len(data) >> 20} MB, more than {MOST_BYTES >> 20}; put fewer scenes into it"
        )
    source = importlib.resources.files("g3d.export") / "page_viewer"
    parts = {
        "SCRIPT": (source / "viewer.js").read_text("utf-8"), "STYLE": (source / "style.css").read_text("utf-8"),
        "TITLE": escape(title.encode("utf-8", "replace").decode()), "DATA": data,  # a folder's name may be no UTF-8
    }  # fmt: skip
    # All at once: what a part says is not looked at again.
    return re.sub("{{([A-Z]+)}}", lambda found: parts[found[1]], (source / "page.html").read_text("utf-8"))


def _packed(array: NDArray[Any]) -> dict[str, Any]:
    """An array as the page unpacks it; the same bytes each time."""
    plain = np.ascontiguousarray(array)
    data = base64.b64encode(gzip.compress(plain.tobytes(), 6, mtime=0)).decode()
    return {"type": plain.dtype.name, "shape": list(plain.shape), "data": data}
