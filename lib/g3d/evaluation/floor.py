"""The mean picture of each camera: what one predicts who knows from where a picture was taken, and nothing else. A figure of a
model says something by what it is above this one.

Letters: V views, H rows, W columns.
"""

import numpy as np

from g3d.data.columns import SPLITS
from g3d.data.dataset import Dataset
from g3d.evaluation.pairs import Item, Side
from g3d.images import U8

LEAST = 2  # training objects that a camera must see
_MOST = 256  # pictures of a mean, evenly taken
_DIGITS = 4  # of poses and intrinsics that count as one camera


class Floor:
    """Mean pictures by camera, each of the training objects that a dataset shows from there."""

    def __init__(self, true: Side):
        self._data, self._where, self.why_not = true.data, str(true.path), ""
        self._seen: dict[bytes, list[int]] = {}
        self._made: dict[bytes, U8] = {}
        if self._data is None or self._data.cameras is None:
            self.why_not = "the true pictures are no dataset with cameras"
            return
        self._keys = keys_of(self._data)
        for view in self._data.views_of("all", SPLITS[0]).tolist():
            self._seen.setdefault(self._keys[view], []).append(view)

    def knows(self, item: Item) -> bool:
        """Whether enough training objects are seen from where `item` was taken; else `why_not` says so."""
        if self.why_not:
            return False
        assert item.view is not None
        if len(self._seen.get(self._keys[item.view], ())) < LEAST:
            self.why_not = f"fewer than {LEAST} training objects are seen from the camera of '{item.where}'"
        return not self.why_not

    def picture(self, item: Item) -> U8:
        """[H, W, 3] of the camera of `item`, rounded as pictures are."""
        assert item.view is not None and self._data is not None
        key = self._keys[item.view]
        if key not in self._made:
            views = np.array(self._seen[key])
            chosen = views[np.linspace(0, len(views) - 1, min(len(views), _MOST)).round().astype(int)]
            total = sum(self._data.pictures([int(v)])[0].astype(np.float64) for v in chosen)
            self._made[key] = np.rint(total / len(chosen)).astype(np.uint8)
        return self._made[key]


def keys_of(data: Dataset) -> list[bytes]:
    """[V] what is alike for views of one camera."""
    assert data.cameras is not None
    numbers = np.concatenate([data.cameras.c2w.flatten(1).numpy(), data.cameras.intrinsics.numpy()], axis=1)
    return [row.tobytes() for row in np.round(numbers.astype(np.float64), _DIGITS) + 0.0]
