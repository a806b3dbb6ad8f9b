"""Arrays of strangers: what unpacks to more than there is memory, states what it does not hold, or lies in other files."""

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from g3d.errors import G3dError
from g3d.evaluation import extractor_file, shape_files
from g3d.sources.depth import files as depth_files
from g3d.sources.faces import model as face_model
from g3d.sources.portraits import labels
from g3d.sources.posed import colmap_files
from g3d.sources.voxels import imnet
from g3d.storage import arrays, files, manifest, torchscript


def npy(shape: str = "(2, 3)", data: bytes = bytes(24), descr: str = "'<f4'") -> bytes:
    """The bytes of an .npy file by hand."""
    head = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data


DAMAGED = {
    "nothing": b"",
    "no header": b"\x93NUMPY\x01\x00\xff\x00",
    "no Python": npy(shape="((((("),
    "deep": npy(shape="(" * 5000 + ")" * 5000),
    "another name": npy(shape="x"),
    "no numbers": npy(shape="(None, 2)"),
    "negative": npy(shape="(-2, 3)"),
    "more than memory": npy(shape="(1 << 50, 3)".replace("1 << 50", str(1 << 50))),
    "too short": npy(data=bytes(20)),
    "a pickle": npy(descr="'|O'"),
    "odd numbers": npy(descr="'<q9'"),
    "a number of 5,000 digits": npy(shape=f"({'9' * 5000},)"),
    "a member that is cut": npy(data=bytes(24))[:40],
}
READERS: dict[str, Callable[[Path], object]] = {
    "decode": lambda path: arrays.read(path, ()),
    "eval-shapes": shape_files._array,
    "depth": lambda path: depth_files.read_map(path, 8, 8),
    "portraits": labels.landmarks,
    "decode, zipped": lambda path: arrays.read(zipped(path), ()),
    "eval-shapes, zipped": lambda path: shape_files._array(zipped(path)),
    "faces, zipped": lambda path: face_model._arrays(zipped(path)),
}


