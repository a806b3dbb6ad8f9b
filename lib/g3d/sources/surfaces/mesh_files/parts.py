"""What the readers of mesh files share: parts of one material each => a surface; checks; textures that lie beside the mesh.

Letters: P vertices, F triangles.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from g3d import images
from g3d.errors import G3dError
from g3d.sources.surfaces.surface import F32, Cutout, Surface
from g3d.storage import impostors, named

GREY = 0.7  # of a mesh that brings no colour, sRGB
_WITH_ALPHA = ("RGBA", "LA", "PA", "La", "RGBa")


@dataclass(frozen=True)
class Part:
    """Triangles of one material."""

    corners: NDArray[Any]  # [F, 3, 3]
    colours: NDArray[Any]  # [F, 3, 3] sRGB in [0, 1]
    uvs: NDArray[Any] | None = None  # [F, 3, 2] v DOWN the texture
    picture: NDArray[np.uint8] | None = None  # [H, W, 3]
    normals: NDArray[Any] | None = None  # [F, 3, 3]
    wrap: tuple[str, str] = ("repeat", "repeat")
    cutout: Cutout | None = None
    glow: "Part | None" = None  # the same triangles in the colours that they emit


def joined(parts: Sequence[Part], left_out: Mapping[str, Sequence[str]] | None = None) -> Surface:
    """The parts as one surface. Where some have normals and some do not, the latter stay flat. `left_out` is what the file
    has besides, and is not drawn."""
    parts = [p for p in parts if len(p.corners)]
    if not all(np.isfinite(p.uvs).all() for p in parts if p.uvs is not None):
        raise ValueError("its texture coordinates are not finite numbers")
    if not parts:
        raise ValueError("no triangles could be read from it")
    textures: list[tuple[Any, ...]] = []
    texture: list[NDArray[np.int32]] = []
    uvs: list[NDArray[Any]] = []
    for part in parts:
        number, uv = -1, np.zeros((len(part.corners), 3, 2))
        if part.picture is not None and part.uvs is not None:
            key, uv = (part.picture, part.wrap, part.cutout), part.uvs
            known = (i for i, t in enumerate(textures) if t[0] is key[0] and t[1] == key[1] and t[2] is key[2])
            number = next(known, len(textures))
            if number == len(textures):
                textures.append(key)
        texture.append(np.full(len(part.corners), number, np.int32))
        uvs.append(uv)
    smooth = any(p.normals is not None for p in parts)
    dark = [p.glow or Part(p.corners, np.zeros(p.corners.shape)) for p in parts]
    return Surface(
        _float32([p.corners for p in parts]), np.clip(_float32([p.colours for p in parts]), 0, 1),
        _float32(uvs) if textures else None, np.concatenate(texture) if textures else None, tuple(t[0] for t in textures),
        _float32([_unit(p.normals, len(p.corners)) for p in parts]) if smooth else None,
        {"left_out": {why: list(names) for why, names in left_out.items()}} if left_out else {},
        tuple(t[1] for t in textures), tuple(t[2] for t in textures),
        joined(dark) if any(p.glow is not None for p in parts) else None,
    )  # fmt: skip


def _unit(normals: NDArray[Any] | None, count: int) -> NDArray[Any]:
    """Unit normals; 0, which means flat, where there are none."""
    if normals is None:
        return np.zeros((count, 3, 3))
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    fine = np.isfinite(length) & (length > 1e-12)
    return np.where(fine, normals / np.where(fine, length, 1), 0)


def check_finite(path: Path, points: NDArray[Any]) -> None:
    """Refuse vertices that are NaN or infinite."""
    if points.size and not np.isfinite(points).all():
        raise G3dError(f"the mesh '{path}' has vertices that are not finite numbers; repair it or remove it")


def check_indices(path: Path, faces: NDArray[Any], count: int, what: str = "vertex", first: int = 0) -> None:
    """Refuse a triangle with a corner that is not there; `first` is the file's number of the first one."""
    if faces.size and (int(faces.min()) < 0 or int(faces.max()) >= count):
        wrong = int(faces.max()) if int(faces.max()) >= count else int(faces.min())
        raise G3dError(
            f"the mesh '{path}' has a triangle with {what} {wrong + first} of {count}; repair it or remove it"
        )


def beside(path: Path, name: str, what: str, folder: Path | None = None) -> Path:
    """The file that the mesh `path` names: relative to `folder` (its own), percent-encoded or not, whatever case it has."""
    if "://" in name or name.startswith("file:"):
        raise G3dError(
            f"the mesh '{path}' names the {what} '{name}' by an address; put the file beside it and name it so"
        )
    tidy, folder = name.strip().replace("\\", "/"), path.parent if folder is None else folder
    for written in (unquote(tidy), tidy):
        candidate = named.inside(folder, written, f"the mesh '{path}'", up=named.MESH_UP)
        if candidate.is_file():
            return candidate
        if candidate.parent.is_dir():
            found = sorted(p for p in candidate.parent.iterdir() if p.name.lower() == candidate.name.lower())
            if found:
                return found[0]
    raise G3dError(
        f"the mesh '{path}' names the {what} '{name}', which is not there; put it beside the mesh, or correct the name"
    )


def texture(data: bytes, path: Path, name: str) -> NDArray[np.uint8]:
    """The bytes of the texture `name` of the mesh `path` => [H, W, 3]; its alpha is left out: often it is none of the colour."""
    return _texture(data, path, name)[0]


def texture_and_alpha(data: bytes, path: Path, name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """As `texture`, with its alpha [H, W] where it has some."""
    return _texture(data, path, name)


def _texture(data: bytes, path: Path, name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Pixels as they are stored: texture coordinates know nothing of EXIF."""
    impostors.refuse(data, name)
    try:
        picture: Image.Image = Image.open(io.BytesIO(data), formats=(*images.FORMATS, "TGA"))
        images.check_pixels(picture, name, len(data))
        if picture.format == "TGA" or picture.mode in _WITH_ALPHA or "transparency" in picture.info:
            whole = np.ascontiguousarray(np.asarray(picture.convert("RGBA")))
            alpha = np.ascontiguousarray(whole[..., 3])
            return np.ascontiguousarray(whole[..., :3]), None if alpha.min() == 255 else alpha
        return images.decode_alpha(data, name, upright=False)[0], None
    except UnidentifiedImageError as error:
        why = "it is not an image, or of a kind that is not read here"
        raise G3dError(f"the texture '{name}' of the mesh '{path}' cannot be read ({why}); replace it") from error
    except MemoryError:
        raise
    except Exception as error:  # decoders raise anything on bad bytes
        why = str(error).split("; ")[0] or type(error).__name__
        raise G3dError(f"the texture '{name}' of the mesh '{path}' cannot be read ({why}); replace it") from error


def texture_beside(path: Path, name: str, folder: Path | None = None) -> NDArray[np.uint8]:
    """The texture that a mesh names, relative to `folder` (that of the mesh)."""
    return texture(named.read(beside(path, name, "texture", folder), "the texture"), path, name)


def _float32(parts: Sequence[NDArray[Any]]) -> F32:
    return np.ascontiguousarray(np.concatenate(parts), dtype=np.float32)
