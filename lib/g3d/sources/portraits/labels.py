"""What lies beside photographs of faces: 68 landmarks a picture, and the emotion as ffhq-features-dataset records it.

Landmarks are text (68 lines `x y`, or a .pts file), .npy or JSON (a list of pairs), in pixels of the photograph. Features are
JSON: a list of faces with `faceAttributes`, whose `emotion` is a share for each of eight words and whose `smile` is a share.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d.errors import G3dError
from g3d.storage import arrays, named
from g3d.storage.json_text import parsed

F64 = NDArray[np.float64]
COUNT = 68
LANDMARK_SUFFIXES = (".txt", ".pts", ".npy", ".json")
GRIN_FROM = 0.9  # share of `smile` from which happiness is a grin: teeth show (choice)
EXPRESSION_OF = {
    "neutral": "neutral", "sadness": "sadness", "anger": "anger", "contempt": "anger", "disgust": "anger",
    "surprise": "mouth_stretch", "fear": "mouth_stretch",
}  # fmt: skip
"""The expression that stands for an emotion; happiness is `smile` or `grin`."""


def landmarks(path: Path) -> F64:
    """[68, 2] pixels of the photograph."""
    try:
        data = named.read(path, "the labels")
        if path.suffix == ".npy":
            found: F64 = arrays.npy(data, path, "the landmarks")
        elif path.suffix == ".json":
            found = np.asarray(parsed(data), np.float64)
        else:
            lines = [line.split() for line in data.decode().splitlines() if line.strip()]
            found = np.asarray([[float(v) for v in words] for words in lines if _numbers(words)])
        found = found.astype(np.float64)
    except OSError as error:
        raise G3dError(f"the landmarks '{path}' cannot be read ({error.strerror}); replace the file") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise G3dError(f"the landmarks '{path}' cannot be read ({error}); wanted are {COUNT} pairs x y") from error
    if found.shape != (COUNT, 2) or not np.isfinite(found).all():
        raise G3dError(
            f"the landmarks '{path}' have the shape {list(found.shape)}; wanted are {COUNT} finite pairs x y"
        )
    return found


def expression(path: Path) -> str:
    """The expression of the first face of a file of features, by its strongest emotion."""
    try:
        faces = parsed(named.read(path, "the labels"))
        attributes: Any = faces[0]["faceAttributes"]
        emotion = {str(word): float(share) for word, share in attributes["emotion"].items()}
        smile = float(attributes.get("smile", 0.0))
    except OSError as error:
        raise G3dError(f"the features '{path}' cannot be read ({error.strerror}); replace the file") from error
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise G3dError(
            f"the features '{path}' name no emotion of a face ({type(error).__name__}: {error}); wanted is what "
            'ffhq-features-dataset writes: [{"faceAttributes": {"emotion": {"neutral": 1.0, ...}}}]'
        ) from error
    known = {word: share for word, share in emotion.items() if word in (*EXPRESSION_OF, "happiness")}
    if not known or not all(math.isfinite(share) for share in known.values()):
        words = ", ".join((*EXPRESSION_OF, "happiness"))
        raise G3dError(f"the features '{path}' have the emotions {sorted(emotion)}; known are {words}")
    word = max(known, key=lambda w: known[w])
    if word == "happiness":
        return "grin" if smile >= GRIN_FROM else "smile"
    return EXPRESSION_OF[word]


def _numbers(words: list[str]) -> bool:
    """Whether a line is one of points, not of a .pts file's head or braces."""
    try:
        return len(words) == 2 and all(math.isfinite(float(w)) for w in words)
    except ValueError:
        return False
