"""Folders and zips of images <=> uint8 arrays; single pictures; contact sheets.

Images are 8-bit sRGB `[H, W, 3]`; masks 8-bit `[H, W]`; depth is 16-bit PNG with its scale recorded beside it. What a file
may be besides (grey, 16-bit, float, palette, CMYK, with alpha, with a colour profile, lying on its side) is made such here.
"""

import io
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageCms, TiffImagePlugin, UnidentifiedImageError, features

from g3d.errors import G3dError, existing
from g3d.storage import files, foreign, impostors, named, zips

U8 = NDArray[np.uint8]
Colour = tuple[int, int, int]  # 0..255
WHITE: Colour = (255, 255, 255)
_PLUGGED = {"AVIF": (".avif",), "HEIF": (".heic", ".heif")}  # read where Pillow, or its plug-in pillow-heif, can


def _readable() -> tuple[str, ...]:
    """Those of _PLUGGED that this machine reads."""
    found = ["AVIF"] if "avif" in features.modules and features.check("avif") else []
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
        found.append("HEIF")
    return tuple(found)


_MORE = _readable()
SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".jpe", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pnm", ".tga",
            *(suffix for name in _MORE for suffix in _PLUGGED[name]))  # fmt: skip
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM", *_MORE)
_UNREAD = frozenset((".heic", ".heif", ".avif", ".gif", ".jxl", ".jp2", ".psd", ".exr", ".hdr", ".dng", ".cr2", ".cr3", ".nef",
                     ".arw", ".raw", ".svg", ".ico")) - {*SUFFIXES}  # fmt: skip
"""Pictures to people, which are not read in a folder of pictures."""
PIXELS_MOST = 100 << 20  # of one picture: a few hundred megabytes once it is decoded, a megabyte in a file made for it
_PIXELS_WORD = "G3D_MAX_PIXELS"
_BITS = {
    "L": 8,
    "LA": 16,
    "I;16": 16,
    "RGB": 24,
    "RGBA": 32,
}  # of a pixel in a PNG's rows, at least: 1 for any other mode
_DEFLATE_MOST = 1032  # bytes that one of a deflated stream can stand for
Image.MAX_IMAGE_PIXELS = None  # `check_pixels` says it instead, also for what Pillow only warns of
NOT_PICTURES = ("depth", "masks", "normals", "inverse_depth")  # folders beside the pictures, never counted among them
_DRAFT = 3  # a JPEG is decoded smaller if so many times the wanted size are left: photographs are then within 45 dB
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip
"""EXIF's orientation => what turns the picture upright."""
_ON_THEIR_SIDE = tuple(_UPRIGHT[orientation] for orientation in (5, 6, 7, 8))
_BACK = {
    Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270, Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90,
}  # fmt: skip
_LOADED_TURNED = "g3d loaded turned"  # what turns such a picture back


@dataclass(frozen=True)
class ImageSet:
    """The pictures of a folder (with subfolders) or of a zip, in the order of their names."""

    path: Path
    names: tuple[str, ...]
    left_out: Mapping[str, Sequence[str]] = field(default_factory=dict)  # pictures of kinds that are not read

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> U8:
        """Picture `index` as [H, W, 3]."""
        return next(self.stream([index]))

    def size(self, name: str) -> tuple[int, int]:
        """Width and height of a picture as it is looked at, from its header alone."""
        if self.path.is_dir():
            return size_of(self.path / name)
        where, archive = f"{self.path}:{name}", zips.opened(self.path)
        with _reading(where), archive.open(name) as stream:
            return _stated_size(stream, where, archive.getinfo(name).file_size)

    def stream(self, indices: Sequence[int] | None = None) -> Iterator[U8]:
        """Pictures one after the other, never all in memory."""
        wanted = range(len(self)) if indices is None else indices
        if self.path.is_dir():
            for i in wanted:
                yield read_image(self.path / self.names[i])
        else:
            with zipfile.ZipFile(self.path) as opened:
                for i in wanted:
                    where = f"{self.path}:{self.names[i]}"
                    yield decode(zips.member(opened, self.names[i], where), where)


