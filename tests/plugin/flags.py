"""A source in one file, as another package would add it: pictures of one colour, seen from one camera."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from g3d import images
from g3d.sources import Collection, Item, Made, Request, Summary, View


@dataclass(frozen=True)
class Options:
    num: int = 3
    size: int = 8


def flag(number: int, size: int) -> Made:
    picture = images.encode(np.full((size, size, 3), 60 * number, np.uint8))
    c2w, k = np.eye(4, dtype=np.float32)[None], np.float32([[size, size, size / 2, size / 2]])
    c2w[0, 2, 3] = 2.5
    c2w[0, 1, 1] = c2w[0, 2, 2] = -1  # it looks along -z, with y down
    return Made([View(picture)], {"c2w": c2w, "intrinsics": k})


def collect(request: Request) -> Collection:
    how: Options = request.options
    names = [Item(f"flag-{i}", partial(flag, i, how.size)) for i in range(how.num)]

    def describe(summary: Summary) -> dict[str, object]:
        from g3d.cameras import CameraPrior

        return {"camera_prior": CameraPrior(2.5, 50.0, how.size, how.size).as_json()}

    settings = {"num": how.num, "size": how.size}
    return Collection("flags", names, "CC0", settings, how.size, how.size, describe=describe)
