"""The table of file formats: what is written reads back, and everything else is refused in one sentence."""

import json
import random
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from g3d import __version__
from g3d.errors import Failure, G3dError
from g3d.storage import artifacts, files, formats
from safetensors.torch import save_file
from torch import Tensor

WORLD = {"scene": "gaussians", "world": {}}
CONFIGS: dict[str, dict[str, Any]] = {
    "cameras": {"width": 4, "height": 4},
    "labels": {"names": {}},
    "shapes": {"bounds": [[-1, -1, -1], [1, 1, 1]], "cells": 4},
    "latents": {"space": "z", "names": ["a", "b", "c"]},
    "model": {"method": "m", "settings": {}, "latent_space": "z", "world": {}},
    "state": {"step": 1, "settings": {}},
    "prior": {"kind": "k", "settings": {}, "latent_space": "z"},
    "refiner": {"kind": "k", "settings": {}, "pictures": {}},
    "scene/gaussians": WORLD,
    "scene/mlp_field": {"scene": "mlp_field", "world": {}, "signal": "radiance", "network": {}},
    "scene/triplane": {"scene": "triplane", "world": {}, "contraction": "none"},
    "disparity": {"near_world": 0.5, "far_world": 10.0},
    "features": {"extractor": "e"},
}
SIZES = {"V": 2, "N": 3, "B": 8, "P": 5, "S": 6, "K": 4, "C": 2, "H": 3, "W": 3, "D": 7, "*": 2}
TORCH = {"F32": torch.float32, "U8": torch.uint8, "I64": torch.int64}


def whole(kind: str) -> dict[str, Tensor]:
    """Every tensor of an artifact, optional ones too, filled with ones."""
    found = {}
    for pattern, rule in formats.ARTIFACTS[kind].tensors.items():
        shape = [int(s) if s.isdigit() else SIZES[s] for s in rule.shape.replace("...", "2").split()]
        found[pattern.replace("*", "0")] = torch.ones(shape, dtype=TORCH[rule.dtypes[0]])
    return found


