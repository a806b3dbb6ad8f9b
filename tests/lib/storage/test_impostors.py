"""Files that are not what their names say are named as what they are, with the way out, by every reader."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import Pipeline, g3d, refused
from g3d import images
from g3d.errors import G3dError, existing
from g3d.evaluation.shape_files import read_ply
from g3d.importers.splats import read_splats
from g3d.latents import LatentSpace, of_array
from g3d.sources.surfaces.mesh_files import read_surface
from g3d.storage import arrays, artifacts, files, safe_pickle

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
PAGE = b"\n<!DOCTYPE html>\n<html><head><title>404</title></head></html>"
READERS: dict[str, Callable[[Path], Any]] = {
    "a.png": images.read_image, "b.ply": read_splats, "c.ply": read_ply, "d.ply": read_surface, "e.obj": read_surface,
    "f.glb": read_surface, "g.safetensors": artifacts.header, "h.json": lambda p: files.read_json(p, "the cameras"),
    "i.npz": lambda p: arrays.read(p, ("w",)), "j.stl": read_surface, "k.jpg": images.read_image,
}  # fmt: skip


@pytest.mark.parametrize("name", READERS)
def test_pointers_and_pages_are_named(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    for data, words in ((POINTER, "pointer of Git LFS.*git lfs pull"), (PAGE, "web page.*download it again")):
        place.write_bytes(data)
        with pytest.raises(G3dError, match=f"{name}' is a {words}"):
            READERS[name](place)


@pytest.mark.parametrize("suffix", [".splat", ".spz", ".sog", ".ksplat"])
def test_splats_of_other_formats_are_named(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a{suffix}").write_bytes(b"\x1f\x8b" + bytes(64))
    refused(
        g3d("import-ply", tmp_path / f"a{suffix}", "--out", tmp_path / "a.safetensors"), "not read", "save it as PLY"
    )


def test_partial_files_are_never_offered(tmp_path: Path) -> None:
    (tmp_path / ".data.abc.partial").mkdir()
    with pytest.raises(G3dError, match=r"data' does not exist; give"):
        existing(tmp_path / "data", "the dataset")
    (tmp_path / "datas").mkdir()
    with pytest.raises(G3dError, match="did you mean 'datas'"):
        existing(tmp_path / "data", "the dataset")


def test_how_numpy_writes_bytes_in_old_pickles_accuses_nobody(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(
        pickle.dumps({"w": np.arange(300, dtype=np.uint8), "b": b"\xff\x00", "n": 3}, protocol=2)
    )
    found = safe_pickle.load(tmp_path / "a.pkl")
    assert found["n"] == 3 and found["b"] == b"\xff\x00"


SPACES = {"w": LatentSpace.codes("w", 4), "w+": LatentSpace.codes("w+", 3, 4)}
W, PLUS = np.arange(4.0), np.arange(12.0).reshape(3, 4)


@pytest.mark.parametrize(("space", "given", "wanted"), [
    ("w", W, W[None]), ("w", np.stack([W, W + 1]), np.stack([W, W + 1])), ("w", np.tile(W, (1, 3, 1)), W[None]),
    ("w+", PLUS, PLUS[None]), ("w+", PLUS[None], PLUS[None]), ("w+", W, np.tile(W, (1, 3, 1))),
])  # fmt: skip
def test_codes_of_other_programs(space: str, given: Any, wanted: Any) -> None:
    found = of_array(given.astype(np.float32), SPACES[space], Path("a.npz"))
    assert found.codes.numpy().tolist() == wanted.tolist() and len(found) == len(wanted)


@pytest.mark.parametrize(("space", "given"), [("w", PLUS[None]), ("w", np.zeros((2, 5))), ("w+", np.zeros((1, 2, 4)))])
def test_codes_that_do_not_fit_are_refused(space: str, given: Any) -> None:
    with pytest.raises(G3dError, match="this model takes"):
        of_array(given.astype(np.float32), SPACES[space], Path("a.npz"))


@pytest.mark.parametrize("kind", ["npz", "npy", "pt"])
def test_decode_reads_the_codes_of_projectors(pipeline: Pipeline, tmp_path: Path, kind: str) -> None:
    codes = artifacts.read(pipeline.model / "latents.safetensors", "latents").values["codes"]
    place = tmp_path / f"projected_w.{kind}"
    match kind:
        case "npz":
            np.savez(place, w=codes.numpy(), steps=np.arange(3))
        case "npy":
            np.save(place, codes.numpy())
        case _:
            torch.save({"w": codes}, place)
    for source, out in ((place, "a"), (pipeline.model, "b")):
        done = g3d("decode", pipeline.model, source, "--items", "1", "--device", "cpu", "--out", tmp_path / out)
        assert done.code == 0, done.err
    first, second = (artifacts.read(tmp_path / n / "000001.safetensors", "scene").values for n in "ab")
    assert first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)
    np.savez(tmp_path / "x.npz", u=W, v=W)
    refused(g3d("decode", pipeline.model, tmp_path / "x.npz", "--out", tmp_path / "c"), "holds the arrays u, v")


def test_a_pickle_in_an_array_file_is_not_executed(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    torch.save({"w": Path("x")}, tmp_path / "b.pt")
    for name in ("a.npy", "b.pt"):
        with pytest.raises(G3dError, match=r"the file of arrays .* cannot be read"):
            arrays.read(tmp_path / name, ("w",))


def test_a_tensor_without_strides_fills_no_memory(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(1).expand(1 << 40)}, tmp_path / "w.pt")
    assert (tmp_path / "w.pt").stat().st_size < 4096
    with pytest.raises(G3dError, match="holds 1099511627776 numbers as 'w'; at most"):
        arrays.read(tmp_path / "w.pt", ("w",))
