"""Pictures in and out: modes, alpha, 16-bit depth, folders and zips, damaged files."""

import io
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
from g3d import images
from g3d.errors import G3dError
from PIL import Image

COLOURS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [10, 20, 30]]], np.uint8)
NOISE = np.random.default_rng(0).integers(0, 256, (24, 24, 3)).astype(np.uint8)


def encoded(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def test_rgb_round_trip_and_same_bytes(tmp_path: Path) -> None:
    images.write_image(tmp_path / "a.png", COLOURS)
    np.testing.assert_array_equal(images.read_image(tmp_path / "a.png"), COLOURS)
    assert (tmp_path / "a.png").read_bytes() == images.encode(COLOURS)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_16_bit_depth_round_trip(tmp_path: Path) -> None:
    depth = np.array([[0, 1, 255, 256], [1000, 32767, 32768, 65535]], np.uint16)
    images.write_image(tmp_path / "d.png", depth)
    found = images.read_grey(tmp_path / "d.png")
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, depth)


def test_8_bit_mask_round_trip(tmp_path: Path) -> None:
    mask = np.array([[0, 128, 255]], np.uint8)
    images.write_image(tmp_path / "m.png", mask)
    found = images.read_grey(tmp_path / "m.png")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, mask)


def test_alpha_is_laid_over_white() -> None:
    """255 (1 - a) + c a: half-covered black is 127 or 128, uncovered is white whatever its colour."""
    rgba = np.array([[[0, 0, 0, 0], [0, 0, 0, 255], [0, 0, 0, 128], [200, 100, 0, 51]]], np.uint8)
    found = images.decode(encoded(Image.fromarray(rgba)), "a").astype(int)
    np.testing.assert_allclose(found[0], [[255] * 3, [0] * 3, [127] * 3, [244, 224, 204]], atol=1)
    grey = np.array([[[0, 0], [0, 255]]], np.uint8)
    np.testing.assert_array_equal(images.decode(encoded(Image.fromarray(grey, "LA")), "a")[0], [[255] * 3, [0] * 3])
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    palette.putpalette([255, 0, 0, 0, 255, 0])
    found = images.decode(encoded(palette, transparency=0), "a")
    np.testing.assert_array_equal(found[0], [[255, 255, 255], [0, 255, 0]])


def test_every_mode_becomes_three_channels() -> None:
    grey = np.array([[0, 77, 255]], np.uint8)
    three = np.repeat(grey[..., None], 3, axis=-1)
    np.testing.assert_array_equal(images.decode(encoded(Image.fromarray(grey)), "a"), three)
    bits = images.decode(encoded(Image.fromarray(grey > 50)), "a")
    np.testing.assert_array_equal(bits, np.repeat([[[0], [255], [255]]], 3, axis=-1))
    palette = Image.fromarray(COLOURS).convert("P", palette=Image.Palette.ADAPTIVE)
    np.testing.assert_array_equal(images.decode(encoded(palette), "a"), COLOURS)
    flat = np.full((8, 8, 4), (0, 255, 255, 0), np.uint8)  # cyan 0, magenta and yellow full: red
    found = images.decode(encoded(Image.fromarray(flat, "CMYK"), "JPEG", quality=95), "a")
    assert found.shape == (8, 8, 3)
    np.testing.assert_allclose(found[4, 4].astype(int), [255, 0, 0], atol=6)


def test_16_bit_grey_keeps_its_brightness() -> None:
    wide = np.array([[0, 257, 32768, 65535]], np.uint16)
    found = images.decode(encoded(Image.fromarray(wide)), "a")
    np.testing.assert_array_equal(found[0, :, 0], [0, 1, 128, 255])