def write_raw(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> Path:
    """A file that our own writer would refuse."""
    save_file(dict(tensors), path, {"g3d": json.dumps(meta)})
    return path


def meta_of(kind: str, **changes: Any) -> dict[str, Any]:
    name, version = kind.split("/")[0], formats.ARTIFACTS[kind].version
    plain = {"format": f"g3d/{name}@{version}", "config": CONFIGS[kind], "seed": None, "version": "0", "parents": {}}
    return {**plain, "digest": "", **changes}


def sentence(path: Path, *kinds: str) -> str:
    with pytest.raises(G3dError) as caught:
        artifacts.read(path, *kinds)
    assert caught.value.exit_code == 2 and str(path) in str(caught.value)
    return str(caught.value)


def test_every_artifact_of_the_table_has_an_example_here() -> None:
    assert set(CONFIGS) == set(formats.ARTIFACTS)


@pytest.mark.parametrize("kind", CONFIGS)
def test_what_is_written_reads_back(kind: str, tmp_path: Path) -> None:
    tensors = whole(kind)
    digest = artifacts.write(tmp_path / "a", kind, tensors, CONFIGS[kind], seed=7, parents={"data": "sha256:x"})
    found = artifacts.read(tmp_path / "a", kind.split("/")[0])
    assert (found.kind, found.seed, found.parents, found.digest) == (kind, 7, {"data": "sha256:x"}, digest)
    assert found.config == CONFIGS[kind] and found.version == __version__
    assert found.values.keys() == tensors.keys() and len(tensors) > 0
    for name, value in tensors.items():
        assert torch.equal(found.values[name], value) and found.values[name].dtype == value.dtype


def test_dtypes_and_odd_shapes_read_back(tmp_path: Path) -> None:
    tensors = {
        "half": torch.tensor([1.5], dtype=torch.float16), "brain": torch.tensor([1.5], dtype=torch.bfloat16),
        "double": torch.tensor(1 / 3, dtype=torch.float64), "none": torch.zeros(0, 3), "i": torch.tensor([[-5]]),
        "turned": torch.arange(6.0).view(2, 3).T, "parameter": torch.nn.Parameter(torch.ones(2)),
    }  # fmt: skip
    artifacts.write(tmp_path / "a", "state", tensors, CONFIGS["state"])
    found = artifacts.read(tmp_path / "a", "state").values
    for name, value in tensors.items():
        assert torch.equal(found[name], value) and found[name].dtype == value.dtype and found[name].shape == value.shape


def test_one_tensor_under_two_names(tmp_path: Path) -> None:
    base = torch.arange(6.0)
    tensors = {"a": base, "b": base, "c": base[2:], "d": base[:3]}
    artifacts.write(tmp_path / "a", "state", tensors, CONFIGS["state"])
    found = artifacts.read(tmp_path / "a", "state").values
    assert all(torch.equal(found[n], tensors[n]) for n in "abcd")


def test_same_arguments_same_bytes(tmp_path: Path) -> None:
    tensors = whole("scene/gaussians")
    for name, items in (("a", tensors.items()), ("b", reversed(tensors.items()))):
        artifacts.write(tmp_path / name, "scene/gaussians", dict(items), WORLD, seed=3)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    artifacts.write(tmp_path / "c", "scene/gaussians", tensors, WORLD, seed=4)
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_metadata_is_one_key_of_sorted_json(tmp_path: Path) -> None:
    artifacts.write(tmp_path / "a", "latents", {"codes": torch.zeros(1, 2)}, {"space": "z", "names": ["é"], "a": 1})
    data = (tmp_path / "a").read_bytes()
    table = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])
    assert list(table["__metadata__"]) == ["g3d"]
    text = table["__metadata__"]["g3d"]
    meta = json.loads(text)
    assert text == json.dumps(meta, sort_keys=True)
    assert sorted(meta) == ["config", "digest", "format", "parents", "seed", "version"]  # no time stamp
    assert meta["format"] == "g3d/latents@1"


def test_digest_follows_values_names_shapes_and_dtypes_alone(tmp_path: Path) -> None:
    def digest(tensors: dict[str, Tensor], **more: Any) -> str:
        return artifacts.write(tmp_path / "a", "prior", tensors, CONFIGS["prior"], **more)

    first = {"a": torch.arange(4.0), "b": torch.zeros(2)}
    same = digest(first)
    assert same.startswith("sha256:") and len(same) == 7 + 64
    assert digest(first, seed=5, parents={"x": "y"}) == same
    others = [
        {"a": torch.tensor([0.0, 1, 2, 3.0000002]), "b": torch.zeros(2)},
        {"c": torch.arange(4.0), "b": torch.zeros(2)},
        {"a": torch.arange(4.0).view(2, 2), "b": torch.zeros(2)},
        {"a": torch.arange(4.0), "b": torch.zeros(2, dtype=torch.int32)},
        {"a": torch.zeros(2), "b": torch.arange(4.0)},
        {"a": torch.arange(4.0)},
    ]
    assert len({same, *(digest(o) for o in others)}) == len(others) + 1


