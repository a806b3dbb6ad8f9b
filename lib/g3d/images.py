"""Folders and zips of images <=> uint8 arrays; single pictures; contact sheets.

Images are 8-bit sRGB `[H, W, 3]`; masks 8-bit `[H, W]`; depth is 16-bit PNG with its scale recorded beside it.
"""

import io
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from g3d import files
from g3d.errors import G3dError, existing

U8 = NDArray[np.uint8]
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
NOT_PICTURES = ("depth", "masks", "normals")  # folders beside the pictures, never counted among them


@dataclass(frozen=True)
class ImageSet:
    """The pictures of a folder (with subfolders) or of a zip, in the order of their names."""

    path: Path
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> U8:
        """Picture `index` as [H, W, 3]."""
        return next(self.stream([index]))

    def stream(self, indices: Sequence[int] | None = None) -> Iterator[U8]:
        """Pictures one after the other, never all in memory."""
        wanted = range(len(self)) if indices is None else indices
        if self.path.is_dir():
            for i in wanted:
                yield read_image(self.path / self.names[i])
        else:
            with zipfile.ZipFile(self.path) as archive:
                for i in wanted:
                    where = f"{self.path}:{self.names[i]}"
                    yield decode(_member(archive, self.names[i], where), where)


def image_set(path: Path, what: str = "the image folder") -> ImageSet:
    """The images under `path`: a dataset (its `images/`), a folder, or a zip."""
    existing(path, what)
    if path.is_dir():
        root = path / "images" if (path / "dataset.json").is_file() else path
        inside = (p.relative_to(root) for p in root.rglob("*") if p.suffix.lower() in SUFFIXES)
        names = tuple(sorted(str(PurePosixPath(p)) for p in inside if not {*p.parts[:-1]} & {*NOT_PICTURES}))
        path = root
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            found = (n for n in archive.namelist() if n.lower().endswith(SUFFIXES))
            names = tuple(sorted(n for n in found if not {*PurePosixPath(n).parts[:-1]} & {*NOT_PICTURES}))
    else:
        raise G3dError(f"{what} '{path}' is neither a folder nor a zip; give one that holds PNG or JPEG files")
    if not names:
        raise G3dError(f"{what} '{path}' holds no images ({', '.join(SUFFIXES)}); give another folder")
    return ImageSet(path, names)


def _member(archive: zipfile.ZipFile, name: str, where: str) -> bytes:
    try:
        return archive.read(name)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError) as error:  # RuntimeError: encrypted
        raise G3dError(f"the image '{where}' cannot be read ({error}); write the zip again") from error


def read_image(path: Path) -> U8:
    """One picture as [H, W, 3]; an alpha channel is laid over white."""
    existing(path, "the image")
    return decode(path.read_bytes(), str(path))


def decode(data: bytes, where: str) -> U8:
    """The bytes of an image file => [H, W, 3]. `where` names the file in messages."""
    picture = _open(data, where)
    if picture.mode.startswith("I"):  # 16-bit grey => 8-bit; PIL would cut everything above 255 to white
        grey = (np.asarray(picture).astype(np.int64).clip(0, 65535) * 255 + 32767) // 65535
        return grey.astype(np.uint8)[..., None].repeat(3, axis=-1)
    return np.asarray(_over_white(picture).convert("RGB"))


def read_grey(path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """A mask (8-bit) or a depth map (16-bit) as [H, W]."""
    picture = _open(existing(path, "the image").read_bytes(), str(path))
    if picture.mode.startswith("I"):
        return np.asarray(picture).astype(np.uint16)
    return np.asarray(picture.convert("L"))


def write_image(path: Path, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """[H, W, 3] or [H, W] as PNG, whole or not at all. The same pixels give the same bytes."""
    with files.atomic(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG", compress_level=4)


def encode(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """The bytes of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=4)
    return buffer.getvalue()


def to_u8(values: NDArray[np.float32]) -> U8:
    """Floats in [0, 1] => 0..255, rounded to nearest."""
    return (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)


def sheet(rows: Sequence[Sequence[U8]], gap_px: int = 2) -> U8:
    """Pictures in rows => one picture on white. Cells are as large as the largest; a smaller one lies in the middle."""
    height = max(picture.shape[0] for row in rows for picture in row)
    width = max(picture.shape[1] for row in rows for picture in row)
    columns = max(len(row) for row in rows)
    page = np.full((len(rows) * (height + gap_px) + gap_px, columns * (width + gap_px) + gap_px, 3), 255, np.uint8)
    for r, row in enumerate(rows):
        for c, picture in enumerate(row):
            top, left = gap_px + r * (height + gap_px), gap_px + c * (width + gap_px)
            top, left = top + (height - picture.shape[0]) // 2, left + (width - picture.shape[1]) // 2
            page[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return page


def check_png(path: Path, what: str) -> None:
    """Refuse a place for a single picture that does not end in .png, or is a folder."""
    if path.suffix.lower() != ".png":
        raise G3dError(f"{what} '{path}' must end in .png; rename it")
    if path.is_dir():
        raise G3dError(f"{what} '{path}' is a folder; give a file that ends in .png")


def resized(pixels: U8, width: int, height: int) -> U8:
    """Another size, by a good filter (Lanczos, which also averages when it shrinks)."""
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def enlarge(pixels: U8, factor: int) -> U8:
    """Each pixel as a square of `factor`, so that small pictures can be looked at."""
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def _open(data: bytes, where: str) -> Image.Image:
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
        picture.load()
    except Image.DecompressionBombError as error:
        raise G3dError(f"the image '{where}' is far too large ({error}); scale it down first") from error
    except UnidentifiedImageError as error:
        raise G3dError(f"'{where}' is not an image that can be read; replace it or remove it") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise G3dError(f"the image '{where}' cannot be read ({error}); replace it or remove it") from error
    return picture


def _over_white(picture: Image.Image) -> Image.Image:
    if "A" not in picture.getbands() and "transparency" not in picture.info:
        return picture
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, (255, 255, 255, 255)), picture)