def image_set(path: Path, what: str = "the image folder") -> ImageSet:
    """The images under `path`: a dataset (its `images/`), a folder, or a zip."""
    existing(path, what)
    if (path / "dataset.json").is_file() and (path / "images.zip").is_file():
        path = path / "images.zip"
    if path.is_dir():
        root = path / "images" if (path / "dataset.json").is_file() else path
        found = [p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()]
        path = root
    elif zipfile.is_zipfile(path):
        found = list(zips.check(path, math.inf))
    else:
        raise G3dError(f"{what} '{path}' is neither a folder nor a zip; give one that holds PNG or JPEG files")
    meant = [n for n in found if not foreign.is_foreign(n) and not {*PurePosixPath(n).parts[:-1]} & {*NOT_PICTURES}]
    names = tuple(sorted(n for n in meant if n.lower().endswith(SUFFIXES)))
    if not names:
        raise G3dError(f"{what} '{path}' holds no images ({', '.join(SUFFIXES)}); give another folder")
    others = [n for n in meant if PurePosixPath(n).suffix.lower() in _UNREAD]
    return ImageSet(path, names, foreign.kinds(others))


def read_image(path: Path) -> U8:
    """One picture as [H, W, 3]; an alpha channel is laid over white."""
    return decode(named.read(path, "the image"), str(path))


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a picture as it is looked at: turned where its camera said so. From its header alone."""
    named.check(path, "the image")
    with _reading(str(path)), path.open("rb") as stream:
        return _stated_size(stream, str(path), path.stat().st_size)


def decode(data: bytes, where: str, background: Colour = WHITE) -> U8:
    """The bytes of an image file => [H, W, 3], laid over `background`. `where` names the file in messages."""
    return decode_alpha(data, where, background)[0]


def decode_alpha(data: bytes, where: str, background: Colour = WHITE, upright: bool = True) -> tuple[U8, U8 | None]:
    """As `decode`, with the alpha channel [H, W] of what was laid over; None where the file has none. Without `upright`, the
    pixels stay as they are stored, which is what cameras found by structure from motion describe."""
    with _reading(where):
        file, _ = _open(data, where)
        picture, alpha = _rgb_and_alpha(file, where)
        turned = _turned(file, _laid_over(picture, alpha, background), upright)
        return np.asarray(turned), None if alpha is None else np.asarray(_turned(file, alpha, upright))


def exif_turns(data: bytes, where: str) -> bool:
    """Whether EXIF says that the stored pixels lie on their side."""
    with _reading(where), Image.open(io.BytesIO(data), formats=formats_of(where)) as file:
        return _exif_turn(file) is not None


def decode_square(data: bytes, where: str, size: int, background: Colour = WHITE) -> U8:
    """The square in the middle of a picture => [size, size, 3], by Lanczos's filter."""
    with _reading(where):
        file, whole = _open(data, where, _DRAFT * size)
        picture = _laid_over(*_rgb_and_alpha(file, where), background)
        side = min(whole)
        left, top = ((length - side) // 2 for length in whole)
        shrunk = max(1, round(max(whole) / max(picture.size)))  # by the decoder
        box = (left / shrunk, top / shrunk, (left + side) / shrunk, (top + side) / shrunk)
        return np.asarray(_turned(file, picture.resize((size, size), Image.Resampling.LANCZOS, box), True))


def read_grey(path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """A mask (8-bit) or a depth map (16-bit) as [H, W]."""
    return decode_grey(named.read(path, "the image"), str(path))


def decode_grey(data: bytes, where: str, upright: bool = True) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The bytes of a mask or of a depth map => [H, W]. `where` names the file in messages."""
    with _reading(where):
        file, _ = _open(data, where)
        if file.mode.startswith("I"):
            return np.asarray(_turned(file, Image.fromarray(_steps(file, where)), upright))
        return np.asarray(_turned(file, file if file.mode == "L" else file.convert("L"), upright))


def decode_mask(data: bytes, where: str, upright: bool = True) -> U8:
    """The bytes of a mask => coverage [H, W] of 8 bits. One whose largest value is 1 means 0 and 1, as many programs write it."""
    values = decode_grey(data, where, upright)
    if values.max(initial=0) == 1:
        return (values * 255).astype(np.uint8)
    return (values // 257).astype(np.uint8) if values.dtype == np.uint16 else values.astype(np.uint8)


def formats_of(name: str) -> tuple[str, ...]:
    """The formats that a file of this name may have; TGA has no mark of its own, so it is one by its name alone."""
    return (*FORMATS, "TGA") if name.lower().endswith(".tga") else FORMATS


def resized_map(values: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """A map of numbers [h, w] => [height, width], bilinear; averaged where it shrinks."""
    return np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.BILINEAR))


def write_image(path: Path, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """[H, W, 3] or [H, W] as PNG, whole or not at all. The same pixels give the same bytes."""
    with files.atomic(path) as temporary:
        temporary.write_bytes(encode(pixels))


def encode(pixels: NDArray[np.uint8] | NDArray[np.uint16], *, photo: bool = False) -> bytes:
    """The bytes of a PNG; `photo` is for photographs [H, W, 3]. The same pixels give the same bytes."""
    if photo:
        return _encode_photo(pixels)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=4)
    return buffer.getvalue()


def _encode_photo(pixels: NDArray[Any]) -> bytes:
    """One filter for all rows, and run lengths instead of a search for repeats: on photographs a quarter of Pillow's time and
    3 % more bytes. Drawn pictures would grow threefold."""
    height, width, _ = pixels.shape
    raw = pixels.reshape(height, width * 3)
    near = np.zeros(raw.shape, np.uint16)
    near[:, 3:] += raw[:, :-3]
    near[1:] += raw[:-1]
    rows = np.empty((height, width * 3 + 1), np.uint8)
    rows[:, 0] = 3  # PNG specification, 9.4: less the mean of the bytes to the left and above, rounded down
    np.subtract(raw, (near >> 1).astype(np.uint8), out=rows[:, 1:])
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
    packed = packer.compress(rows.tobytes()) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, RGB, not interlaced
    chunks = ((b"IHDR", head), (b"IDAT", packed), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
        for kind, data in chunks
    )


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


def check_pixels(picture: Image.Image, where: str, size: int) -> None:
    """Refuse, before it is decoded, a picture of more pixels than PIXELS_MOST, or than the environment allows; and a PNG of more
    than its file's `size` bytes can hold, whose missing rows Pillow makes black."""
    given = os.environ.get(_PIXELS_WORD, "")
    most = int(given) if given.isdecimal() and len(given) < 19 else PIXELS_MOST
    if picture.width * picture.height > most:
        raise G3dError(f"the image '{where}' has {picture.width}x{picture.height} pixels, more than {most}; scale it down, or "
                       f"set {_PIXELS_WORD} in the environment to the number that you want to allow")  # fmt: skip
    row = -(-picture.width * _BITS.get(picture.mode, 1) // 8)
    if picture.format == "PNG" and picture.height * row > _DEFLATE_MOST * size:
        raise G3dError(f"the image '{where}' says {picture.width}x{picture.height} pixels, which its {size} bytes cannot hold; "
                       f"replace it or remove it")  # fmt: skip


@contextmanager
def _reading(where: str) -> Iterator[None]:
    """What decoders raise on bad bytes => one sentence."""
    try:
        yield
    except (G3dError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise G3dError(f"the image '{where}' is far too large ({error}); scale it down first") from error
    except UnidentifiedImageError as error:
        raise G3dError(f"'{where}' is not an image that can be read; replace it or remove it") from error
    except Exception as error:  # decoders raise anything on bad bytes, AssertionError too
        why = str(error) or type(error).__name__
        raise G3dError(f"the image '{where}' cannot be read ({why}); replace it or remove it") from error


def _stated_size(stream: IO[bytes], where: str, size: int) -> tuple[int, int]:
    """Of a file of `size` bytes, whose pixels are not decoded."""
    impostors.refuse(stream.read(impostors.LOOKED_AT), where)
    stream.seek(0)
    with Image.open(stream, formats=formats_of(where)) as file:
        check_pixels(file, where, size)
        tags = file.tag_v2 if isinstance(file, TiffImagePlugin.TiffImageFile) else {}
        stored: tuple[int, int] = (tags.get(256, file.width), tags.get(257, file.height))  # Pillow has turned a TIFF's
        return (stored[1], stored[0]) if _exif_turn(file) in _ON_THEIR_SIDE else stored


def _open(data: bytes, where: str, least_px: int | None = None) -> tuple[Image.Image, tuple[int, int]]:
    """The picture as it lies in the file, and its width and height there; a JPEG may come smaller, but not below `least_px`."""
    impostors.refuse(data, where)
    picture: Image.Image = Image.open(io.BytesIO(data), formats=formats_of(where))
    check_pixels(picture, where, len(data))
    whole = picture.size
    shrinks = [s for s in (8, 4, 2) if least_px and min(whole) >= s * least_px and all(n % s == 0 for n in whole)]
    if shrinks:  # where the last column of a smaller one stood for less than a pixel, it would be wrong
        picture.draft(None, (whole[0] // shrinks[0], whole[1] // shrinks[0]))
    drafted = picture.size != whole
    turn = _exif_turn(picture) if picture.format == "TIFF" else None
    picture.load()
    if turn is not None:  # a TIFF turns itself upright when it is loaded
        picture.info[_LOADED_TURNED] = _BACK.get(turn, turn)
    return picture, whole if drafted else picture.size


def _rgb_and_alpha(picture: Image.Image, where: str) -> tuple[Image.Image, Image.Image | None]:
    """Any mode => 8-bit sRGB, and the alpha channel if there is one."""
    profile, key, alpha = picture.info.get("icc_profile"), picture.info.get("transparency"), None
    if picture.mode.startswith("I"):
        steps = _steps(picture, where)
        if isinstance(key, int):
            alpha = Image.fromarray(np.where(steps == key, 0, 255).astype(np.uint8))
        picture = Image.fromarray(((steps.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8))
    elif picture.mode == "F":
        picture = Image.fromarray(to_u8(_unit(picture, where)))
    elif picture.has_transparency_data:
        if isinstance(key, tuple) and max(key) > 255:  # 16-bit colours were read as their upper bytes
            picture.info["transparency"] = tuple(v >> 8 for v in key)
        picture = picture.convert("RGBA")
        alpha = picture.getchannel("A")
        picture = picture.convert("RGB")
    elif picture.mode == "P":
        picture = picture.convert("RGB")
    elif picture.mode == "CMYK" and picture.format == "JPEG" and "adobe" not in picture.info:
        picture = ImageChops.invert(picture)  # Pillow takes every CMYK JPEG as inverted; those of Adobe are
    transform = _to_srgb(profile, picture.mode) if profile and picture.mode in ("L", "RGB", "CMYK") else None
    if transform is not None:
        picture = ImageCms.applyTransform(picture, transform) or picture
    return picture if picture.mode == "RGB" else picture.convert("RGB"), alpha


def _steps(picture: Image.Image, where: str) -> NDArray[np.uint16]:
    """Grey of 16 or 32 bits => 0..65535."""
    values = np.asarray(picture)
    if values.dtype.itemsize > 2 and (values.min() < 0 or values.max() > 65535):
        raise G3dError(f"the image '{where}' holds numbers from {values.min()} to {values.max()}; grey of more than 8 bits "
                       "lies in 0..65535: write it as 16-bit PNG")  # fmt: skip
    return values.astype(np.uint16)


def _unit(picture: Image.Image, where: str) -> NDArray[np.float32]:
    """Grey of floats, which must lie in [0, 1]: other ranges have no meaning that one could guess."""
    values = np.asarray(picture)
    if not np.isfinite(values).all() or values.min() < -1e-3 or values.max() > 1 + 1e-3:
        raise G3dError(f"the image '{where}' holds floats from {values.min():g} to {values.max():g}; floats must lie in [0, 1]: "
                       "scale them, or write it as 8- or 16-bit PNG")  # fmt: skip
    return values


@lru_cache(maxsize=16)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a colour profile to sRGB; None where it is sRGB to the eye, or does not fit, or cannot be used."""
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), mode, "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )  # fmt: skip
        levels = np.arange(0, 256, 15, dtype=np.uint8)
        if mode == "CMYK":
            return transform
        axes = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(1, -1, 3)
        before = Image.fromarray(axes if mode == "RGB" else levels[None])
        after = np.asarray(ImageCms.applyTransform(before, transform)).astype(int)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    same = np.abs(after - np.asarray(before.convert("RGB"))).max() <= 2
    return None if same else transform


def _laid_over(picture: Image.Image, alpha: Image.Image | None, background: Colour) -> Image.Image:
    if alpha is None:
        return picture
    whole = picture.convert("RGBA")
    whole.putalpha(alpha)
    return Image.alpha_composite(Image.new("RGBA", picture.size, (*background, 255)), whole).convert("RGB")


def _turned(file: Image.Image, picture: Image.Image, upright: bool) -> Image.Image:
    """`picture`, made of `file`, turned as EXIF says; or, if not `upright`, as it is stored."""
    turn = _exif_turn(file) if upright else file.info.get(_LOADED_TURNED)
    return picture if turn is None else picture.transpose(turn)


def _exif_turn(file: Image.Image) -> Image.Transpose | None:
    try:
        return _UPRIGHT.get(file.getexif().get(0x0112, 1))
    except Exception:  # damaged EXIF: the pixels are what counts, and they were read
        return None
