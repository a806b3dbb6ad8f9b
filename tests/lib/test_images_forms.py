"""What a picture file may be: 16 bits, floats, alpha, CMYK, lying on its side, with a colour profile; squares of it; zips."""

import io
import math
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from g3d import images
from g3d.errors import G3dError
from g3d.storage import zips
from PIL import Image, ImageCms

VALUES = [0, 255, 256, 32768, 65280, 65535]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def encoded(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png16(colour_type: int, channels: int, transparent: bytes = b"") -> bytes:
    """One row of VALUES, 16 bits a channel, by the PNG specification."""
    row = b"\0" + b"".join(struct.pack(">H", v) * channels for v in VALUES)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", len(VALUES), 1, 16, colour_type, 0, 0, 0))
    key = chunk(b"tRNS", transparent) if transparent else b""
    return b"\x89PNG\r\n\x1a\n" + head + key + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")


def smooth(height: int, width: int) -> np.ndarray:
    """A picture without symmetry and with some detail."""
    y, x = np.mgrid[:height, :width]
    bands = [128 + 90 * np.sin(x / 7 + y / 11 + k) + 30 * np.sin(x * y / (600 + 90 * k)) for k in range(3)]
    return np.stack(bands, -1).clip(0, 255).astype(np.uint8)


def test_16_bits_become_8() -> None:
    exact = [v / 257 for v in VALUES]
    grey = images.decode(png16(0, 1), "a")[0].astype(float)
    np.testing.assert_allclose(grey, np.repeat(np.array(exact)[:, None], 3, 1), atol=0.5)
    colour = images.decode(png16(2, 3), "a")[0].astype(float)
    np.testing.assert_allclose(colour, np.repeat(np.array(exact)[:, None], 3, 1), atol=1)
    for kind, channels in ((4, 2), (6, 4)):  # value v under alpha v: over black v^2, over white v^2 + 1 - v
        for background in (0, 255):
            found, alpha = images.decode_alpha(png16(kind, channels), "a", (background,) * 3)
            share = np.array(VALUES) / 65535
            np.testing.assert_allclose(found[0, :, 1], 255 * share**2 + background * (1 - share), atol=2)
            assert alpha is not None
            np.testing.assert_allclose(alpha[0], exact, atol=1)


def test_the_transparent_colour_of_16_bits() -> None:
    for data in (png16(0, 1, struct.pack(">H", 256)), png16(2, 3, struct.pack(">HHH", 256, 256, 256))):
        found, alpha = images.decode_alpha(data, "a")
        assert alpha is not None and alpha[0].tolist() == [255, 255, 0, 255, 255, 255]
        assert found[0, 2].tolist() == [255] * 3 and found[0, 0].tolist() == [0] * 3


def test_floats_lie_between_0_and_1() -> None:
    def tiff(values: list[float]) -> bytes:
        return encoded(Image.fromarray(np.array([values], np.float32)), "TIFF")

    assert images.decode(tiff([0, 0.5, 1]), "a")[0, :, 0].tolist() == [0, 128, 255]
    for values, words in (([0, 2], "from 0 to 2"), ([-0.5, 1], "from -0.5 to 1"), ([0, math.nan], "nan")):
        with pytest.raises(G3dError, match=rf"'a\.tif' holds floats {words if words != 'nan' else ''}.*\[0, 1\]"):
            images.decode(tiff(values), "a.tif")


def test_grey_of_32_bits() -> None:
    def tiff(values: list[int]) -> bytes:
        return encoded(Image.fromarray(np.array([values], np.int32)), "TIFF")

    assert images.decode(tiff([0, 257, 65535]), "a")[0, :, 0].tolist() == [0, 1, 255]
    assert images.decode_grey(tiff([0, 257, 65535]), "a")[0].tolist() == [0, 257, 65535]
    for read in (images.decode, images.decode_grey):
        for values in ([0, 65536], [-1, 5]):
            with pytest.raises(G3dError, match=r"'a' holds numbers from .*0\.\.65535"):
                read(tiff(values), "a")


def test_alpha_over_black() -> None:
    rgba = np.array([[[0, 0, 0, 0], [250, 250, 250, 255], [250, 100, 0, 51]]], np.uint8)
    found, alpha = images.decode_alpha(encoded(Image.fromarray(rgba)), "a", (0, 0, 0))
    np.testing.assert_allclose(found[0].astype(int), [[0] * 3, [250] * 3, [50, 20, 0]], atol=1)
    assert alpha is not None and alpha[0].tolist() == [0, 255, 51]
    assert images.decode_alpha(encoded(Image.fromarray(rgba[..., :3])), "a")[1] is None
    palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    shown = images.decode(encoded(palette, transparency=bytes([0, 51, 255])), "a", (0, 0, 0))
    assert shown[0].tolist() == [[0, 0, 0], [0, 51, 0], [0, 0, 255]]


def test_cmyk_as_adobe_inverts_it_and_plain() -> None:
    flat = Image.fromarray(np.full((8, 8, 4), (0, 255, 255, 0), np.uint8), "CMYK")  # red
    jpeg = encoded(flat, "JPEG", quality=95)
    at = jpeg.index(b"\xff\xee\x00\x0eAdobe")  # this marker says that all four are inverted
    assert images.decode(jpeg, "a")[4, 4].tolist() == [255, 0, 0]
    plain = jpeg[:at] + jpeg[at + 16 :]
    assert images.decode(plain, "a")[4, 4].tolist() == [0, 0, 0]  # 255, 0, 0, 255: black
    assert images.decode(encoded(flat, "TIFF"), "a")[4, 4].tolist() == [255, 0, 0]


SIDES = {1: "top left", 2: "top right", 3: "bottom right", 4: "bottom left", 5: "left top", 6: "right top",
         7: "right bottom", 8: "left bottom"}  # fmt: skip
"""EXIF 2.3, orientation: which side of the picture the first row and the first column of the file are."""


def lying(upright: np.ndarray, orientation: int) -> np.ndarray:
    """How a file of this orientation holds a picture."""
    row, column = SIDES[orientation].split()
    stored = upright if row in ("top", "bottom") else upright.swapaxes(0, 1)
    stored = stored[::-1] if row in ("bottom", "right") else stored
    return stored[:, ::-1] if column in ("right", "bottom") else stored


@pytest.mark.parametrize("orientation", SIDES)
def test_exif_turns_a_picture_upright(orientation: int, tmp_path: Path) -> None:
    upright = np.repeat(np.repeat(np.arange(6, dtype=np.uint8).reshape(2, 3, 1) * 40, 8, 0), 8, 1).repeat(3, -1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(lying(upright, orientation)))
    for kind, options in (("PNG", {}), ("JPEG", {"quality": 95}), ("TIFF", {}), ("WEBP", {"lossless": True})):
        found = images.decode(encoded(stored, kind, exif=exif, **options), "a")
        assert found.shape == upright.shape, kind
        (tmp_path / "a").write_bytes(encoded(stored, kind, exif=exif, **options))
        assert images.size_of(tmp_path / "a") == (24, 16), kind
        np.testing.assert_allclose(found.astype(int), upright, atol=2, err_msg=kind)
        square = images.decode_square(encoded(stored, kind, exif=exif, **options), "a", 16)
        np.testing.assert_allclose(square.astype(int), upright[:, 4:20], atol=2, err_msg=kind)
    mask = images.decode_grey(encoded(stored.convert("L"), exif=exif), "a")
    np.testing.assert_array_equal(mask, upright[..., 0])


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_matter() -> None:
    data = encoded(Image.fromarray(smooth(8, 8)), exif=b"Exif\0\0II*\0\xff\xff\xff\xff\xff\xff")
    np.testing.assert_array_equal(images.decode(data, "a"), smooth(8, 8))


def test_colour_profiles() -> None:
    """A profile whose red and green change places turns red into green; sRGB's own changes nothing; a broken one neither."""
    picture = Image.fromarray(smooth(20, 30))
    for profile in (SRGB, SRGB[:100], b"no profile"):
        np.testing.assert_array_equal(images.decode(encoded(picture, icc_profile=profile), "a"), smooth(20, 30))
    swapped = SRGB.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")
    rgba = np.array([[[200, 10, 30, 255], [9, 180, 70, 255], [0, 0, 250, 0]]], np.uint8)
    found = images.decode(encoded(Image.fromarray(rgba), icc_profile=swapped), "a")[0].astype(int)
    np.testing.assert_allclose(found, [[10, 200, 30], [180, 9, 70], [255, 255, 255]], atol=2)
    grey = Image.fromarray(smooth(8, 8)[..., 0])
    np.testing.assert_array_equal(images.decode(encoded(grey, icc_profile=swapped), "a")[..., 0], np.asarray(grey))


def lanczos(picture: np.ndarray, size: int) -> np.ndarray:
    """The square in the middle, resized in float64, a pixel at a time."""
    height, width = picture.shape[:2]
    side = min(height, width)

    def weights(length: int) -> np.ndarray:
        scale, start = side / size, (length - side) // 2
        reach = 3 * max(scale, 1)
        matrix = np.zeros((size, length))
        for i in range(size):
            centre = start + (i + 0.5) * scale
            for j in range(length):
                x = (j + 0.5 - centre) / max(scale, 1)
                if abs(j + 0.5 - centre) < reach:
                    matrix[i, j] = np.sinc(x) * np.sinc(x / 3)
        return matrix / matrix.sum(1, keepdims=True)

    rows, columns = weights(height), weights(width)
    return np.einsum("ih,hwc,jw->ijc", rows, picture.astype(float), columns).clip(0, 255)


@pytest.mark.parametrize(("height", "width", "size"), [(37, 53, 16), (60, 41, 20), (9, 14, 24), (30, 31, 30)])
def test_a_square_is_the_middle_by_lanczos(height: int, width: int, size: int) -> None:
    picture = smooth(height, width)
    found = images.decode_square(encoded(Image.fromarray(picture)), "a", size)
    np.testing.assert_allclose(found.astype(float), lanczos(picture, size), atol=1.6)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_large_jpeg_is_decoded_smaller_and_as_good(mode: str) -> None:
    """Of several sizes, so that half a pixel lost on the way would show; and it lies on its side."""
    exif = Image.Exif()
    exif[0x0112] = 3
    for height, width in ((204, 330), (344, 200), (203, 331)):
        stored = Image.fromarray(smooth(height, width)).convert(mode)
        data = encoded(stored, "JPEG", quality=95, subsampling=0, exif=exif)
        whole = images.decode(data, "a")[::-1, ::-1]  # as it lies in the file
        left, top = (max(n, 0) // 2 for n in (width - height, height - width))
        box = (left, top, left + min(height, width), top + min(height, width))
        for size in (8, 16, 30):
            wanted = np.asarray(Image.fromarray(whole).resize((size, size), Image.Resampling.LANCZOS, box))[::-1, ::-1]
            mse = np.mean((images.decode_square(data, "a", size).astype(float) - wanted) ** 2)
            assert (mse == 0) == (height == 203), "odd sizes are decoded whole"
            assert -10 * math.log10(max(mse, 1e-9) / 255**2) > 44, (height, width, size)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (40, 31)])