def zipped(path: Path) -> Path:
    """The same in an .npz, under every name that the readers ask for."""
    with zipfile.ZipFile(path.with_suffix(".npz"), "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("points", *face_model._SHAPES):
            archive.writestr(f"{name}.npy", path.read_bytes())
    return path.with_suffix(".npz")


@pytest.mark.parametrize("reader", list(READERS))
def test_damaged_arrays_are_a_sentence(reader: str, tmp_path: Path) -> None:
    for number, (name, data) in enumerate(DAMAGED.items()):
        path = tmp_path / f"{number}.npy"
        path.write_bytes(data)
        with pytest.raises(G3dError) as caught:
            READERS[reader](path)
        assert str(path.with_suffix("")) in str(caught.value) and "write it again" in str(caught.value), name


def test_sound_arrays_are_what_numpy_wrote(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    np.save(tmp_path / "a.npy", points)
    np.savez_compressed(tmp_path / "b.npz", points=points, other=points + 1)
    for found in (arrays.read(tmp_path / "a.npy", ()), arrays.read(tmp_path / "b.npz", ("points",)),
                  shape_files._array(tmp_path / "a.npy"), shape_files._array(tmp_path / "b.npz")):  # fmt: skip
        np.testing.assert_array_equal(found, points)
    assert list(arrays.npz(tmp_path / "b.npz", ["other", "third"])) == ["other"]
    assert npy(data=points.tobytes())[-24:] == (tmp_path / "a.npy").read_bytes()[-24:]
    (tmp_path / "c.npy").write_bytes(npy(data=points.tobytes()))
    np.testing.assert_array_equal(
        arrays.read(tmp_path / "c.npy", ()), points
    )  # so DAMAGED fails by what it is named for


@pytest.mark.parametrize("change", ["bits", "encrypted", "method", "bomb"])
def test_damaged_zips_of_arrays_are_a_sentence(change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, points=np.random.default_rng(0).normal(size=(50, 3)))
    data = bytearray(path.read_bytes())
    listed = data.index(b"PK\x01\x02")
    match change:
        case "bits":
            data[80:400:7] = bytes(byte ^ 255 for byte in data[80:400:7])
        case "encrypted":
            data[6] |= 1
            data[listed + 8] |= 1
        case "method":
            data[8] = data[listed + 10] = 99
        case "bomb":
            monkeypatch.setattr(arrays, "_UNPACKED_MOST", 1000)
    path.write_bytes(data)
    for read in (lambda: arrays.read(path, ()), lambda: shape_files._array(path), lambda: arrays.npz(path, ["points"])):
        with pytest.raises(G3dError, match=r"a\.npz.*(write it again|write the zip again|give fewer)"):
            read()


def solids(path: Path, **more: object) -> h5py.File:
    """A file of IM-Net's of three shapes, to which `more` is changed."""
    file = h5py.File(path, "w")
    for name, shape in (("voxels", (3, 64, 64, 64, 1)), ("points_64", (3, 9, 3)), ("values_64", (3, 9, 1))):
        if name not in more:
            file.create_dataset(name, shape, np.uint8)
    return file


def test_hdf5_reads_no_other_file(tmp_path: Path) -> None:
    secret = tmp_path / "elsewhere" / "secret.bin"
    secret.parent.mkdir()
    secret.write_bytes(bytes(27))
    with solids(secret.with_suffix(".h5")):
        pass
    with solids(tmp_path / "sound.h5"):
        pass
    assert imnet._table(tmp_path / "sound.h5").shapes == 3
    shape = (3, 9, 1)
    with solids(tmp_path / "a.h5", values_64=0) as file:
        file.create_dataset("values_64", shape, np.uint8, external=[(str(secret), 0, 27)])
    with solids(tmp_path / "b.h5", values_64=0) as file:
        file["values_64"] = h5py.ExternalLink(str(secret.with_suffix(".h5")), "values_64")
    with solids(tmp_path / "c.h5", values_64=0) as file:
        layout = h5py.VirtualLayout(shape, np.uint8)
        layout[:] = h5py.VirtualSource(str(secret.with_suffix(".h5")), "values_64", shape)
        file.create_virtual_dataset("values_64", layout)
    for name in "abc":
        with pytest.raises(G3dError, match=f"'values_64' of .*{name}.h5' lies in another file"):
            imnet._table(tmp_path / f"{name}.h5")


def test_hdf5_that_states_more_than_it_holds(tmp_path: Path) -> None:
    """A file of a few kilobytes: nothing is stored where nothing was written."""
    for name, count, chunk in (("many", 10**12, 1), ("large", 3000, 2000)):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file.create_dataset("voxels", (count, 64, 64, 64, 1), np.uint8, chunks=(chunk, 64, 64, 64, 1))
            for points, last in (("points_64", 3), ("values_64", 1)):
                file.create_dataset(points, (count, 9, last), np.uint8, chunks=(1, 9, last))
        assert (tmp_path / f"{name}.h5").stat().st_size < 1 << 20
        with pytest.raises(G3dError, match=r"states \d+ shapes in blocks of \d+ bytes"):
            imnet._table(tmp_path / f"{name}.h5")


def test_damaged_hdf5_is_a_sentence(tmp_path: Path) -> None:
    """Every byte of the headers is changed, one after the other: it is refused by its name, or read."""
    with solids(tmp_path / "whole.h5"):
        pass
    whole, refused = (tmp_path / "whole.h5").read_bytes(), 0
    for at in range(0, len(whole), 7):
        data = bytearray(whole)
        data[at] ^= 0x55
        (tmp_path / "a.h5").write_bytes(data)
        try:
            table = imnet._table(tmp_path / "a.h5")
            imnet._block.cache_clear()
            imnet._block(table, 0)
        except G3dError as error:
            assert str(tmp_path / "a.h5") in str(error)
            refused += 1
    assert refused > 20


def test_models_of_colmap_that_state_more_than_they_hold(tmp_path: Path) -> None:
    (tmp_path / "cameras.bin").write_bytes(struct.pack("<Q", 0))
    for data in (struct.pack("<Q", 1 << 60) + bytes(1 << 12), b"", struct.pack("<Q", 1) + b"\1" * (1 << 14)):
        (tmp_path / "images.bin").write_bytes(data)
        with pytest.raises(G3dError, match=r"images\.bin' is not a file of COLMAP that can be read"):
            colmap_files.read_model(tmp_path)


def test_onnx_files_name_no_others(tmp_path: Path) -> None:
    """TensorProto.external_data (13) holds pairs of a key (1) and a value (2)."""
    entry = b"\x0a\x08location\x12\x0b/etc/passwd"
    (tmp_path / "net.onnx").write_bytes(b"\x3a\x20\x2a\x1e\x6a" + bytes([len(entry)]) + entry + b"\x70\x01")
    with pytest.raises(G3dError, match="keeps weights in other files"):
        extractor_file._refuse_weights_elsewhere(tmp_path / "net.onnx")
    for data in (b"", b"\x0a\x08location"):
        (tmp_path / "net.onnx").write_bytes(data)
        extractor_file._refuse_weights_elsewhere(tmp_path / "net.onnx")


def test_a_large_file_that_is_no_torchscript_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch would look for the end of a zip through all of it: 60 s for 3 GB."""
    with (tmp_path / "net.pt").open("wb") as stream:
        stream.truncate(3 << 30)

    def never(*words: object) -> str:
        raise AssertionError("it must not be read")

    monkeypatch.setattr(files, "file_digest", never)
    for trust in (True, False):
        with pytest.raises(G3dError, match=r"net\.pt' are not a TorchScript file"):
            torchscript.trusted_digest(tmp_path / "net.pt", trust, {})
    with pytest.raises(G3dError, match=r"net\.pt' are not a TorchScript file"):
        torchscript.load(tmp_path / "net.pt", "cpu", True, {})


def test_a_manifest_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / manifest.MANIFEST).open("wb") as stream:
        stream.truncate(3 << 30)
    assert manifest.foreign(tmp_path) == [manifest.MANIFEST]
