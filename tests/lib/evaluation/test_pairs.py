"""Which pictures are pairs, and what lies beside them."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from commands import Pipeline
from g3d.errors import G3dError
from g3d.evaluation.pairs import pair, side
from g3d.evaluation.region import parse_region
from g3d.images import write_image
from g3d.steps import render

STREAM = np.random.default_rng(0)


def _folder(path: Path, *names: str) -> Path:
    for name in names:
        write_image(path / name, STREAM.integers(0, 256, (6, 5, 3), dtype=np.uint8))
    return path


def test_names_are_paths_without_suffix(tmp_path: Path) -> None:
    a, b = (
        _folder(tmp_path / "a", "x/1.png", "x/2.png", "y.png"),
        _folder(tmp_path / "b", "x/1.png", "x/2.png", "y.png"),
    )
    (b / "y.png").rename(b / "y.bmp")
    found = pair(side(a, "true"), side(b, "test"))
    assert [one.name for one in found.pairs] == ["x/1", "x/2", "y"]
    assert found.pairs[2].test.where.endswith("y.bmp")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        for path in sorted(b.rglob("*.*")):
            archive.write(path, path.relative_to(b))
    zipped = pair(side(a, "true"), side(tmp_path / "b.zip", "test"))
    for one, other in zip(found.pairs, zipped.pairs, strict=True):
        np.testing.assert_array_equal(one.test.picture(), other.test.picture())


def test_a_missing_partner_is_named_with_its_count(tmp_path: Path) -> None:
    a, b = _folder(tmp_path / "a", "1.png", "2.png", "3.png"), _folder(tmp_path / "b", "1.png")
    words = (
        r"'.*b' has no picture '2' and 1 more that '.*a' has \(2 of 3 without a partner; .*holds 1, the first is '1'\)"
    )
    with pytest.raises(G3dError, match=words):
        pair(side(a, "true"), side(b, "test"))
    with pytest.raises(G3dError, match=words):
        pair(side(b, "true"), side(a, "test"))
    (b / "1.jpg").write_bytes((b / "1.png").read_bytes())
    with pytest.raises(G3dError, match="two pictures of the name '1'"):
        side(b, "test")


@pytest.fixture(scope="module")
def drawn(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test views of all four cars, as the model sees them: folders of an item each."""
    from g3d.steps import decode

    out = tmp_path_factory.mktemp("pairs") / "drawn"
    how = render.Drawing(f"dataset:{pipeline.data}:test", masks=True, depth=True)
    decode.run(decode.Options(pipeline.model, pipeline.model, None, images=out, drawing=how, device="cpu"))
    return out


@pytest.mark.slow
def test_drawn_views_find_those_of_the_dataset(pipeline: Pipeline, drawn: Path) -> None:
    found = pair(side(pipeline.data, "true", "test"), side(drawn, "test"))
    assert found.naming == "item/view = file" and len(found.pairs) == 8
    assert [Path(one.true.where).name for one in found.pairs[:3]] == ["000006.png", "000007.png", "000014.png"]
    assert found.pairs[2].name == "000001/000000" and found.pairs[2].test.c2w is not None
    assert (found.true.depth_kind, found.test.depth_kind) == ("camera z", "expected camera z")
    one = found.pairs[0]
    assert one.true.mask is not None and one.test.mask is not None and one.test.depth_world is not None
    assert one.true.mask().shape == one.test.mask().shape == one.test.depth_world().shape == (24, 24)
    seen = one.test.depth_world()[one.test.mask() > 8]
    assert seen.min() > 1 and seen.max() < 5  # world units, by the scale of depth.json
    with pytest.raises(G3dError, match="has no picture"):
        pair(side(pipeline.data, "true", "train"), side(drawn, "test"))


def test_other_cameras_under_the_same_name_are_refused(pipeline: Pipeline, drawn: Path, tmp_path: Path) -> None:
    import shutil

    swapped = tmp_path / "swapped"
    shutil.copytree(drawn, swapped)
    file = swapped / "000002" / "transforms.json"
    about = json.loads(file.read_text())
    about["frames"][0]["file_path"], about["frames"][1]["file_path"] = "000001.png", "000000.png"
    file.write_text(json.dumps(about))
    with pytest.raises(G3dError, match=r"000022\.png' and '.*000002/000000\.png' have the name .* but other cameras"):
        pair(side(pipeline.data, "true", "test"), side(swapped, "test"))
    assert len(pair(side(pipeline.data, "true", "test"), side(swapped, "test"), any_camera=True).pairs) == 8
    for file in swapped.rglob("transforms.json"):  # of another tool: its world may be turned, so it says nothing
        about = json.loads(file.read_text())
        del about["world_up"]
        file.write_text(json.dumps(about))
    assert len(pair(side(pipeline.data, "true", "test"), side(swapped, "test")).pairs) == 8


def test_a_dataset_pairs_with_itself_and_with_names_of_objects(pipeline: Pipeline, drawn: Path, tmp_path: Path) -> None:
    same = pair(side(pipeline.data, "true", "test"), side(pipeline.data, "test", "test"))
    assert same.naming == "view" and [one.name for one in same.pairs][:2] == ["000006", "000007"]
    named = tmp_path / "named"
    for i in range(4):
        for view in range(2):
            write_image(named / f"cars-{i:05d}" / f"{view:06d}.png", np.zeros((24, 24, 3), np.uint8))
    assert pair(side(pipeline.data, "true", "test"), side(named, "test")).naming == "object/view = file"
    with pytest.raises(G3dError, match="hold no views of the split 'all' of objects 'test'"):
        side(pipeline.data, "the true images", None, "test")


def test_depth_without_a_scale_is_noted_and_not_guessed(tmp_path: Path) -> None:
    a = _folder(tmp_path / "a", "1.png")
    write_image(a / "depth" / "1.png", np.full((6, 5), 1000, np.uint16))
    found = side(a, "true")
    assert found.depth_kind is None and "no depth.json" in found.notes[0]
    (a / "depth" / "depth.json").write_text(
        json.dumps({"depth_scales": {"1.png": 0.002}, "what": "max_weight camera z, so"})
    )
    found = side(a, "true")
    depth = found.schemes["file"]["1"].depth_world
    assert depth is not None and depth()[0, 0] == pytest.approx(2) and found.depth_kind == "max_weight camera z"
    (a / "depth" / "depth.json").write_text("{")
    with pytest.raises(G3dError, match=r"depth\.json' is not valid JSON"):
        side(a, "true")


def test_regions() -> None:
    pixels = np.arange(8 * 10).reshape(8, 10)
    np.testing.assert_array_equal(parse_region("2,1,5,3").crop(pixels, "x"), pixels[1:3, 2:5])
    np.testing.assert_array_equal(parse_region("0.5,0,1,0.25").crop(pixels, "x"), pixels[:2, 5:])
    np.testing.assert_array_equal(parse_region("0,0,1,1").crop(pixels, "x"), pixels)
    for text, words in (("1,2,3", "not understood"), ("a,b,c,d", "not understood"), ("5,1,2,3", "no rectangle"),
                        ("-1,0,2,2", "no rectangle"), ("0.5,0,3,3", "mixes"), ("0,0,nan,1", "no rectangle")):  # fmt: skip
        with pytest.raises(G3dError, match=words):
            parse_region(text)
    with pytest.raises(G3dError, match="0,0,11,4 does not lie in 'x', which is 10 x 8"):
        parse_region("0,0,11,4").crop(pixels, "x")
