"""Inverse depth added to a dataset: exact, from files, from an estimator; everything else stays as it was."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from g3d import images
from g3d.data.dataset import Dataset
from g3d.data.opening import open_dataset
from g3d.errors import G3dError
from g3d.progress import SILENT
from g3d.sources import Collection, Item, Made, Request, View, depth
from g3d.sources.writing.collection import Plan, write
from g3d.steps.prepare_data import Options, run
from g3d.storage import torchscript
from torch import Tensor

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
]
W, H, SCALE = 12, 10, 1e-3


def scene(number: int, views: int) -> Made:
    """`views` pictures with every column, layer and shape that a dataset can have."""
    draw = np.random.default_rng(number)

    def noise(*shape: int) -> np.ndarray:
        return draw.integers(0, 256, shape).astype(np.uint8)

    found = []
    for _ in range(views):
        far = draw.integers(1500, 4000, (H, W)).astype(np.uint16)
        far[:3] = 0  # nothing was hit
        layers = (noise(H, W, 3), noise(H, W), far, noise(H, W, 3))
        found.append(View(*(images.encode(layer) for layer in layers)))
    columns = {
        "c2w": np.repeat(np.eye(4)[None], views, 0) + draw.random((views, 4, 4)), "intrinsics": draw.uniform(5, 9, (views, 4)),
        "split": (np.arange(views) % 2).astype(np.uint8), "class": np.full(views, number), "subject": np.full(views, 7),
        "expression": np.arange(views), "landmarks": draw.uniform(0, 9, (views, 68, 2)),
    }  # fmt: skip
    shape = {"occupancy_bits": noise(64), "points": draw.random((5, 3)), "labels": noise(5) % 2}
    return Made(
        found, columns, shape, {"file": f"in/{number}.glb", "scale": 0.5, "split": "test" if number == 2 else "train"}
    )


SAYS = {
    "bounds": [[-1, -2, -3], [1, 2, 3]], "depth_scale": SCALE, "shape_bounds": [[-2, -2, -2], [2, 2, 2]],
    "normalisation": "as it was", "world": {"source_up": [0, 0, 1]},
    "camera_prior": {"radius_world": 4.0, "fov_deg": 40.0, "width": W, "height": H},
}  # fmt: skip


def whole(folder: Path, views: int = 2, zipped: bool = False, **more: Any) -> Dataset:
    folder.mkdir(parents=True)
    items = [Item(f"things/t{i}", lambda i=i: scene(i, views)) for i in range(3)]
    names = {"class": ["a", "b", "c"]}
    collection = Collection("toy", items, "CC0", {}, W, H, (0.0, 0.0, 0.0), lambda _: {**SAYS, **more}, names)
    write(folder, collection, Plan("toy", 5, None, 0, zipped, False, 1), SILENT)
    return open_dataset(folder)


def plain(folder: Path, names: list[str]) -> Dataset:
    """A picture an object, and nothing beside."""
    folder.mkdir(parents=True)
    pixels = [np.random.default_rng(i).integers(0, 256, (H, W, 3)).astype(np.uint8) for i in range(len(names))]
    items = [Item(name, lambda p=p: Made([View(images.encode(p))])) for name, p in zip(names, pixels, strict=True)]
    write(folder, Collection("toy", items, "CC0", {}, W, H), Plan("toy", 0, None, 0, False, False, 1), SILENT)
    return open_dataset(folder)


def deepened(old: Dataset, out: Path, **options: Any) -> Dataset:
    run(Options("depth", str(old.path), out, workers=1, **options))
    return open_dataset(out)


@pytest.mark.parametrize("zipped", [False, True])
def test_exact_inverse_depth_and_all_else_as_it_was(zipped: bool, tmp_path: Path) -> None:
    old = whole(tmp_path / "old", zipped=zipped)
    new = deepened(old, tmp_path / "new")
    for view in range(6):
        far = old.depth_world(view)
        assert (far == 0).sum() == 3 * W
        exact = np.where(far > 0, 1 / np.where(far > 0, far, 1), 0)
        np.testing.assert_allclose(new.inverse_depth(view), exact, atol=exact.max() / 65535)
        for kind in ("images", "masks", "depth", "normals"):
            assert new.raw(kind, view) == old.raw(kind, view) is not None
    assert new.cameras is not None and old.cameras is not None
    assert torch.equal(new.cameras.c2w, old.cameras.c2w) and torch.equal(new.cameras.intrinsics, old.cameras.intrinsics)
    assert new.view_object.tolist() == [0, 0, 1, 1, 2, 2] and new.view_split.tolist() == [0, 1] * 3
    assert new.labels.keys() - old.labels.keys() == {"inverse_depth_range"} and len(old.labels) == 4
    for name, values in old.labels.items():
        assert torch.equal(new.labels[name], values), name
    for number in range(3):
        assert new.shape_arrays(number).keys() == {"occupancy_bits", "points", "labels"}
        for name, values in old.shape_arrays(number).items():
            np.testing.assert_array_equal(new.shape_arrays(number)[name], values)
    for key in (
        *SAYS,
        "name",
        "objects",
        "background",
        "licence",
        "names",
        "views",
        "width",
        "height",
        "mean_image_psnr_db",
    ):
        assert new.info[key] == old.info[key], key
    of = new.info["provenance"]["settings"]["of"]
    assert of == {"digest": old.digest, "provenance": old.info["provenance"]}
    assert new.bounds == old.bounds and new.camera_prior == old.camera_prior and new.digest != old.digest


def test_a_second_time_replaces_it(tmp_path: Path) -> None:
    once = deepened(whole(tmp_path / "old"), tmp_path / "one")
    again = deepened(once, tmp_path / "two")
    assert again.digest == once.digest and again.raw("inverse_depth", 3) == once.raw("inverse_depth", 3)


def test_steps_span_the_picture() -> None:
    steps, (low, high) = depth.quantised(np.array([[0.25, 0.5], [1.25, 2.25]], np.float32))
    assert steps.tolist() == [[0, 8192], [32768, 65535]] and (low, high) == (0.25, 2.25)
    flat, ends = depth.quantised(np.full((2, 2), 0.5, np.float32))
    assert flat.tolist() == [[0, 0], [0, 0]] and ends == (0.5, 0.5)


def test_files_by_the_number_of_the_view(tmp_path: Path) -> None:
    """PNG of 16 and 8 bits as shares of the largest step, .npy as it is; a file of twice the size is resized."""
    old, folder = whole(tmp_path / "old"), tmp_path / "in"
    ramp = np.linspace(0, 1, H * W).reshape(H, W)
    images.write_image(folder / "000000.png", (ramp * 65535 + 0.5).astype(np.uint16))
    images.write_image(folder / "000001.png", (ramp * 255 + 0.5).astype(np.uint8))
    np.save(folder / "000002.npy", ramp * 7 - 3)
    np.save(folder / "000003.npy", (ramp * 7 - 3)[None].astype(np.float16))
    np.save(folder / "000004.npy", ramp.repeat(2, 0).repeat(2, 1).astype(np.float32))
    np.save(folder / "000005.npy", np.full((H, W), 4, np.int64))
    new = deepened(old, tmp_path / "new", files=folder)
    wanted = [ramp, ramp, ramp * 7 - 3, ramp * 7 - 3, ramp, np.full((H, W), 4.0)]
    for view, (values, error) in enumerate(zip(wanted, (1e-4, 3e-3, 2e-4, 5e-3, None, 0), strict=True)):
        if error is not None:
            np.testing.assert_allclose(new.inverse_depth(view), values, atol=error, err_msg=str(view))
        else:  # averaged: at the rim the mean of fewer
            np.testing.assert_allclose(new.inverse_depth(view)[1:-1, 1:-1], values[1:-1, 1:-1], atol=2e-2)
    assert new.info["provenance"]["settings"]["way"] == "files"


def test_files_by_the_name_of_the_object(tmp_path: Path) -> None:
    """Also where the names are numbers that begin at 1: the file 000001 is that of the object 000001, not of view 1."""
    for names in (["x/p", "x/q.jpg", "z"], ["000001", "000002", "000003"]):
        old, folder = plain(tmp_path / names[0] / "old", names), tmp_path / names[0] / "in"
        for i, name in enumerate(names):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            values = np.full((H, W), float(i + 1))
            values[0, 0] = 0
            with (folder / f"{name}.npy").open("wb") as stream:
                np.save(stream, values)
        new = deepened(old, tmp_path / names[0] / "new", files=folder)
        assert [float(new.inverse_depth(v)[5, 5]) for v in range(3)] == [1, 2, 3]
        assert new.cameras is None and new.object_names == names
    (folder / "000003.npy").unlink()  # now 000001 and 000002 fit either way
    with pytest.raises(G3dError, match="equally well"):
        deepened(old, tmp_path / "no", files=folder)


def saved(values: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, **options)
    return buffer.getvalue()


GOOD = saved(np.ones((H, W)))


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("000001.npy", saved(np.full((H, W), np.nan)), "not finite"),
        ("000001.npy", saved(np.ones((H, W, 3))), r"float64 of shape \[10, 12, 3\]"),
        ("000001.npy", saved(np.ones((H, 2 * W))), "the size 24x10"),
        ("000001.npy", saved(np.array(["a"])), "wanted are numbers"),
        ("000001.npy", saved(np.array([[{}]], dtype=object), allow_pickle=True), "cannot be read"),
        ("000001.npy", GOOD[:200], "cannot be read"),
        ("000001.npy", b"PK\3\4 no array", "cannot be read"),
        ("000001.png", images.encode(np.zeros((H, W, 3), np.uint8)), "mode RGB; wanted is grey"),
        ("000001.png", b"<html>", "is a web page"),
        (
            "000009.npy",
            GOOD,
            r"picture 000001 of '.*old' \(object 'q'\).* neither '.*in/000001.npy' nor '.*in/000001.png' is "
            "there; 1 of 2 pictures lack it",
        ),
    ],
)
def test_bad_files_are_named(name: str, data: bytes, words: str, tmp_path: Path) -> None:
    old = plain(tmp_path / "old", ["p", "q"])
    (tmp_path / "in").mkdir()
    (tmp_path / "in/000000.npy").write_bytes(GOOD)
    (tmp_path / "in" / name).write_bytes(data)
    with pytest.raises(G3dError, match=words) as caught:
        deepened(old, tmp_path / "new", files=tmp_path / "in")
    assert "000001" in str(caught.value)
    new = deepened(old, tmp_path / "new", files=tmp_path / "in", skip_bad=True)
    assert new.object_names == ["p"] and len(new.info["provenance"]["skipped"]) == 1


def test_all_files_are_looked_for_before_the_first_map_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = whole(tmp_path / "old")
    (tmp_path / "in").mkdir()
    for view in range(old.info["views"] - 2):
        (tmp_path / "in" / f"{view:06d}.npy").write_bytes(GOOD)
    monkeypatch.setattr(depth, "make", lambda *_: pytest.fail("a map was made"))
    last = old.info["views"] - 2
    with pytest.raises(G3dError, match=rf"the picture {last:06d} .* 2 of {last + 2} pictures lack it"):
        deepened(old, tmp_path / "new", files=tmp_path / "in")
    assert not (tmp_path / "new").exists()


class Ramp(torch.nn.Module):
    """2 r + g of the picture, at half its size; what it was given is told by its shape."""

    def __init__(self, leading: int, bad: bool):
        super().__init__()
        self.leading, self.bad = leading, bad

    def forward(self, x: Tensor) -> Tensor:
        y = torch.nn.functional.avg_pool2d(2 * x[:, 0:1] + x[:, 1:2], 2)
        if self.bad and bool(x.std() > 0.1):
            y = y / 0
        return y if self.leading == 2 else y[0]


def scripted(path: Path, leading: int = 2, bad: bool = False) -> Path:
    torch.jit.script(Ramp(leading, bad)).save(str(path))
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("norm", "leading"), [("half", 2), ("imagenet", 1), ("none", 2)])
def test_an_estimator_gives_the_known_function(norm: str, leading: int, tmp_path: Path) -> None:
    """Of pictures that are smooth, so that resizing there and back loses little."""
    y, x = np.mgrid[:H, :W]
    picture = np.stack([x * 20, y * 25, 0 * x], -1).astype(np.uint8)
    (tmp_path / "old").mkdir()
    items = [Item("p", lambda: Made([View(images.encode(picture))]))]
    write(tmp_path / "old", Collection("toy", items, "CC0", {}, W, H), Plan("toy", 0, None, 0, False, False, 1), SILENT)
    network = scripted(tmp_path / "net.pt", leading)
    new = deepened(
        open_dataset(tmp_path / "old"), tmp_path / "new", estimator=network, trust=True, estimator_size=48, estimator_norm=norm,
        device="cpu",
    )  # fmt: skip
    r, g = picture[..., 0] / 255, picture[..., 1] / 255
    wanted = {
        "half": 2 * (r - 0.5) / 0.5 + (g - 0.5) / 0.5,
        "imagenet": 2 * (r - 0.485) / 0.229 + (g - 0.456) / 0.224,
        "none": 2 * r + g,
    }[norm]
    np.testing.assert_allclose(
        new.inverse_depth(0)[1:-1, 1:-1], wanted[1:-1, 1:-1], atol=0.02 * np.ptp(wanted), err_msg=norm
    )
    settings = new.info["provenance"]["settings"]
    assert settings["way"] == "estimator" and settings["estimator"] == "net.pt" and len(settings["sha256"]) == 64


@pytest.mark.slow
def test_workers_give_the_same_bytes(tmp_path: Path) -> None:
    old, network = whole(tmp_path / "old"), scripted(tmp_path / "net.pt")
    options = {"estimator": network, "trust": True, "estimator_size": 32, "device": "cpu"}
    one = deepened(old, tmp_path / "one", **options)
    run(Options("depth", str(old.path), tmp_path / "two", workers=2, **options))
    assert open_dataset(tmp_path / "two").digest == one.digest


def test_code_runs_only_when_it_is_known_or_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, network = plain(tmp_path / "old", ["p"]), scripted(tmp_path / "net.pt")
    with pytest.raises(G3dError, match=r"net\.pt' are not of a known origin .*found sha256 [0-9a-f]{64}.*--trust"):
        deepened(old, tmp_path / "new", estimator=network, device="cpu")
    digest = torchscript.trusted_digest(network, True, {})
    monkeypatch.setattr(torchscript, "DEPTH_ESTIMATORS", {digest: "net"})
    assert deepened(old, tmp_path / "new", estimator=network, estimator_size=32, device="cpu").info["views"] == 1
    with pytest.raises(G3dError, match=r"not the known other with abc \(found"):
        torchscript.load(network, "cpu", False, {"abc": "other"})
    (tmp_path / "no.pt").write_bytes(b"no network")
    with pytest.raises(G3dError, match=r"no\.pt' are not a TorchScript file"):
        deepened(old, tmp_path / "not", estimator=tmp_path / "no.pt", trust=True, device="cpu")
    with pytest.raises(G3dError, match=r"gone\.pt' does not exist"):
        deepened(old, tmp_path / "not", estimator=tmp_path / "gone.pt", trust=True, device="cpu")
    torch.save({"weights": torch.zeros(2)}, tmp_path / "pickle.pt")  # a pickle: never opened as one
    with pytest.raises(G3dError, match=r"pickle\.pt' are not a TorchScript file"):
        deepened(old, tmp_path / "not", estimator=tmp_path / "pickle.pt", trust=True, device="cpu")


class Odd(torch.nn.Module):
    def __init__(self, kind: int):
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == 0:
            return x
        if self.kind == 1:
            return x.mean((1, 2, 3))
        return x.reshape(1, 3, 5, -1)[:, 0]


def test_a_network_of_another_kind(tmp_path: Path) -> None:
    old = plain(tmp_path / "old", ["p"])
    for kind, words in (
        (0, r"returns \[1, 3, 32, 32\]"),
        (1, r"returns \[1\]"),
        (2, "fails on a grey picture of shape"),
    ):
        torch.jit.script(Odd(kind)).save(str(tmp_path / f"{kind}.pt"))
        with pytest.raises(G3dError, match=words) as caught:
            deepened(
                old, tmp_path / "new", estimator=tmp_path / f"{kind}.pt", trust=True, estimator_size=32, device="cpu"
            )
        assert f"{kind}.pt" in str(caught.value)
    with pytest.raises(G3dError, match=r"not finite for view 000000 of .*old"):
        deepened(
            old,
            tmp_path / "new",
            estimator=scripted(tmp_path / "nan.pt", bad=True),
            trust=True,
            estimator_size=32,
            device="cpu",
        )
    assert not (tmp_path / "new").exists()


def test_what_cannot_be(tmp_path: Path) -> None:
    bare = plain(tmp_path / "bare", ["p"])
    (tmp_path / "in").mkdir()

    def collected(path: Path, **options: Any) -> Collection:
        return depth.collect(Request(str(path), depth.Options(**options)))

    for options, words in (
        ({}, "has no depth that could be inverted"),
        ({"files": tmp_path / "in"}, "holds inverse depth of none of the views"),
        ({"files": tmp_path / "gone"}, "does not exist"),
        ({"files": tmp_path / "in", "estimator": tmp_path / "in"}, "give one of them"),
        ({"files": tmp_path / "in", "trust": True}, "--trust is for an --estimator"),
        ({"estimator_size": 64}, "--estimator-size is for an --estimator"),
        ({"estimator": tmp_path / "in", "trust": True}, "are a folder"),
        ({"estimator": tmp_path / "in", "estimator_norm": "whole"}, "half, imagenet, none"),
    ):
        with pytest.raises(G3dError, match=words):
            collected(bare.path, **options)
    with pytest.raises(G3dError, match="needs the dataset"):
        depth.collect(Request(None, depth.Options()))
    with pytest.raises(G3dError, match="not a dataset folder"):
        collected(tmp_path / "in")
    for name in ("a.png", "a.npy"):
        (tmp_path / "in" / name).write_bytes(b"")
    with pytest.raises(G3dError, match="both inverse depth of 'a'"):
        collected(bare.path, files=tmp_path / "in")
