"""`g3d import-checkpoint`: a snapshot becomes a model that samples; nothing in a file is executed, whatever it holds."""

import os
import pickle
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import g3d, refused
from g3d.errors import G3dError
from g3d.methods import hypernerfgan as h
from g3d.methods.hypernerfgan import official
from g3d.methods.hypernerfgan.networks import Generator
from g3d.scenes.mlp import evaluate
from g3d.scenes.scene import query
from g3d.storage import artifacts, safe_pickle
from safetensors.torch import save_file
from snapshot import official_state, write_snapshot


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_snapshot(tmp_path / "network.pkl", official_state())
    return tmp_path / "network.pkl"


def test_a_snapshot_is_read_tensor_by_tensor(file: Path) -> None:
    found = safe_pickle.load(file)
    assert set(found) == {"G", "D", "G_ema", "training_set_kwargs"}
    tensors = safe_pickle.module_tensors(found["G_ema"], "a")
    wanted = official_state()
    assert tensors.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.equal(tensors[name], value), name
    assert set(safe_pickle.module_tensors(found["D"], "a")) == {
        "weight",
        "bias",
    }  # a plain torch module, not persistent


def test_an_imported_model_samples_and_draws_what_its_weights_say(file: Path, tmp_path: Path) -> None:
    words = [
        "import-checkpoint",
        "hypernerfgan",
        file,
        "--set",
        "n_samples=8",
        "--size",
        16,
        "--out",
        tmp_path / "model",
    ]
    done = g3d(*words)
    assert done.code == 0, done.err
    head = artifacts.header(tmp_path / "model" / "model.safetensors")
    world = head.config["world"]
    assert world["opaque_end"] and world["samples"] == 8 and world["camera_prior"]["width"] == 16
    assert world["near_world"] == pytest.approx(3 - 1 / 7) and world["far_world"] == pytest.approx(5 + 1 / 7)
    assert head.config["settings"]["layers"] == 2 and head.config["settings"]["frequencies"] == 2
    assert head.config["imported"]["to_public"] == [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    shown = g3d(
        "sample", tmp_path / "model", "--num", 2, "--truncation", 0.7, "--render", tmp_path / "i", "--device", "cpu"
    )
    assert shown.code == 0 and len(list((tmp_path / "i").rglob("*.png"))) == 2, shown.err


@pytest.mark.parametrize("layers", [2, 7])
def test_the_turned_field_says_at_a_point_what_the_public_one_says_there(layers: int) -> None:
    """Ours (x, y, z) is theirs (x, -z, y), at the first layer and at the one that reads the point again."""
    state = official_state(layers=layers)
    tensors, about = official.import_official(state, None, [], 16, "test")
    config = h.Config(**about["settings"])
    net, plain = Generator(config), Generator(config)
    net.load_state_dict(tensors)
    plain.load_state_dict(official.renamed(state, config, "test") | {"mapping.w_mean": plain.mapping.w_mean})
    points = torch.rand(1, 50, 3) * 2 - 1
    theirs = torch.stack([points[..., 0], -points[..., 2], points[..., 1]], dim=-1)
    model = h.Model(net, config, official.imported_world(config, 16))
    w = h.draw(model, [0], 0, h.SampleSettings())
    with torch.no_grad():
        found = query(h.decode(model, w), points)
        wanted = evaluate(h.decode(model, w).network, plain.weights(w), {"x": theirs})
    torch.testing.assert_close(found.rgb, wanted["rgb"], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.density, wanted["density"][..., 0], atol=1e-5, rtol=1e-4)
    assert (net.mapping.w_mean - net.mapping(torch.randn(4000, config.z_dim)).mean(dim=0)).abs().max() < 0.1


def test_a_state_dict_in_safetensors_is_the_same(file: Path, tmp_path: Path) -> None:
    save_file(official_state(), tmp_path / "state.safetensors")
    for source, out in ((file, "a"), (tmp_path / "state.safetensors", "b")):
        assert g3d("import-checkpoint", "hypernerfgan", source, "--out", tmp_path / out).code == 0
    a, b = (artifacts.read(tmp_path / n / "model.safetensors", "model") for n in ("a", "b"))
    assert a.digest == b.digest and a.parents != b.parents


class Harm:
    """A pickle that calls `function` when it is read by pickle itself."""

    def __init__(self, function: Any, *words: Any):
        self.function, self.words = function, words

    def __reduce__(self) -> Any:
        return self.function, self.words


def test_a_malicious_pickle_does_no_harm(tmp_path: Path) -> None:
    """Each would leave a file behind: at the top, in a state, in the bytes of a storage; by os, eval, getattr, import."""
    marker = tmp_path / "harmed"
    command = f"touch {marker}"
    harms: dict[str, Any] = {
        "system": Harm(os.system, command),
        "eval": Harm(eval, f"open({str(marker)!r}, 'w')"),
        "exec": Harm(exec, f"open({str(marker)!r}, 'w')"),
        "storage": Harm(torch.storage._load_from_bytes, pickle.dumps(Harm(os.system, command))),
    }
    tried = 0
    for name, harm in [*harms.items(), ("getattr", None)]:
        file = tmp_path / f"{name}.pkl"
        if harm is None:
            file.write_bytes(b"cbuiltins\ngetattr\n(cposix\nsystem\nV__call__\ntR.")
        else:
            write_snapshot(file, official_state(), {"more": harm})
        done = g3d("import-checkpoint", "hypernerfgan", file, "--out", tmp_path / "model")
        refused(done, "was not executed", str(file))
        assert not marker.exists() and not (tmp_path / "model").exists(), name
        tried += 1
    assert tried == 5
    pickle.loads(pickle.dumps(harms["system"]))
    assert marker.exists(), "the pickles of this test would do no harm to anyone"


def test_inert_classes_stay_inert(tmp_path: Path) -> None:
    """A name inside a known package that leads outside of it is data, too; a class cannot be given new methods."""
    protocol4 = b"\x80\x04\x8c\x0cdnnlib.other\x8c\x09os.system\x93\x8c\x04true\x85R."
    (tmp_path / "a.pkl").write_bytes(protocol4)
    found = safe_pickle.load(tmp_path / "a.pkl")
    assert (
        isinstance(found, safe_pickle.Record)
        and found.name == "dnnlib.other.os.system"
        and found.made_with == ("true",)
    )
    # BUILD with attributes on a class, and on a maker of ours
    for target in (b"cdnnlib\nEasyDict\n", b"ccollections\nOrderedDict\n", b"ctorch._utils\n_rebuild_parameter\n"):
        (tmp_path / "b.pkl").write_bytes(target + b"(N}Vx\nVy\nstb.")
        with suppress(G3dError):
            safe_pickle.load(tmp_path / "b.pkl")
        assert not hasattr(safe_pickle.Record, "x") and "x" not in dir(dict)


def test_damaged_files_are_one_sentence(file: Path, tmp_path: Path) -> None:
    base = ["import-checkpoint", "hypernerfgan"]
    whole = file.read_bytes()
    bad = tmp_path / "bad.pkl"
    checked = 0
    for data in (
        b"",
        whole[:100],
        whole[: len(whole) // 2],
        whole[:-5],
        b"PK\x03\x04",
        b"\x00" * 50,
        b"hello",
        b"(lp0\n.",
    ):
        bad.write_bytes(data)
        refused(g3d(*base, bad, "--out", tmp_path / "model"), str(bad))
        checked += 1
    assert checked == 8
    count = official_state()["synthesis.pts_linears.0.weight"].numel()
    at = whole.rindex(struct.pack("<q", count))  # its storage claims more than it has
    bad.write_bytes(whole[:at] + struct.pack("<q", 1 << 40) + whole[at + 8 :])
    refused(g3d(*base, bad, "--out", tmp_path / "model"), "damaged")
    refused(g3d(*base, tmp_path / "none.pkl", "--out", tmp_path / "model"), "does not exist")
    assert not (tmp_path / "model").exists()


def test_what_does_not_fit_is_one_sentence(file: Path, tmp_path: Path) -> None:
    out = ["--out", tmp_path / "model"]
    refused(g3d("import-checkpoint", "mnif", file, *out), "mnif has no checkpoints", "hypernerfgan")
    refused(g3d("import-checkpoint", "hypernerfgan", file, *out, "--set", "width=64"), "have width=6", "leave --set")
    refused(g3d("import-checkpoint", "hypernerfgan", file, *out, "--size", 0), "--size is 0")
    refused(g3d("import-checkpoint", "hypernerfgan", file, *out, "--preset", "kitti"), "presets:")
    refused(g3d("import-checkpoint", "hypernerfgan", file, "--out", file, "--overwrite"), str(file))
    other = {n.replace("synthesis", "net"): t for n, t in official_state().items()}
    write_snapshot(tmp_path / "other.pkl", other)
    refused(
        g3d("import-checkpoint", "hypernerfgan", tmp_path / "other.pkl", *out), "holds no generator of HyperNeRFGAN"
    )
    more = official_state() | {"synthesis.extra": torch.zeros(1)}
    write_snapshot(tmp_path / "more.pkl", more)
    refused(g3d("import-checkpoint", "hypernerfgan", tmp_path / "more.pkl", *out), "a tensor 'synthesis.extra'")
    less = {n: t for n, t in official_state().items() if n != "synthesis.output_linear.bias"}
    write_snapshot(tmp_path / "less.pkl", less)
    refused(g3d("import-checkpoint", "hypernerfgan", tmp_path / "less.pkl", *out), "lacks the tensor")
    write_snapshot(tmp_path / "empty.pkl", {})
    refused(g3d("import-checkpoint", "hypernerfgan", tmp_path / "empty.pkl", *out), "no network named G_ema or G")
    assert not (tmp_path / "model").exists()


def test_dry_run_says_what_the_shapes_say(file: Path, tmp_path: Path) -> None:
    found = g3d("import-checkpoint", "hypernerfgan", file, "--out", tmp_path / "m", "--dry-run").json
    assert found["network"] == "G_ema" and found["settings"]["rank"] == 2 and found["settings"]["opaque_end"]
    assert not (tmp_path / "m").exists()
