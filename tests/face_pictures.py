"""A small dataset of faces as `prepare-data faces` labels them, with pictures of noise, and what a model could have drawn."""

from pathlib import Path

import numpy as np
from g3d import images
from g3d.data.columns import Made, View
from g3d.data.writer import Writer
from g3d.images import U8, write_image

PEOPLE, EXPRESSIONS, CAMERAS, SIZE = 4, ("neutral", "grin", "smile"), 3, 40
FACE, MOUTH = (8.3, 4.0, 33.0, 30.5), (14.0, 18.2, 27.0, 26.0)
PAIR, HELD_OUT = (1, 2), 3  # subject and expression of the split `pairs`; the subject of the split `test`


def pictures(seed: int = 0) -> U8:
    """[PEOPLE, EXPRESSIONS, CAMERAS, SIZE, SIZE, 3]: noise of a person and camera, changed a little by expression."""
    rng = np.random.default_rng(seed)
    base = rng.integers(40, 200, (PEOPLE, 1, CAMERAS, SIZE, SIZE, 3))
    change = rng.integers(-40, 40, (PEOPLE, len(EXPRESSIONS), CAMERAS, SIZE, SIZE, 3))
    change[:, 0] = 0
    return (base + change).astype(np.uint8)


def write_faces(folder: Path, found: U8, masks: bool = True) -> Path:
    """The dataset of these pictures; the last camera is held out."""
    folder.mkdir(parents=True)
    writer = Writer(folder)
    c2w = np.tile(np.eye(4, dtype=np.float32), (CAMERAS, 1, 1))
    c2w[:, 0, 3] = np.arange(CAMERAS)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[3:36, 6:35] = 255
    for who in range(PEOPLE):
        for e, name in enumerate(EXPRESSIONS):
            split = "test" if who == HELD_OUT else "pairs" if (who, e) == PAIR else "train"
            marks = np.stack([np.full((68, 2), 20.0) + np.arange(68)[:, None] * 0.1] * CAMERAS)
            columns = {
                "c2w": c2w, "intrinsics": np.full((CAMERAS, 4), 30.0), "split": np.arange(CAMERAS) == CAMERAS - 1,
                "subject": np.full(CAMERAS, who), "expression": np.full(CAMERAS, e), "landmarks": marks,
                "landmarks_visible": np.ones((CAMERAS, 68)), "face_box": np.tile(FACE, (CAMERAS, 1)),
                "mouth_box": np.tile(MOUTH, (CAMERAS, 1)), "eye_boxes": np.tile(MOUTH, (CAMERAS, 2, 1)),
            }  # fmt: skip
            encoded = images.encode(mask) if masks else None
            views = [View(images.encode(picture), encoded) for picture in found[who, e]]
            writer.add(f"person-{who}/{name}", Made(views, columns, entry={"split": split}))
    names = {"expression": list(EXPRESSIONS), "subject": [f"person-{i}" for i in range(PEOPLE)]}
    writer.close({
        "name": "faces", "width": SIZE, "height": SIZE, "background": [0, 0, 0], "licence": "", "provenance": {}, "names": names,
    })  # fmt: skip
    return folder


def write_drawn(folder: Path, found: U8) -> Path:
    """The pictures as files named by the number of the view."""
    for number, picture in enumerate(found.reshape(-1, SIZE, SIZE, 3)):
        write_image(folder / f"{number:06d}.png", picture)
    return folder