def test_to_u8_rounds_to_nearest() -> None:
    values = np.array(
        [-1, 0, 0.4 / 255, 0.6 / 255, 127.4 / 255, 127.6 / 255, 254.4 / 255, 254.6 / 255, 1, 7], np.float32
    )
    assert images.to_u8(values).tolist() == [0, 0, 0, 1, 127, 128, 254, 255, 255, 255]
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(images.to_u8(every.astype(np.float32) / 255), every)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
def test_damaged_files_give_a_sentence_with_their_name(kind: str) -> None:
    data, refused = encoded(Image.fromarray(NOISE), kind), 0
    for cut in range(0, len(data), max(1, len(data) // 20)):
        try:
            images.decode(data[:cut], "photos/x")
        except G3dError as error:
            refused += 1
            assert "photos/x" in str(error)
    assert refused >= 15
    for seed in range(100):
        draw, bad = random.Random(seed), bytearray(data)
        for _ in range(3):
            bad[draw.randrange(60)] = draw.randrange(256)
        try:
            assert images.decode(bytes(bad), "photos/x").shape[2] == 3
        except G3dError as error:
            assert "photos/x" in str(error)


def test_a_file_that_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("<html>not found</html>")
    for read in (images.read_image, images.read_grey):
        with pytest.raises(G3dError, match=r"a\.png' is a web page, not the file itself"):
            read(tmp_path / "a.png")
        with pytest.raises(G3dError, match=r"b\.png' does not exist"):
            read(tmp_path / "b.png")


def fill(folder: Path) -> None:
    for i, name in enumerate(["2.png", "1.png", "sub/3.png", "depth/1.png", "sub/masks/1.png", "normals/1.png"]):
        images.write_image(folder / name, np.full((2, 2, 3), i, np.uint8))
    (folder / "4.JPG").write_bytes(encoded(Image.fromarray(NOISE), "JPEG"))
    (folder / "notes.txt").write_text("")


def test_a_folder_in_order_without_depth_and_masks(tmp_path: Path) -> None:
    fill(tmp_path)
    found = images.image_set(tmp_path)
    assert found.names == ("1.png", "2.png", "4.JPG", "sub/3.png") and len(found) == 4
    assert [int(p[0, 0, 0]) for p in (found.read(0), found.read(1), found.read(3))] == [1, 0, 2]
    assert [p.shape for p in found.stream([2, 0])] == [(24, 24, 3), (2, 2, 3)]


def test_a_dataset_stands_for_its_images(tmp_path: Path) -> None:
    images.write_image(tmp_path / "images/000000.png", COLOURS)
    images.write_image(tmp_path / "elsewhere/1.png", COLOURS)
    assert len(images.image_set(tmp_path)) == 2
    (tmp_path / "dataset.json").write_text("{}")
    assert images.image_set(tmp_path).names == ("000000.png",)


def zipped(folder: Path) -> Path:
    fill(folder / "in")
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        for path in sorted((folder / "in").rglob("*.*"), reverse=True):
            archive.write(path, path.relative_to(folder / "in"))
    return folder / "a.zip"


def test_a_zip_reads_as_its_folder(tmp_path: Path) -> None:
    archive, folder = images.image_set(zipped(tmp_path)), images.image_set(tmp_path / "in")
    assert archive.names == folder.names and len(folder) == 4
    for a, b in zip(archive.stream(), folder.stream(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_damaged_zip_gives_a_sentence_with_the_member(tmp_path: Path) -> None:
    path = zipped(tmp_path)
    data = bytearray(path.read_bytes())
    at = data.index(b"\x89PNG", data.index(b"sub/3.png"))  # the bytes of a member, not the table at the end
    data[at + 30] ^= 255
    path.write_bytes(data)
    with pytest.raises(G3dError, match=r"a\.zip:.*\.png' cannot be read"):
        list(images.image_set(path).stream())


def test_places_without_images(tmp_path: Path) -> None:
    with pytest.raises(G3dError, match=r"the real images '.*' holds no images"):
        images.image_set(tmp_path, "the real images")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(G3dError, match="neither a folder nor a zip"):
        images.image_set(tmp_path / "a.txt")
    with pytest.raises(G3dError, match="does not exist"):
        images.image_set(tmp_path / "missing")


def test_sheet_and_enlarge() -> None:
    page = images.sheet([[COLOURS, COLOURS], [COLOURS]], gap_px=1)
    assert page.shape == (7, 7, 3)
    np.testing.assert_array_equal(page[1:3, 4:6], COLOURS)
    np.testing.assert_array_equal(page[4:6, 1:3], COLOURS)
    assert (page[3] == 255).all() and (page[4:6, 4:6] == 255).all()
    np.testing.assert_array_equal(images.enlarge(COLOURS, 3)[::3, 1::3], COLOURS)


def test_a_sheet_of_several_sizes_has_cells_of_the_largest() -> None:
    small, wide = np.zeros((1, 1, 3), np.uint8), np.full((3, 5, 3), 9, np.uint8)
    page = images.sheet([[small, wide]], gap_px=1)
    assert page.shape == (5, 13, 3)
    assert (page[2, 3] == 0).all() and (page[1:4, 7:12] == 9).all()
    assert (page[1:4, 1:6] != 255).any(axis=-1).sum() == 1  # the small one in the middle of its cell, white around it
