"""COLMAP's sparse models: `cameras` and `images` as .bin or .txt => cameras as transforms.json would name them, and poses.

Poses are world => camera, quaternion wxyz and translation, OpenCV axes, pixel centres at +0.5.
"""

import io
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g3d.errors import G3dError, existing
from g3d.storage.files import read_bytes
from g3d.storage.named import FILE_MOST

MODELS = {
    "SIMPLE_PINHOLE": "f cx cy", "PINHOLE": "fx fy cx cy", "SIMPLE_RADIAL": "f cx cy k1", "RADIAL": "f cx cy k1 k2",
    "OPENCV": "fx fy cx cy k1 k2 p1 p2", "OPENCV_FISHEYE": "fx fy cx cy k1 k2 k3 k4",
    "FULL_OPENCV": "fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6", "FOV": "fx fy cx cy omega", "SIMPLE_RADIAL_FISHEYE": "f cx cy k1",
    "RADIAL_FISHEYE": "f cx cy k1 k2", "THIN_PRISM_FISHEYE": "fx fy cx cy k1 k2 p1 p2 k3 k4 sx1 sy1",
    "RAD_TAN_THIN_PRISM_FISHEYE": "fx fy cx cy k0 k1 k2 k3 k4 k5 p0 p1 s0 s1 s2 s3",
}  # fmt: skip
"""Model => its parameters, in the order of their numbers in binary files."""
_MOST, _NAME_MOST = 1 << 20, 4096  # cameras or pictures of a model; bytes of a name


@dataclass(frozen=True)
class Picture:
    """A registered picture."""

    name: str
    camera: int
    c2w: NDArray[np.float64]  # [4, 4]


def model_folder(root: Path) -> Path | None:
    """Where the model of `root` lies: sparse/0, sparse, or the folder itself."""
    for place in ("sparse/0", "sparse", "colmap/sparse/0", "colmap/sparse", "."):
        if any((root / place / f"images.{kind}").is_file() for kind in ("bin", "txt")):
            return root / place
    return None


def read_model(folder: Path) -> tuple[dict[int, dict[str, Any]], list[Picture]]:
    """Cameras by number, each with width, height, fx, fy, ... as `transforms.json` names them; and the registered pictures."""
    kind = "bin" if (folder / "images.bin").is_file() else "txt"
    paths = [folder / f"{name}.{kind}" for name in ("cameras", "images")]
    if not paths[0].is_file():
        raise G3dError(f"'{folder}' has images.{kind}, but no cameras.{kind}; add it")
    cameras, pictures = (_cameras_bin, _pictures_bin) if kind == "bin" else (_cameras_txt, _pictures_txt)
    found: list[Any] = []
    for path, read in zip(paths, (cameras, pictures), strict=True):
        try:
            found.append(read(path))
        except (ValueError, LookupError, struct.error, OverflowError, MemoryError, UnicodeDecodeError) as error:
            raise G3dError(f"'{path}' is not a file of COLMAP that can be read ({type(error).__name__}: {error}); export the "
                           "model again") from error  # fmt: skip
    return dict(found[0]), found[1]


def _camera(model: str, width: int, height: int, values: list[float]) -> dict[str, Any]:
    names = MODELS[model].split()
    if len(values) != len(names):
        raise ValueError(f"a camera {model} has {len(values)} parameters, not {len(names)}")
    named = dict(zip(names, values, strict=True))
    if "f" in named:
        named["fx"] = named["fy"] = named.pop("f")
    return {"camera_model": model, "w": width, "h": height, **named}


def _cameras_bin(path: Path) -> list[tuple[int, dict[str, Any]]]:
    data, at, found = _mapped(path), 8, []
    for _ in range(_counted(data)):
        number, kind, width, height = struct.unpack_from("<iiQQ", data, at)
        if not 0 <= kind < len(MODELS):
            raise ValueError(f"the camera model {kind} is not known")
        model = list(MODELS)[kind]
        count = len(MODELS[model].split())
        values = list(struct.unpack_from(f"<{count}d", data, at + 24))
        found.append((number, _camera(model, width, height, values)))
        at += 24 + 8 * count
    return found


def _pictures_bin(path: Path) -> list[Picture]:
    data, at, found = _mapped(path), 8, []
    for _ in range(_counted(data)):
        values = struct.unpack_from("<i7di", data, at)
        end = data.find(b"\0", at + 64, at + 64 + _NAME_MOST)
        if end < 0:
            raise ValueError("the name of a picture has no end")
        points = struct.unpack_from("<Q", data, end + 1)[0]
        found.append(Picture(data[at + 64 : end].decode(), values[8], _c2w(values[1:8])))
        at = end + 9 + 24 * points
    return found


def _mapped(path: Path) -> "mmap.mmap | bytes":
    """A file's bytes, of which most are points that nobody reads."""
    with existing(path, "the model").open("rb") as stream:
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""


def _counted(data: "mmap.mmap | bytes") -> int:
    count = int(struct.unpack_from("<Q", data)[0])
    if count > _MOST:
        raise ValueError(f"it states {count} entries, at most {_MOST} are read")
    return count


def _cameras_txt(path: Path) -> list[tuple[int, dict[str, Any]]]:
    found = []
    for line in _lines(path):
        if line.strip():
            number, model, width, height, *values = line.split()
            if model not in MODELS:
                raise ValueError(f"the camera model {model} is not known")
            found.append((int(number), _camera(model, int(width), int(height), [float(v) for v in values])))
    return found


def _pictures_txt(path: Path) -> list[Picture]:
    """Two lines a picture; the second one, its points, may be empty."""
    lines, found = _lines(path), []
    for line in lines:
        if not line.strip():
            continue
        words = line.split(None, 9)
        found.append(Picture(words[9].strip(), int(words[8]), _c2w([float(w) for w in words[1:8]])))
        next(lines, "")
    return found


def _lines(path: Path) -> Iterator[str]:
    data = read_bytes(path, "the model", FILE_MOST)
    return (line for line in io.StringIO(data.decode("utf-8-sig")) if not line.startswith("#"))


def _c2w(values: Any) -> NDArray[np.float64]:
    """qw qx qy qz tx ty tz of world => camera => camera => world [4, 4]."""
    w, x, y, z = np.array(values[:4], np.float64) / max(float(np.linalg.norm(values[:4])), 1e-12)
    turn = np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                     [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                     [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]])  # fmt: skip
    whole = np.eye(4)
    whole[:3, :3] = turn.T
    whole[:3, 3] = -turn.T @ np.array(values[4:7], np.float64)
    return whole
