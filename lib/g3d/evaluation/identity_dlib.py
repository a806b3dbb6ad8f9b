"""dlib's face network (King 2017), whose weights a package of the registry carries: identity without a file of one's own.

Pictures of one person lie nearer together than 0.6 by its authors' measure, the Euclidean distance of vectors that are not
normalised; strangers' vectors still have cosines of about 0.9, so its cosines are to be compared with each other alone.

A crop is dlib's own: 150 pixels, the 68 landmarks taken to its mean face with a quarter of the face around it; it knows whole
pixels only. Without landmarks it is the square in the middle.

Letters: B crops.
"""

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from g3d.errors import G3dError, Missing, require_module
from g3d.evaluation.identity import F64, Embedder, centre_crop
from g3d.images import U8
from g3d.storage import files

NAME = "dlib"
MODELS = "face_recognition_models"  # the package; it is found without being imported, for its code wants old parts of setuptools
FILE = "models/dlib_face_recognition_resnet_model_v1.dat"
SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
SIZE_PX = 150
_PADDING = 0.25  # of the face's width
_INSTALL = "pip install dlib-bin face-recognition-models, or give the file of another network"


def dlib_embedder() -> Embedder:
    """The network of the installed packages; raises `Missing` where one is not there."""
    require_module("dlib", "--network dlib", _INSTALL)
    dlib: Any = importlib.import_module("dlib")
    found = importlib.util.find_spec(MODELS)
    if found is None or not found.submodule_search_locations:
        raise Missing(f"--network dlib needs the package '{MODELS}', which is not here; {_INSTALL}")
    path = Path(found.submodule_search_locations[0]) / FILE
    digest = files.file_digest(path).removeprefix("sha256:")
    if digest != SHA256:
        raise G3dError(f"the face network '{path}' has sha256 {digest}, known is {SHA256}; install {MODELS} again")
    network = dlib.face_recognition_model_v1(str(path))

    def crop(picture: U8, landmarks_px: F64 | None) -> U8:
        if landmarks_px is None:
            return centre_crop(picture, SIZE_PX)
        whole = dlib.rectangle(0, 0, picture.shape[1] - 1, picture.shape[0] - 1)
        points = [dlib.point(x, y) for x, y in np.floor(landmarks_px).astype(int).tolist()]  # centres at +0.5 => whole
        shape = dlib.full_object_detection(whole, points)
        chip: U8 = dlib.get_face_chip(np.ascontiguousarray(picture), shape, size=SIZE_PX, padding=_PADDING)
        return chip

    def embed(crops: Sequence[U8]) -> Tensor:
        vectors = network.compute_face_descriptor([np.ascontiguousarray(one) for one in crops])
        return F.normalize(torch.tensor(np.array(vectors), dtype=torch.float64), dim=1)

    return Embedder(NAME, SHA256, embed, crop, SIZE_PX)