def test_photographs_are_encoded_without_loss(shape: tuple[int, int]) -> None:
    draw = np.random.default_rng(0)
    for low, high in ((0, 256), (250, 256), (0, 2), (7, 8)):
        noise = draw.integers(low, high, (*shape, 3)).astype(np.uint8)
        data = images.encode(noise, photo=True)
        np.testing.assert_array_equal(images.decode(data, "a"), noise)
        assert data == images.encode(noise.copy(), photo=True)
    tall = draw.integers(0, 256, (8, 16, 3)).astype(np.uint8)
    np.testing.assert_array_equal(
        images.decode(images.encode(tall[:, ::-1], photo=True), "a"), tall[:, ::-1]
    )  # not contiguous


def archive(
    path: Path, *names: str, content: bytes = b"x" * 64, method: int = zipfile.ZIP_STORED, **false: int
) -> Path:
    """A zip whose table of contents says what `false` says of its first member."""
    with zipfile.ZipFile(path, "w", method) as opened:
        for name in names:
            info = zipfile.ZipInfo("placeholder")
            info.filename, info.compress_type = name, method
            opened.writestr(info, content)
        for key, value in false.items():
            setattr(opened.infolist()[0], key, value)
    return path


def test_the_files_of_a_good_zip(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", "b/2.png", "a.png", "b/", method=zipfile.ZIP_DEFLATED)
    found = zips.check(path, 1)
    assert list(found) == ["a.png", "b/2.png"] and found["a.png"].file_size == 64
    assert zips.member(zips.opened(path), "b/2.png", "w") == b"x" * 64
    assert zips.opened(path) is zips.opened(path)  # opened once
    with pytest.raises(G3dError, match=r"'w' is not in the zip"):
        zips.member(zips.opened(path), "c.png", "w")


@pytest.mark.parametrize(
    "name", ["../a.png", "b/../../a.png", "/a.png", "C:/a.png", "C:a.png", "b\\a.png", "..\\a.png"]
)
def test_a_path_that_leaves_the_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(G3dError) as caught:
        zips.check(archive(tmp_path / "a.zip", "fine.png", name), 1)
    assert "a path that leaves the folder" in str(caught.value) and name in str(caught.value)
    assert "a.zip" in str(caught.value)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zips_that_could_do_harm(tmp_path: Path) -> None:
    big = 10**9
    cases: list[tuple[Path, str]] = [
        (archive(tmp_path / "1.zip", "a.png", flag_bits=1), "'a.png', which is encrypted"),
        (archive(tmp_path / "2.zip", "a.png", method=zipfile.ZIP_BZIP2), "method 12"),
        (archive(tmp_path / "3.zip", "a.png", file_size=big), "as in a zip bomb"),
        (archive(tmp_path / "4.zip", "a.png", "a.png"), "'a.png' twice"),
        (archive(tmp_path / "5.zip", "a.png", compress_size=10**6, file_size=10**6), "overlap"),
        (
            archive(tmp_path / "6.zip", "a.png", content=b"x" * 4000),
            r"unpacks to 4e-06 GB, more than the 1e-06 GB.*--max-unpacked-gb",
        ),
    ]
    for path, words in cases:
        with pytest.raises(G3dError, match=words) as caught:
            zips.check(path, 1e-6)
        assert path.name in str(caught.value)
    (tmp_path / "7.zip").write_bytes(b"PK\3\4 and nothing more")
    with pytest.raises(G3dError, match=r"7\.zip' is not a zip that can be read"):
        zips.check(tmp_path / "7.zip", 1)


def test_a_false_size_unpacks_into_no_memory(tmp_path: Path) -> None:
    """The table says 64 bytes; 50 million would come."""
    path = archive(tmp_path / "a.zip", "a.png", content=bytes(50_000_000), method=zipfile.ZIP_DEFLATED, file_size=64)
    zips.check(path, 1)
    opened = zips.opened(path)
    tracemalloc.start()
    with pytest.raises(G3dError, match=r"'w' cannot be read \(Bad CRC"):
        zips.member(opened, "a.png", "w")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000
