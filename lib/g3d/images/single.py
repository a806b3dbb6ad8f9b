"""One picture <=> an array: files and bytes, colour, coverage, masks, depth maps."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from g3d.errors import G3dError
from g3d.images.arrays import U8
from g3d.images.decoding import (
    Colour,
    exif_turn,
    formats_of,
    grey_steps,
    laid_over,
    opened,
    reading,
    rgb_and_alpha,
    stated_size,
    turned,
)
from g3d.storage import files, named

WHITE: Colour = (255, 255, 255)
_DRAFT = 3  # a JPEG is decoded smaller if so many times the wanted size are left: photographs are then within 45 dB


def read_image(path: Path) -> U8:
    """One picture as [H, W, 3]; an alpha channel is laid over white."""
    return decode(named.read(path, "the image"), str(path))


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a picture as it is looked at: turned where its camera said so. From its header alone."""
    named.check(path, "the image")
    with reading(str(path)), path.open("rb") as stream:
        return stated_size(stream, str(path), path.stat().st_size)


def decode(data: bytes, where: str, background: Colour = WHITE) -> U8:
    """The bytes of an image file => [H, W, 3], laid over `background`. `where` names the file in messages."""
    return decode_alpha(data, where, background)[0]


def decode_alpha(data: bytes, where: str, background: Colour = WHITE, upright: bool = True) -> tuple[U8, U8 | None]:
    """As `decode`, with the alpha channel [H, W] of what was laid over; None where the file has none. Without `upright`, the
    pixels stay as they are stored, which is what cameras found by structure from motion describe."""
    with reading(where):
        file, _ = opened(data, where)
        picture, alpha = rgb_and_alpha(file, where)
        whole = turned(file, laid_over(picture, alpha, background), upright)
        return np.asarray(whole), None if alpha is None else np.asarray(turned(file, alpha, upright))


def exif_turns(data: bytes, where: str) -> bool:
    """Whether EXIF says that the stored pixels lie on their side."""
    with reading(where), Image.open(io.BytesIO(data), formats=formats_of(where)) as file:
        return exif_turn(file) is not None


def decode_square(data: bytes, where: str, size: int, background: Colour = WHITE) -> U8:
    """The square in the middle of a picture => [size, size, 3], by Lanczos's filter."""
    with reading(where):
        file, whole = opened(data, where, _DRAFT * size)
        picture = laid_over(*rgb_and_alpha(file, where), background)
        side = min(whole)
        left, top = ((length - side) // 2 for length in whole)
        shrunk = max(1, round(max(whole) / max(picture.size)))  # by the decoder
        box = (left / shrunk, top / shrunk, (left + side) / shrunk, (top + side) / shrunk)
        return np.asarray(turned(file, picture.resize((size, size), Image.Resampling.LANCZOS, box), True))


def read_grey(path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """A mask (8-bit) or a depth map (16-bit) as [H, W]."""
    return decode_grey(named.read(path, "the image"), str(path))


def decode_grey(data: bytes, where: str, upright: bool = True) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The bytes of a mask or of a depth map => [H, W]. `where` names the file in messages."""
    with reading(where):
        file, _ = opened(data, where)
        if file.mode.startswith("I"):
            return np.asarray(turned(file, Image.fromarray(grey_steps(file, where)), upright))
        return np.asarray(turned(file, file if file.mode == "L" else file.convert("L"), upright))


def decode_mask(data: bytes, where: str, upright: bool = True) -> U8:
    """The bytes of a mask => coverage [H, W] of 8 bits. One whose largest value is 1 means 0 and 1, as many programs write it."""
    values = decode_grey(data, where, upright)
    if values.max(initial=0) == 1:
        return (values * 255).astype(np.uint8)
    return (values // 257).astype(np.uint8) if values.dtype == np.uint16 else values.astype(np.uint8)


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


def check_png(path: Path, what: str) -> None:
    """Refuse a place for a single picture that does not end in .png, or is a folder."""
    if path.suffix.lower() != ".png":
        raise G3dError(f"{what} '{path}' must end in .png; rename it")
    if path.is_dir():
        raise G3dError(f"{what} '{path}' is a folder; give a file that ends in .png")
