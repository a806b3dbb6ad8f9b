"""Where a detector finds the 68 landmarks of a face, and how far that is from where they are.

dlib's predictor (Kazemi and Sullivan 2014), whose weights the package face-recognition-models carries. It was trained on
iBUG 300-W, whose licence excludes commercial use.

Letters: H rows, W columns.
"""

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from g3d.errors import G3dError, Missing, require_module
from g3d.images import U8
from g3d.storage import files

F64 = NDArray[np.float64]
Detector = Callable[[U8, F64], F64]
"""A picture [H, W, 3] and the box of the face x0 y0 x1 y1 => [68, 2] pixels, centres at +0.5."""

DLIB = "dlib"
MODELS, FILE = "face_recognition_models", "models/shape_predictor_68_face_landmarks.dat"
SHA256 = "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f"
_INSTALL = "pip install dlib-bin face-recognition-models, or leave --landmarks out"
_FACE_PX = 200  # a face is enlarged to at least this: the predictor knows no small ones


def dlib_detector() -> Detector:
    """The predictor of the installed packages; raises `Missing` where one is not there."""
    require_module("dlib", "--landmarks dlib", _INSTALL)
    dlib: Any = importlib.import_module("dlib")
    found = importlib.util.find_spec(MODELS)
    if found is None or not found.submodule_search_locations:
        raise Missing(f"--landmarks dlib needs the package '{MODELS}', which is not here; {_INSTALL}")
    path = Path(found.submodule_search_locations[0]) / FILE
    digest = files.file_digest(path).removeprefix("sha256:")
    if digest != SHA256:
        raise G3dError(
            f"the landmark predictor '{path}' has sha256 {digest}, known is {SHA256}; install {MODELS} again"
        )
    predictor = dlib.shape_predictor(str(path))

    def detect(picture: U8, box: F64) -> F64:
        scale = max(1.0, _FACE_PX / max(float(box[2] - box[0]), float(box[3] - box[1]), 1.0))
        height, width = picture.shape[:2]
        large = Image.fromarray(picture).resize((round(width * scale), round(height * scale)), Image.Resampling.BICUBIC)
        corners = [round(float(v) * scale) for v in box]
        shape = predictor(np.asarray(large), dlib.rectangle(*corners))
        return (np.array([(p.x, p.y) for p in shape.parts()], np.float64) + 0.5) / scale

    return detect


def error_px(found: F64, true: F64, visible: NDArray[np.bool_]) -> float:
    """Mean distance of the landmarks that are seen, [68, 2] each."""
    return float(np.linalg.norm(found - true, axis=1)[visible].mean())
