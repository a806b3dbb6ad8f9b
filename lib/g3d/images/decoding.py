"""The bytes of one image file => Pillow's picture, in 8-bit sRGB or in grey; what is refused before it is decoded.

Whatever a file may be (grey, 16-bit, float, palette, CMYK, with alpha, with a colour profile, lying on its side) is told apart
here.
"""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageCms, TiffImagePlugin, UnidentifiedImageError, features

from g3d.errors import G3dError
from g3d.images.arrays import to_u8
from g3d.storage import impostors

Colour = tuple[int, int, int]  # 0..255
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
UNREAD = frozenset((".heic", ".heif", ".avif", ".gif", ".jxl", ".jp2", ".psd", ".exr", ".hdr", ".dng", ".cr2", ".cr3", ".nef",
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


def formats_of(name: str) -> tuple[str, ...]:
    """The formats that a file of this name may have; TGA has no mark of its own, so it is one by its name alone."""
    return (*FORMATS, "TGA") if name.lower().endswith(".tga") else FORMATS


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
def reading(where: str) -> Iterator[None]:
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


def stated_size(stream: IO[bytes], where: str, size: int) -> tuple[int, int]:
    """Of a file of `size` bytes, whose pixels are not decoded."""
    impostors.refuse(stream.read(impostors.LOOKED_AT), where)
    stream.seek(0)
    with Image.open(stream, formats=formats_of(where)) as file:
        check_pixels(file, where, size)
        tags = file.tag_v2 if isinstance(file, TiffImagePlugin.TiffImageFile) else {}
        stored: tuple[int, int] = (tags.get(256, file.width), tags.get(257, file.height))  # Pillow has turned a TIFF's
        return (stored[1], stored[0]) if exif_turn(file) in _ON_THEIR_SIDE else stored


def opened(data: bytes, where: str, least_px: int | None = None) -> tuple[Image.Image, tuple[int, int]]:
    """The picture as it lies in the file, and its width and height there; a JPEG may come smaller, but not below `least_px`."""
    impostors.refuse(data, where)
    picture: Image.Image = Image.open(io.BytesIO(data), formats=formats_of(where))
    check_pixels(picture, where, len(data))
    whole = picture.size
    shrinks = [s for s in (8, 4, 2) if least_px and min(whole) >= s * least_px and all(n % s == 0 for n in whole)]
    if shrinks:  # where the last column of a smaller one stood for less than a pixel, it would be wrong
        picture.draft(None, (whole[0] // shrinks[0], whole[1] // shrinks[0]))
    drafted = picture.size != whole
    turn = exif_turn(picture) if picture.format == "TIFF" else None
    picture.load()
    if turn is not None:  # a TIFF turns itself upright when it is loaded
        picture.info[_LOADED_TURNED] = _BACK.get(turn, turn)
    return picture, whole if drafted else picture.size


def rgb_and_alpha(picture: Image.Image, where: str) -> tuple[Image.Image, Image.Image | None]:
    """Any mode => 8-bit sRGB, and the alpha channel if there is one."""
    profile, key, alpha = picture.info.get("icc_profile"), picture.info.get("transparency"), None
    if picture.mode.startswith("I"):
        steps = grey_steps(picture, where)
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


def grey_steps(picture: Image.Image, where: str) -> NDArray[np.uint16]:
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


def laid_over(picture: Image.Image, alpha: Image.Image | None, background: Colour) -> Image.Image:
    if alpha is None:
        return picture
    whole = picture.convert("RGBA")
    whole.putalpha(alpha)
    return Image.alpha_composite(Image.new("RGBA", picture.size, (*background, 255)), whole).convert("RGB")


def turned(file: Image.Image, picture: Image.Image, upright: bool) -> Image.Image:
    """`picture`, made of `file`, turned as EXIF says; or, if not `upright`, as it is stored."""
    turn = exif_turn(file) if upright else file.info.get(_LOADED_TURNED)
    return picture if turn is None else picture.transpose(turn)


def exif_turn(file: Image.Image) -> Image.Transpose | None:
    try:
        return _UPRIGHT.get(file.getexif().get(0x0112, 1))
    except Exception:  # damaged EXIF: the pixels are what counts, and they were read
        return None
