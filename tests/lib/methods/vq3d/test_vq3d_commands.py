"""The commands around a VQ3D model: encode, decode, render, export, profile."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import g3d, refused
from g3d import images, latents
from g3d.data.opening import open_dataset
from g3d.methods import method
from g3d.scenes.scene import Triplane
from g3d.scenes.scene_file import load_scene
from g3d.storage import artifacts

pytestmark = pytest.mark.slow


def test_figures_of_the_run(fitted: Path) -> None:
    figures = json.loads((fitted / "metrics.json").read_text())
    assert 5 < figures["psnr_db"] < 30 and 5 < figures["psnr_held_out_db"] < 30
    for end in ("", "_held_out"):
        assert 0 <= figures[f"disparity_accuracy{end}"] <= 4 and f"disparity_scale_pointwise{end}" in figures
    lines = [json.loads(line) for line in (fitted / "log.jsonl").read_text().splitlines()]
    assert {"codes_used", "perplexity", "latent_spread", "disparity_scale", "disparity_accuracy", "d_loss"} <= set(
        lines[-1]
    )
    assert "d_loss" not in lines[0]


def test_from_pictures_to_scenes_that_are_drawn_without_the_model(pictures: Path, fitted: Path, tmp_path: Path) -> None:
    tokens, scenes = tmp_path / "t.safetensors", tmp_path / "scenes"
    found = json.loads(
        g3d(
            "encode", fitted, "--data", pictures, "--split", "all", "--out", tokens, "--json", "--set", "measure=true"
        ).out
    )
    assert found["latents"] == 12 and 0 < found["mse"] < 0.5
    head = latents.check(tokens)
    assert head.space.parts["tokens"].vocabulary == 32
    values = latents.read(head)
    assert values.split is not None and values.split.sum() == 6  # two test views, and the four of the third car
    assert g3d("decode", fitted, tokens, "--items", "0-2", "--out", scenes, "--render", tmp_path / "r").code == 0
    scene = load_scene(scenes / "000001.safetensors")
    assert isinstance(scene, Triplane) and scene.world.opaque_end and scene.contraction == "sphere"
    assert g3d("render", scenes, "--out", tmp_path / "again").code == 0
    drawn = images.read_image(tmp_path / "r" / "000001.png")
    assert (drawn == images.read_image(tmp_path / "again" / "000001.png")).all() and drawn.shape == (16, 16, 3)
    true = open_dataset(pictures).pictures([1])[0].astype(float)
    assert np.square(drawn - true).mean() < 0.5 * np.square(true - 0).mean()  # its own picture, by the canonical camera
    words = ["--as", "points", "--num", 50, "--level", 0.4, "--out", tmp_path / "ply"]
    assert g3d("export-ply", scenes, *words).code == 0


def test_encode_takes_splits_and_decode_gives_back_what_it_measured(
    pictures: Path, fitted: Path, tmp_path: Path
) -> None:
    words = ["encode", fitted, "--data", pictures, "--json", "--out"]
    plain = json.loads(g3d(*words, tmp_path / "plain.safetensors").out)
    found = json.loads(g3d(*words, tmp_path / "t.safetensors", "--set", "measure=true").out)
    assert found["latents"] == plain["latents"] == 6 and "mse" not in plain
    assert g3d("decode", fitted, tmp_path / "t.safetensors", "--render", tmp_path / "r").code == 0
    names = latents.check(tmp_path / "t.safetensors").names
    data = open_dataset(pictures)
    views = [int(name.rsplit("/", 1)[1]) for name in names]
    drawn = np.stack([images.read_image(tmp_path / "r" / f"{i:06d}.png") for i in range(6)])
    mse = np.square((drawn.astype(float) - data.pictures(views)) / 255).mean()
    assert mse == pytest.approx(found["mse"], rel=0.02)


def test_mirrored_pictures_have_tokens_of_their_own(pictures: Path, fitted: Path, tmp_path: Path) -> None:
    out = tmp_path / "t.safetensors"
    assert g3d("encode", fitted, "--data", pictures, "--set", "mirror=true", "--out", out).code == 0
    found = latents.read(latents.check(out))
    model = method("vq3d").load(artifacts.read(fitted / "model.safetensors", "model"), torch.device("cpu"))
    data = open_dataset(pictures)
    views = [int(name.rsplit("/", 1)[1]) for name in found.names]
    flipped = torch.from_numpy(data.pictures(views)[:, :, ::-1].copy()).permute(0, 3, 1, 2).float() / 255
    wanted = model.network.quantiser(model.network.encode(flipped)).tokens
    assert torch.equal(found.tensors["tokens"], wanted)


def test_profile_counts_what_a_run_has(fitted: Path) -> None:
    found = json.loads(g3d("profile", "vq3d", "--preset", "smoke", "--size", 8, "--repeats", 1, "--json").out)
    assert (
        found["parameters"]
        == json.loads(g3d("profile", fitted, "--size", 8, "--repeats", 1, "--json").out)["parameters"]
    )


def test_a_gaussian_prior_refuses_tokens(pictures: Path, fitted: Path, tmp_path: Path) -> None:
    assert g3d("encode", fitted, "--data", pictures, "--out", tmp_path / "t.safetensors").code == 0
    refused(g3d("fit-prior", tmp_path / "t.safetensors", "--kind", "gaussian", "--out", tmp_path / "p"), "holds tokens")
    refused(g3d("edit", "interpolate", tmp_path / "t.safetensors", "--out", tmp_path / "e"), "holds tokens")
    assert torch.is_tensor(latents.read(latents.check(tmp_path / "t.safetensors")).tensors["tokens"])


def test_from_tokens_to_new_scenes(pictures: Path, fitted: Path, tmp_path: Path) -> None:
    """Stage 2: samples of the prior are tokens, which the decoder draws; the same ones from their latents."""
    tokens, prior, scenes = tmp_path / "t.safetensors", tmp_path / "prior", tmp_path / "scenes"
    assert g3d("encode", fitted, "--data", pictures, "--split", "all", "--out", tokens).code == 0
    made = g3d("fit-prior", tokens, "--kind", "autoregressive", "--preset", "smoke", "--out", prior, "--device", "cpu")
    assert made.code == 0, made.err
    words = [
        "--num",
        3,
        "--top-k",
        8,
        "--out",
        scenes,
        "--render",
        tmp_path / "r",
        "--latents",
        tmp_path / "l.safetensors",
    ]
    done = g3d("sample", fitted, "--prior", prior, *words)
    assert done.code == 0, done.err
    drawn = latents.read(latents.check(tmp_path / "l.safetensors"))
    assert drawn.tensors["tokens"].shape == (3, 16) and drawn.space == latents.check(tokens).space
    assert g3d("decode", fitted, tmp_path / "l.safetensors", "--render", tmp_path / "d").code == 0
    for i in range(3):
        a, b = (images.read_image(tmp_path / folder / f"{i:06d}.png") for folder in ("r", "d"))
        assert np.abs(a.astype(int) - b).max() <= 1
    refused(g3d("sample", fitted, "--num", 1, "--out", tmp_path / "s"), "draws its latents from a prior")


def test_classes_from_folders_of_pictures_to_samples_of_one(tmp_path: Path) -> None:
    """Subfolders are classes; tokens carry them, the prior learns them, `--class` asks for some by their numbers."""
    rng = np.random.default_rng(0)
    for name, level in (("dark", 30), ("light", 220)):
        for i in range(4):
            picture = np.clip(level + rng.integers(-20, 20, (16, 16, 3)), 0, 255).astype(np.uint8)
            images.write_image(tmp_path / "photos" / name / f"{i}.png", picture)
    made = g3d("prepare-data", "--workers", 1, "images", tmp_path / "photos", "--size", 16, "--out", tmp_path / "data")
    assert made.code == 0, made.err
    without = ["--set", "depth_weight=0", "--set", "scale_weight=0", "--set", "steps=4"]
    words = ["--data", tmp_path / "data", "--preset", "smoke", *without, "--out", tmp_path / "m"]
    assert g3d("fit-stage1", "vq3d", *words).code == 0
    tokens = tmp_path / "t.safetensors"
    assert g3d("encode", tmp_path / "m", "--data", tmp_path / "data", "--split", "all", "--out", tokens).code == 0
    found = latents.read(latents.check(tokens))
    assert found.classes is not None and found.classes.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert found.tensors["tokens"][:4].float().mean() != found.tensors["tokens"][4:].float().mean()
    assert g3d("fit-prior", tokens, "--kind", "autoregressive", "--preset", "smoke", "--out", tmp_path / "p").code == 0
    drawn = {}
    for words in ("0", "1", "0-1"):
        out = ["--num", 2, "--latents", tmp_path / f"{words}.safetensors", "--out", tmp_path / f"s{words}"]
        assert g3d("sample", tmp_path / "m", "--prior", tmp_path / "p", "--class", words, *out).code == 0
        drawn[words] = latents.read(latents.check(tmp_path / f"{words}.safetensors"))
        assert drawn[words].classes is not None
    assert [d.classes.tolist() for d in drawn.values()] == [[0, 0], [1, 1], [0, 1]]
    assert torch.equal(drawn["1"].tensors["tokens"][1], drawn["0-1"].tensors["tokens"][1])
    assert not torch.equal(drawn["0"].tensors["tokens"][1], drawn["1"].tensors["tokens"][1])
    out = ["--num", 1, "--class", "2", "--out", tmp_path / "g"]
    refused(
        g3d("sample", tmp_path / "m", "--prior", tmp_path / "p", *out), "knows 2 classes", "choose --class from 0-1"
    )
