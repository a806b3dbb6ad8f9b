"""encode, edit, decode and render around a model: codes are found, poses too, swaps change what they name and nothing else."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import g3d, refused
from g3d import images, latents
from g3d.data.opening import open_dataset
from g3d.errors import G3dError
from g3d.methods import decoding, method
from g3d.methods.contract import Encoded
from g3d.methods.infamous_nerf import encoding, field, objective
from g3d.methods.infamous_nerf.rays import Batch
from g3d.methods.infamous_nerf.shots import mean_landmarks, shots_of
from g3d.scenes.scene import query
from g3d.scenes.scene_file import load_scene
from g3d.storage import artifacts
from toy_faces import landmarks, write_dataset


def encoded(heads: Path, fitted: Path, out: Path, *pairs: str, split: str = "test") -> dict[str, float]:
    words = [word for pair in pairs for word in ("--set", pair)]
    found = g3d("encode", fitted, "--data", heads, "--split", split, "--out", out, "--json", *words)
    assert found.code == 0, found.err
    return dict(json.loads(found.out))


def model_of(fitted: Path):  # type: ignore[no-untyped-def]
    head = artifacts.check(fitted / "model.safetensors", "model")
    return decoding.load(method("infamous-nerf"), head, torch.device("cpu"))


def test_codes_start_at_the_means_and_move(heads: Path, fitted: Path) -> None:
    """How much better they become is tested with a model that has learnt something (test_infamous_training.py)."""
    model, data = model_of(fitted), open_dataset(heads)
    chosen = encoding.items(model, data, "test")

    def found(steps: int) -> Encoded:
        return encoding.encoder(model, data, chosen, encoding.EncodeSettings(steps=steps, rays=16), 0)([0, 2])

    start, end = found(0), found(4)
    assert torch.equal(start.tensors["fields.shape"][1], model.network.mean("shape"))
    assert torch.equal(end.tensors["fields.identity_appearance"], end.tensors["fields.identity_shape"])
    for name, value in end.tensors.items():
        assert not torch.equal(value[0], start.tensors[name][0]) and not torch.equal(value[0], value[1])
    assert start.mse.shape == end.mse.shape == (2,) and not torch.equal(start.mse, end.mse)


def test_what_is_found_of_a_head_does_not_depend_on_the_others(heads: Path, fitted: Path) -> None:
    model, data = model_of(fitted), open_dataset(heads)
    settings = encoding.EncodeSettings(steps=4, rays=16)
    chosen = encoding.items(model, data, "test")
    whole = encoding.encoder(model, data, chosen, settings, 0)([0, 1, 2])
    one = encoding.encoder(model, data, chosen[1:2], settings, 0)([0])
    assert all(torch.equal(whole.tensors[name][1:2], value) for name, value in one.tensors.items())


def test_the_views_of_an_item_are_the_frontal_ones_or_drawn(heads: Path, fitted: Path) -> None:
    model, data = model_of(fitted), open_dataset(heads)
    item = encoding.items(model, data, "test")[0]
    own = data.views(item.object, "train").tolist()
    assert data.cameras is not None
    two = encoding.chosen_views(model, data, item, encoding.EncodeSettings(pictures=2), 0).tolist()
    angle = {v: float(data.cameras.c2w[v, 2, 3]) for v in own}  # how far in front the camera stands
    assert two == sorted(own, key=lambda v: -angle[v])[:2]
    drawn = [
        encoding.chosen_views(model, data, item, encoding.EncodeSettings(view="random"), s).tolist() for s in range(9)
    ]
    assert {v for one in drawn for v in one} == set(own)


def test_the_views_that_codes_were_found_from_are_written_down(heads: Path, fitted: Path, tmp_path: Path) -> None:
    model, data = model_of(fitted), open_dataset(heads)
    encoded(heads, fitted, tmp_path / "e.safetensors", "steps=0", "view=random", "pictures=2")
    found = latents.read(latents.check(tmp_path / "e.safetensors")).about["input_views"]
    how = encoding.EncodeSettings(view="random", pictures=2)
    chosen = encoding.items(model, data, "test")
    assert (
        found == {i.name: encoding.chosen_views(model, data, i, how, 0).tolist() for i in chosen} and len(chosen) == 3
    )
    assert all(data.view_object[view] == item.object for item in chosen for view in found[item.name])


def test_smaller_copies_are_means_of_their_pixels(heads: Path) -> None:
    data = open_dataset(heads)
    shots = shots_of(data, torch.tensor([0, 1]), "inner")
    half = shots.smaller(2)
    wanted = (data.pictures([0])[0].astype(float) / 255).reshape(8, 2, 8, 2, 3).mean((1, 3))
    assert np.allclose(half.pictures[0], wanted, atol=1e-6) and torch.equal(half.intrinsics, shots.intrinsics / 2)
    assert shots.landmarks is not None and half.landmarks is not None
    assert torch.equal(half.landmarks * 2, shots.landmarks)
    assert encoding._factors(3, shots) == [1] and encoding._factors(1, shots) == [1]  # 8 pixels are too few for SSIM


def watched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Batch, objective.Frame]]:
    """The rays and the size of the picture of every step of encode from now on."""
    found, cost = [], objective.cost

    def noted(config, scene, codes, batch, frame):  # type: ignore[no-untyped-def]
        found.append((batch, frame))
        return cost(config, scene, codes, batch, frame)

    monkeypatch.setattr(objective, "cost", noted)
    return found


def test_pictures_become_larger_on_the_way(fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 32 pixels there are two levels, even shares of the steps, each with pixels, colours and intrinsics of its size."""
    data, model = open_dataset(write_dataset(tmp_path / "data", size=32)), model_of(fitted)
    item, settings = encoding.items(model, data, "test")[0], encoding.EncodeSettings(steps=6, rays=16, levels=3)
    shots = encoding.given(model, data, item, settings, 0)
    assert encoding._factors(3, shots) == [2, 1]  # 8 pixels are too few for SSIM
    steps = watched(monkeypatch)
    found = encoding.encoder(model, data, [item], settings, 0)([0])
    assert [frame.height for _, frame in steps] == [16] * 3 + [32] * 3
    for batch, frame in steps:
        assert int(batch.pixels.max()) < frame.height**2 and batch.pictures.shape[2] == frame.height**2
        assert torch.allclose(batch.intrinsics[0, 0], shots.intrinsics[0] * frame.height / 32)
    assert int(steps[-1][0].pixels.max()) >= 16**2, "some pixel lies beyond the small picture"
    codes = {name.removeprefix("fields."): value for name, value in found.tensors.items()}
    error = encoding._error(model, field.Codes(**codes), shots)
    assert torch.allclose(found.mse, error), "the error is that of the whole size"