def test_a_writer_that_raises_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"

    def attempt(error: BaseException) -> None:
        with files.atomic(path) as temporary:
            assert temporary.parent.parent == path.parent and temporary.name == path.name
            temporary.write_text("half")
            raise error

    with files.atomic(path) as temporary:
        temporary.write_text("old")
    for error in (ValueError("bad"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            attempt(error)
    with pytest.raises(Failure, match=r"writing .*a\.txt failed: No space left.*free some space"):
        attempt(OSError(28, "No space left on device"))
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"] and path.read_text() == "old"
    with pytest.raises(Failure, match="writing"), files.atomic(path / "below a file"):
        raise AssertionError("the block must not run")


def test_a_written_file_has_the_mode_of_the_umask(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    files.write_json(tmp_path / "a.json", {})
    assert (tmp_path / "a.json").stat().st_mode == (tmp_path / "plain").stat().st_mode


def required(kind: str) -> list[str]:
    return [n for n, rule in formats.ARTIFACTS[kind].tensors.items() if not rule.optional and n != "*"]


def fixed_rank(kind: str) -> list[str]:
    return [n for n, rule in formats.ARTIFACTS[kind].tensors.items() if rule.shape != "..."]


@pytest.mark.parametrize("kind", [k for k in CONFIGS if fixed_rank(k)])
def test_a_wrong_shape_is_refused_by_tensor_found_and_wanted(kind: str, tmp_path: Path) -> None:
    for pattern in fixed_rank(kind):
        rule, name = formats.ARTIFACTS[kind].tensors[pattern], pattern.replace("*", "0")
        tensors = whole(kind)
        dims = [d for d in rule.shape.split() if d != "..."]
        tensors[name] = torch.ones([1] * (len(dims) - 1), dtype=tensors[name].dtype)  # an axis too few
        text = sentence(write_raw(tmp_path / "a", tensors, meta_of(kind)), kind)
        assert f"'{name}'" in text and str([1] * (len(dims) - 1)) in text and f"[{rule.shape}]" in text
        if numbers := [i for i, d in enumerate(dims) if d.isdigit()]:
            tensors = whole(kind)
            shape = list(tensors[name].shape)
            shape[numbers[-1]] += 2
            tensors[name] = torch.ones(shape, dtype=tensors[name].dtype)
            text = sentence(write_raw(tmp_path / "a", tensors, meta_of(kind)), kind)
            assert f"'{name}'" in text and str(shape) in text and f"[{rule.shape}]" in text


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_wrong_dtype_is_refused_by_tensor_found_and_wanted(kind: str, tmp_path: Path) -> None:
    for pattern, rule in formats.ARTIFACTS[kind].tensors.items():
        name, tensors = pattern.replace("*", "0"), whole(kind)
        tensors[name] = tensors[name].bool()
        text = sentence(write_raw(tmp_path / "a", tensors, meta_of(kind)), kind)
        assert f"'{name}'" in text and "BOOL" in text and rule.dtypes[0] in text


@pytest.mark.parametrize("kind", [k for k in CONFIGS if required(k)])
def test_a_missing_tensor_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    for pattern in required(kind):
        tensors = whole(kind)
        del tensors[pattern.replace("*", "0")]
        text = sentence(write_raw(tmp_path / "a", tensors, meta_of(kind)), kind)
        assert "lacks the tensor" in text and f"'{pattern}'" in text


@pytest.mark.parametrize("kind", [k for k in CONFIGS if "*" not in formats.ARTIFACTS[k].tensors])
def test_a_foreign_tensor_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    tensors = {**whole(kind), "velocity": torch.ones(1)}
    assert "'velocity'" in sentence(write_raw(tmp_path / "a", tensors, meta_of(kind)), kind)


@pytest.mark.parametrize("kind", CONFIGS)
def test_missing_metadata_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    assert formats.ARTIFACTS[kind].config
    for key in set(formats.ARTIFACTS[kind].config) - {"scene"}:
        config = {k: v for k, v in CONFIGS[kind].items() if k != key}
        text = sentence(write_raw(tmp_path / "a", whole(kind), meta_of(kind, config=config)), kind)
        assert f"lacks the metadata '{key}'" in text


def test_a_letter_binds_across_the_file(tmp_path: Path) -> None:
    tensors = {**whole("scene/gaussians"), "opacity_logits": torch.ones(4)}  # N is 3 everywhere else
    text = sentence(write_raw(tmp_path / "a", tensors, meta_of("scene/gaussians")), "scene")
    assert "'opacity_logits'" in text and "[4]" in text and "[N]" in text and "N = 3" in text
    points = {"points": torch.ones(2, 4, 3), "labels": torch.ones(2, 5, dtype=torch.uint8)}
    assert "P = 4" in sentence(write_raw(tmp_path / "a", points, meta_of("shapes")), "shapes")


@pytest.mark.parametrize("names", [[], ["a", "b"], list("abcd"), "abc", None, {"a": 0}])
def test_every_latent_has_a_name(names: Any, tmp_path: Path) -> None:
    config = {"space": "z", "names": names}
    path = write_raw(tmp_path / "a", {"codes": torch.ones(3, 2)}, meta_of("latents", config=config))
    assert "'names'" in sentence(path, "latents") and "each of the 3 latents" in sentence(path)


def test_our_own_writer_obeys_the_table(tmp_path: Path) -> None:
    with pytest.raises(G3dError, match=r"'means' has shape \[3, 2\]"):
        artifacts.write(
            tmp_path / "a", "scene/gaussians", {**whole("scene/gaussians"), "means": torch.ones(3, 2)}, WORLD
        )
    with pytest.raises(G3dError, match="lacks the metadata 'space'"):
        artifacts.write(tmp_path / "a", "latents", {"codes": torch.ones(1, 1)}, {"names": []})
    assert list(tmp_path.iterdir()) == []


def test_the_header_alone_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sparse file of 600 MB with one wrong tensor: refused, and a right one described, without reading a tensor."""
    rows = 50_000_000
    path = tmp_path / "big"
    for width, refused in ((4, True), (3, False)):
        size = rows * width * 4
        table = {
            "features": {"dtype": "F32", "shape": [rows, width], "data_offsets": [0, size]},
            "__metadata__": {"g3d": json.dumps(meta_of("features" if not refused else "latents"))},
        }
        text = json.dumps(table).encode()
        with path.open("wb") as stream:
            stream.write(struct.pack("<Q", len(text)) + text)
            stream.truncate(8 + len(text) + size)
        monkeypatch.setattr("safetensors.torch.load_file", lambda *a, **k: pytest.fail("read a tensor"))
        if refused:
            assert "'features'" in sentence(path, "latents")
        else:
            assert artifacts.check(path, "features").tensors["features"] == ("F32", (rows, width))


@pytest.fixture
def good(tmp_path: Path) -> Path:
    artifacts.write(tmp_path / "good", "scene/gaussians", whole("scene/gaussians"), WORLD)
    return tmp_path / "good"


def test_truncated_anywhere(good: Path) -> None:
    data = good.read_bytes()
    body = 8 + struct.unpack("<Q", data[:8])[0]
    cuts = sorted({0, 1, 7, 8, 9, body - 1, body, body + 1, len(data) - 1, *range(20, len(data), len(data) // 25)})
    assert len(cuts) > 20
    for cut in cuts:
        good.write_bytes(data[:cut])
        text = sentence(good, "scene")
        assert "empty" in text if cut == 0 else "truncated" in text or "not a safetensors file" in text
    good.write_bytes(data + b"x")
    sentence(good, "scene")
    good.write_bytes(data)
    artifacts.read(good, "scene")


def test_bytes_changed_anywhere_never_give_a_traceback(good: Path) -> None:
    data, refused = good.read_bytes(), 0
    body = 8 + struct.unpack("<Q", data[:8])[0]
    for seed in range(400):
        draw = random.Random(seed)
        bad = bytearray(data)
        for _ in range(draw.randint(1, 4)):
            bad[draw.randrange(body)] = draw.choice(b'0123456789{}[]":,eE-.x\x00\xff')
        good.write_bytes(bad)
        try:
            artifacts.read(good, "scene")
        except G3dError as error:
            refused += 1
            assert str(good) in str(error)
    assert refused > 300


def test_random_bytes_and_text(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for seed in range(100):
        draw = random.Random(seed)
        junk = draw.randbytes(draw.randrange(1, 300))
        path.write_bytes(junk if seed % 2 else struct.pack("<Q", max(2, len(junk) - draw.randrange(9))) + junk)
        sentence(path, "scene")
    for text in ("ply\nformat ascii 1.0\n" * 20, "{}", "{" * 500, "\x80" * 50):
        path.write_text(text)
        assert "not a safetensors file" in sentence(path, "scene")


@pytest.mark.parametrize(
    "table",
    ["[]", "null", "1", '"a"', '{"a": 1}', '{"a": {}}', '{"a": {"dtype": "F32", "shape": 3, "data_offsets": [0, 4]}}',
     '{"a": {"dtype": "F32", "shape": [Infinity], "data_offsets": [0, 4]}}', '{"__metadata__": [1]}',
     '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, Infinity]}}', '{"__metadata__": null}',
     '{"a": {"dtype": "F32", "shape": [1], "data_offsets": []}}', "[" * 100_000, '{"__metadata__": {"g3d": 5}}',
     '{"__metadata__": {"g3d": "[1, 2]"}}', '{"__metadata__": {"g3d": "%s"}}' % ("[" * 100_000)],
)  # fmt: skip
def test_headers_of_the_wrong_form(table: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(struct.pack("<Q", len(table)) + table.encode())
    sentence(tmp_path / "a", "scene")


@pytest.mark.parametrize(
    "changes",
    [{"config": 5}, {"config": None}, {"seed": "x"}, {"seed": float("inf")}, {"parents": 3}, {"format": 7},
     {"format": "g3d/features"}, {"format": "g3d/features@x"}],
)  # fmt: skip
def test_metadata_of_the_wrong_form(changes: dict[str, Any], tmp_path: Path) -> None:
    path = write_raw(tmp_path / "a", whole("features"), meta_of("features", **changes))
    assert "'g3d'" in sentence(path, "features")


def test_a_tensor_whose_bytes_do_not_fit_its_shape_is_damaged(tmp_path: Path) -> None:
    table = {
        "features": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 8]},
        "__metadata__": {"g3d": json.dumps(meta_of("features"))},
    }
    text = json.dumps(table).encode()
    (tmp_path / "a").write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    assert "damaged" in sentence(tmp_path / "a", "features")


def test_files_of_another_kind(tmp_path: Path, good: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "plain", {"format": "pt"})
    assert "g3d did not write" in sentence(tmp_path / "plain", "scene")
    text = sentence(good, "model")
    assert "holds scene/gaussians" in text and "a model file" in text
    newer = write_raw(tmp_path / "newer", whole("features"), meta_of("features", format="g3d/features@2"))
    assert "features@2" in sentence(newer, "features") and "update g3d" in sentence(newer, "features")
    older = write_raw(tmp_path / "older", whole("features"), meta_of("features", format="g3d/features@0"))
    assert "read it with g3d 0" in sentence(older, "features")
    alien = write_raw(tmp_path / "alien", whole("features"), meta_of("features", format="g3d/sound@1"))
    assert "'sound'" in sentence(alien, "features") and "update g3d" in sentence(alien, "features")


def test_paths_that_are_no_files(tmp_path: Path, good: Path) -> None:
    assert "is a folder" in sentence(tmp_path, "scene")
    text = sentence(tmp_path / "goo", "scene")
    assert "does not exist" in text and "did you mean 'good'" in text
    with pytest.raises(G3dError, match=r"holds no model\.safetensors"):
        files.inside(tmp_path, "model.safetensors")
    assert files.inside(tmp_path, "good") == good and files.inside(good, "x") == good


def test_output_folder_appears_only_when_the_block_ends_well(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with pytest.raises(RuntimeError), files.output_folder(out, False) as folder:
        (folder / "half").write_text("")
        assert not out.exists()
        raise RuntimeError
    assert list(out.parent.iterdir()) == []
    with files.output_folder(out, False) as folder:
        (folder / "a").write_text("first")
        assert not out.exists()
    assert [p.name for p in out.parent.iterdir()] == ["out"] and (out / "a").read_text() == "first"


def test_output_folder_replaces_only_when_told(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with files.output_folder(out, False) as folder:
        (folder / "old.ply").write_text("old")
    with pytest.raises(G3dError, match=r"out' exists.*--overwrite"), files.output_folder(out, False):
        raise AssertionError("the block must not run")
    with pytest.raises(ValueError), files.output_folder(out, True):
        raise ValueError
    assert (out / "old.ply").read_text() == "old"  # stays until the new one is whole
    with files.output_folder(out, True) as folder:
        (folder / "new").write_text("new")
        assert (out / "old.ply").is_file()
    assert sorted(p.name for p in out.iterdir()) == [".g3d.json", "new"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_what_was_there_comes_back_when_the_new_folder_cannot_take_its_place(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with files.output_folder(out, False) as folder:
        (folder / "old.ply").write_text("old")
    with pytest.raises(OSError), files.output_folder(out, True) as folder:
        shutil.rmtree(folder)  # the last rename fails, after the old folder has been set aside
    assert (out / "old.ply").read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["out"]


def test_outputs_that_would_touch_an_input(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "link").symlink_to(data)
    refused = (data, data / "images" / "out", tmp_path, data / ".." / "data", tmp_path / "link" / "out")
    for out in refused:
        with pytest.raises(G3dError, match="is, contains or lies inside the input"):
            files.refuse_existing(out, True, (tmp_path / "other", data))
    files.refuse_existing(tmp_path / "data2", False, (data,))


def test_an_output_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(G3dError, match="file' is a file"), files.output_folder(tmp_path / "file" / "a" / "b", True):
        raise AssertionError("the block must not run")
    assert (tmp_path / "file").read_text() == "x"


def test_json_files(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"b": 1, "a": [0.5, None]})
    assert files.read_json(path, "the settings") == {"a": [0.5, None], "b": 1}
    assert path.read_text().index('"a"') < path.read_text().index('"b"')
    for text in ("", "{", "[1]", "3", "\x00", "[" * 100_000):
        path.write_text(text)
        with pytest.raises(G3dError, match=r"the settings '.*a\.json'"):
            files.read_json(path, "the settings")
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(G3dError, match="not valid JSON"):
        files.read_json(path, "the settings")
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "b.json", float("nan"))
    assert not (tmp_path / "b.json").exists()


def test_arrays_are_written_as_tensors_are(tmp_path: Path) -> None:
    """Block by block from numpy, maps of files too: the digest, and what every reader sees, is the same."""
    tensors = {
        "c2w": torch.arange(2**21 + 16.0).view(-1, 4, 4), "intrinsics": torch.rand(2**17 + 1, 4),
        "object": torch.arange(2**17 + 1),
        "split": torch.ones(2**17 + 1, dtype=torch.uint8),
    }  # fmt: skip
    config = {"width": 4, "height": 4}
    arrays = {name: value.numpy() for name, value in tensors.items()}
    arrays["c2w"].tofile(tmp_path / "raw")
    arrays["c2w"] = np.memmap(tmp_path / "raw", "<f4", "r", shape=arrays["c2w"].shape)
    assert artifacts.write_arrays(tmp_path / "a", "cameras", arrays, config) == artifacts.write(
        tmp_path / "b", "cameras", tensors, config
    )
    one, other = artifacts.read(tmp_path / "a", "cameras"), artifacts.read(tmp_path / "b", "cameras")
    assert one.config == other.config and one.values.keys() == other.values.keys() == tensors.keys()
    for name in tensors:
        assert torch.equal(one.values[name], other.values[name]) and one.values[name].dtype == tensors[name].dtype
    with pytest.raises(G3dError, match="intrinsics"):
        artifacts.write_arrays(tmp_path / "c", "cameras", {**arrays, "intrinsics": np.ones((3, 3), "<f4")}, config)


def test_a_folder_named_as_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").mkdir()
    for read in (artifacts.header, artifacts.check):
        with pytest.raises(G3dError, match="is a folder"):
            read(tmp_path / "a.safetensors")
