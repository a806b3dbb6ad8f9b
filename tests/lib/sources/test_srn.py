"""SRN folders: the same rays and pictures again, with every form of intrinsics; splits; every bad file refused by its name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from g3d.data.opening import open_dataset
from g3d.errors import G3dError
from g3d.sources.srn import KNOWN_FOCAL
from g3d.steps.prepare_data import Options, run
from posed_scene import alike, check_points, scene, write_srn

MADE = alike(scene(7))


def _prepare(source: Path, out: Path, **options: Any) -> Any:
    run(Options("srn", str(source), out, workers=1, **options))
    return open_dataset(out)


def test_the_same_rays_and_pictures(tmp_path: Path) -> None:
    for name in ("car_b", "car_a"):
        write_srn(tmp_path / "in" / name, MADE)
    data = _prepare(tmp_path / "in", tmp_path / "out")
    assert data.object_names == ["car_a", "car_b"] and data.view_object.tolist() == [0] * 7 + [1] * 7
    np.testing.assert_allclose(data.cameras.c2w.numpy()[7:], MADE.c2w, atol=1e-6)
    np.testing.assert_allclose(data.cameras.intrinsics.numpy()[:7], MADE.k, atol=1e-4)
    assert (data.pictures(range(7)) == MADE.rgb).all()
    assert data.info["world"]["source_up"] == [0, 0, 1] and data.camera_prior.distribution == "area"
    check_points(
        data.pictures(range(7)), data.cameras.c2w.double().numpy()[:7], data.cameras.intrinsics.double().numpy()[:7]
    )
    assert len(_prepare(tmp_path / "in", tmp_path / "two", views=2).view_object) == 4


def test_intrinsics_a_view_and_none_at_all(tmp_path: Path) -> None:
    own = scene(4)  # a focal length a view
    data = _prepare(write_srn(tmp_path / "own" / "a", own, intrinsics=False, each=True).parent, tmp_path / "out")
    np.testing.assert_allclose(data.cameras.intrinsics.numpy(), own.k, atol=1e-4)
    shared = write_srn(tmp_path / "shared" / "a", own, each=True)  # for a picture of twice the size
    (shared / "intrinsics.txt").write_text("999. 96. 96. 0.\n0. 0. 0.\n1.\n48 48\n")
    both = _prepare(tmp_path / "shared", tmp_path / "both")
    np.testing.assert_allclose(both.cameras.intrinsics.numpy(), own.k, atol=1e-4)  # those of the view go before
    none = _prepare(write_srn(tmp_path / "none" / "a", MADE, intrinsics=False).parent, tmp_path / "known")
    np.testing.assert_allclose(none.cameras.intrinsics.numpy(), [[KNOWN_FOCAL * 48] * 2 + [24, 24]] * 7, atol=1e-4)
    assert "assumed" in none.info["intrinsics"] and "intrinsics" not in data.info


def test_intrinsics_of_another_resolution_and_size(tmp_path: Path) -> None:
    folder = write_srn(tmp_path / "in" / "a", MADE)
    focal = MADE.k[0, 0]
    (folder / "intrinsics.txt").write_text(f"{2 * focal} 48. 48. 0.\n0. 0. 0.\n1.\n96 96\n")
    data = _prepare(tmp_path / "in", tmp_path / "out", size=24)
    np.testing.assert_allclose(data.cameras.intrinsics.numpy(), [[focal / 2, focal / 2, 12, 12]] * 7, atol=1e-4)
    assert data.pictures([0]).shape == (1, 24, 24, 3)


def _splits(root: Path, names: list[str]) -> Any:
    for name in names:
        write_srn(root / name / f"of_{name}", alike(scene(2, 8, 8)))
    out = root.with_suffix(".out")
    data = _prepare(root, out)
    return {o["name"]: o["split"] for o in data.info["objects"]}


def test_splits(tmp_path: Path) -> None:
    known = _splits(tmp_path / "a", ["cars_train", "cars_val", "cars_test", "cars_train_val", "cars_train_test"])
    assert known == {"of_cars_train": "train", "of_cars_test": "test"}
    assert _splits(tmp_path / "b", ["train", "val"]) == {"of_train": "train", "of_val": "test"}
    for part in ("train", "test"):
        write_srn(tmp_path / "c" / part / "same", alike(scene(2, 8, 8)))
    assert _prepare(tmp_path / "c", tmp_path / "c.out").object_names == ["train/same", "test/same"]


def _poses(text: str) -> Any:
    return lambda folder: (folder / "pose" / "000001.txt").write_text(text)


BAD = {
    "12 numbers": (_poses("1 " * 12), r"000001\.txt' has the size 12 numbers; wanted is 4x4"),
    "words": (_poses("one two"), r"000001\.txt' does not hold numbers alone"),
    "NaN": (_poses("nan " + "0 " * 15), r"000001\.txt' has numbers that are not finite"),
    "singular": (_poses("0 " * 15 + "1"), r"000001\.txt' is singular"),
    "left-handed": (_poses("-1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1"), r"000001\.txt' is left-handed"),
    "pose absent": (lambda f: (f / "pose" / "000001.txt").unlink(), r"000001\.png' has no pose"),
    "picture absent": (lambda f: (f / "rgb" / "000001.png").unlink(), r"000001\.txt' has no picture"),
    "picture cut": (lambda f: (f / "rgb" / "000001.png").write_bytes(b"\x89PNG\r\n"), r"000001\.png'"),
    "no pictures": (lambda f: [p.unlink() for p in (f / "rgb").iterdir()], r"rgb' holds no pictures"),
    "intrinsics": (lambda f: (f / "intrinsics.txt").write_text("12 4\n"), r"intrinsics\.txt' is not SRN's"),
    "focal": (lambda f: (f / "intrinsics.txt").write_text("-5 4 4 0\n1\n8 8\n"), "focal lengths are above 0"),
    "form": (lambda f: (f / "intrinsics.txt").write_text("5 4 4 0\n1\n8 16\n"), r"000000\.png' has the size 8x8.*16x8"),
    "no intrinsics": (lambda f: (f / "intrinsics.txt").unlink(), "bad' has no intrinsics.txt, other objects have one"),
}  # fmt: skip


OF_A_PICTURE = ("12 numbers", "words", "NaN", "singular", "left-handed", "pose absent", "picture absent", "picture cut")


@pytest.mark.parametrize("kind", BAD)
def test_bad_objects_are_refused_by_their_file_or_skipped(tmp_path: Path, kind: str) -> None:
    change, words = BAD[kind]
    change(write_srn(tmp_path / "in" / "bad", alike(scene(2, 8, 8))))
    write_srn(tmp_path / "in" / "good", alike(scene(2, 8, 8)))
    with pytest.raises(G3dError, match=words):
        _prepare(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    data = _prepare(tmp_path / "in", tmp_path / "out", skip_bad=True)
    if kind in OF_A_PICTURE:  # the picture goes, the object stays
        assert (
            data.object_names == ["bad", "good"] and len(data.views(0)) == 1 and not data.info["provenance"]["skipped"]
        )
        assert len(data.info["objects"][0]["left_out"]["frames that cannot be used"]) == 1
    else:
        assert data.object_names == ["good"] and len(data.info["provenance"]["skipped"]) == 1


def test_folders_without_objects(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(G3dError, match="holds no SRN objects"):
        _prepare(tmp_path / "in", tmp_path / "out")
    (tmp_path / "file").write_text("x")
    (tmp_path / "in" / "a" / "rgb").mkdir(parents=True)
    with pytest.raises(G3dError, match="none of the objects has a picture"):
        _prepare(tmp_path / "in", tmp_path / "out")
    with pytest.raises(G3dError, match="is a file; give the folder"):
        _prepare(tmp_path / "file", tmp_path / "out")