def test_several_pictures_of_one_subject_are_all_looked_at(
    heads: Path, fitted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps draw from both pictures, the error is the mean over both, and codes are not those of one of them."""
    data, model = open_dataset(heads), model_of(fitted)
    item = encoding.items(model, data, "test")[0]
    assert data.cameras is not None

    def found(pictures: int, steps: int) -> Encoded:
        how = encoding.EncodeSettings(steps=steps, rays=16, pictures=pictures)
        return encoding.encoder(model, data, [item], how, 0)([0])

    views = encoding.chosen_views(model, data, item, encoding.EncodeSettings(pictures=2), 0)
    both, one = found(2, 0), found(1, 0)
    means = field.Codes(**{name.removeprefix("fields."): value for name, value in both.tensors.items()})
    other = encoding._error(model, means, shots_of(data, views[1:], "inner"))
    assert float(both.mse) == pytest.approx(float(one.mse + other) / 2, rel=1e-5) and float(one.mse) != float(other)
    steps = watched(monkeypatch)
    moved = found(2, 12)
    seen = {tuple(batch.c2w[0, 0].flatten().tolist()) for batch, _ in steps}
    assert seen == {tuple(data.cameras.c2w[v].flatten().tolist()) for v in views} and len(seen) == 2
    assert not torch.equal(moved.tensors["fields.shape"], found(1, 12).tensors["fields.shape"])


def test_the_model_knows_the_mean_landmarks_and_finds_cameras_by_them(
    heads: Path, fitted: Path, tmp_path: Path
) -> None:
    """Landmarks of toy heads are the same points for all; a view of another subject is posed by them to 1 degree and 2 %."""
    data, model = open_dataset(heads), model_of(fitted)
    marks = model.network.landmarks.double().numpy()
    known = (marks != 0).any(1)
    assert known.sum() > 40 and np.allclose(marks[known], landmarks()[known], atol=1e-2)
    assert torch.equal(mean_landmarks(data, [0, 1, 2]) != 0, mean_landmarks(data, [0]) != 0)
    item = encoding.items(model, data, "test")[0]
    true = encoding.given(model, data, item, encoding.EncodeSettings(pictures=3), 0)
    found = encoding.given(model, data, item, encoding.EncodeSettings(pictures=3, pose="landmarks"), 0)
    assert not torch.equal(true.c2w, found.c2w)
    for a, b in zip(true.c2w.double().numpy(), found.c2w.double().numpy(), strict=True):
        cosine = (np.trace(a[:3, :3].T @ b[:3, :3]) - 1) / 2
        assert np.degrees(np.arccos(np.clip(cosine, -1, 1))) < 1
        assert np.linalg.norm(a[:3, 3] - b[:3, 3]) < 0.02 * np.linalg.norm(a[:3, 3])
    assert encoded(heads, fitted, tmp_path / "p.safetensors", "steps=3", "pose=landmarks")["latents"] == 3


def test_swaps_take_appearance_shape_and_expression_from_another(heads: Path, fitted: Path, tmp_path: Path) -> None:
    model, known = model_of(fitted), latents.read(latents.check(fitted))
    points = torch.rand(1, 300, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    along = torch.nn.functional.normalize(points, dim=-1)

    def asked(path: Path, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        few = latents.read(latents.check(path)).pick([row])
        return tuple(query(decoding.decode(method("infamous-nerf"), model, few, None), points, along))  # type: ignore[return-value]

    own = {name: i for i, name in enumerate(known.names)}
    rgb, density = asked(fitted, own["s0/neutral"])
    words = ["--from", "s2/open", "--to", "s0/neutral"]
    swaps = {
        "expression": "expression", "appearance": "identity_appearance,appearance", "shape": "identity_shape,shape",
        "all": "identity_appearance,identity_shape,appearance,shape,expression",
    }  # fmt: skip
    for name, fields in swaps.items():
        assert g3d("edit", "swap", fitted, "--fields", fields, *words, "--out", tmp_path / name).code == 0
    assert not torch.allclose(asked(tmp_path / "expression", 0)[1], density, atol=1e-6)
    assert not torch.allclose(asked(tmp_path / "appearance", 0)[0], rgb, atol=1e-6)
    shaped = asked(tmp_path / "shape", 0)
    assert torch.allclose(shaped[0], rgb, atol=1e-6) and not torch.allclose(shaped[1], density, atol=1e-6)
    for one, other in zip(asked(tmp_path / "all", 0), asked(fitted, own["s2/open"]), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_scenes_are_drawn_and_exported_without_the_model(heads: Path, fitted: Path, tmp_path: Path) -> None:
    made = ["--items", "0-1", "--out", tmp_path / "s", "--render", tmp_path / "r"]
    assert g3d("decode", fitted, fitted, *made).code == 0
    scene = load_scene(tmp_path / "s" / "000000.safetensors")
    names = [layer.name for layer in scene.network.layers]  # type: ignore[union-attr]
    assert names == ["A_1", "A_2", "A_3", "A_4", "A_5", "E_1", "E_2", "E_3", *(f"S_{i}" for i in range(1, 7))]
    assert scene.world.camera_prior is not None and scene.world.near_world == 2.0
    assert g3d("render", tmp_path / "s", "--out", tmp_path / "again").code == 0
    again, first = (images.read_image(tmp_path / where / "000001.png") for where in ("again", "r"))
    assert (again == first).all() and first.shape == (16, 16, 3)
    assert (
        g3d("export-ply", tmp_path / "s", "--as", "points", "--num", 20, "--level", 1.0, "--out", tmp_path / "p").code
        == 0
    )


def test_rays_around_landmarks_that_are_not_there_are_said(heads: Path, fitted: Path) -> None:
    data, model = open_dataset(heads), model_of(fitted)
    bare = replace(data, labels={n: v for n, v in data.labels.items() if not n.startswith("landmarks")})
    how = encoding.EncodeSettings()
    assert encoding.encode_note(model, data, how) is None
    share = f"landmark_share={model.config.landmark_share:g} has no effect"
    assert share in str(encoding.encode_note(model, bare, how))
    without = replace(model, config=replace(model.config, landmark_share=0.0))
    assert encoding.encode_note(without, bare, how) is None


def test_poses_by_landmarks_need_them(heads: Path, fitted: Path) -> None:
    data, model = open_dataset(heads), model_of(fitted)
    item, how = encoding.items(model, data, "test")[0], encoding.EncodeSettings(pose="landmarks")
    bare = replace(data, labels={n: v for n, v in data.labels.items() if not n.startswith("landmarks")})
    with pytest.raises(G3dError, match="needs the 68 landmarks of each picture"):
        encoding.given(model, bare, item, how, 0)
    model.network.landmarks.zero_()
    with pytest.raises(G3dError, match="was fitted to faces with landmarks"):
        encoding.given(model, data, item, how, 0)
    refused(
        g3d("encode", fitted, "--data", heads, "--split", "tset", "--out", heads.parent / "x"), "did you mean 'test'"
    )
