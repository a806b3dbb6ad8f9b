"""The plain reading of pictures, and the digest that names them in the cache of features."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from commands import Pipeline
from g3d import images
from g3d.errors import G3dError
from g3d.evaluation.pictures import Pictures, pictures, plain_rgb
from PIL import Image


def _folder(path: Path, seeds: range) -> Path:
    for i, seed in enumerate(seeds):
        pixels = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)
        images.write_image(path / "sub" / f"{i}.png", pixels)
    return path


def _zip(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*.png")):
            archive.write(file, file.relative_to(folder))
    return path


def _found(path: Path) -> Pictures:
    return pictures(path, "the images")


def test_what_g3d_writes_is_read_as_everywhere(pipeline: Pipeline) -> None:
    found = _found(pipeline.data)
    assert len(found) == 32
    for i in (0, 31):
        np.testing.assert_array_equal(found.read(i), found.found.read(i))
    assert not found.odd


def test_alpha_is_dropped_not_laid_over_white(tmp_path: Path) -> None:
    Image.fromarray(np.array([[[10, 20, 30, 0]]], np.uint8)).save(tmp_path / "a.png")
    pixels, odd = plain_rgb((tmp_path / "a.png").read_bytes(), "a.png")
    assert pixels.tolist() == [[[10, 20, 30]]] and odd
    assert images.read_image(tmp_path / "a.png").tolist() == [[[255, 255, 255]]]


def test_bad_bytes_are_one_sentence() -> None:
    for data in (b"", b"no picture", b"\x89PNG\r\n\x1a\n and then nothing"):
        with pytest.raises(G3dError, match=r"'x\.png'") as caught:
            plain_rgb(data, "x.png")
        assert "\n" not in str(caught.value)


def test_a_zip_is_read_and_named_as_its_folder(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "in", range(4))
    plain, packed = _found(folder), _found(_zip(folder))
    assert packed.digest([2, 0]) == plain.digest([2, 0]) != plain.digest([0, 2])
    np.testing.assert_array_equal(packed.read(3), plain.read(3))


def test_the_digest_follows_the_bytes(tmp_path: Path) -> None:
    first, second = _found(_folder(tmp_path / "a", range(3))), _found(_folder(tmp_path / "b", range(3)))
    before = first.digest([0, 1, 2])
    assert before == second.digest([0, 1, 2])
    file = tmp_path / "b" / "sub" / "1.png"
    stat, data = file.stat(), bytearray(file.read_bytes())
    data[-20] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as large and as old as before
    assert second.digest([0, 1, 2]) != before
    assert second.digest([0, 2]) == first.digest([0, 2])


def test_the_digest_of_a_dataset_notices_a_replaced_picture(pipeline: Pipeline, tmp_path: Path) -> None:
    import shutil

    data = tmp_path / "data"
    shutil.copytree(pipeline.data, data)
    before = _found(data).digest([0, 1])
    assert before == _found(data).digest([0, 1]) and before.startswith("dataset:")
    (data / "images" / "000001.png").write_bytes((data / "images" / "000002.png").read_bytes())
    assert _found(data).digest([0, 1]) != before
    description = data / "dataset.json"
    changed = description.read_text().replace('"digest": "', '"digest": "x', 1)
    before = _found(data).digest([0])
    description.write_text(changed)
    assert _found(data).digest([0]) != before
