"""`encode` of GSGAN: what a generator drew is found again, at given cameras and at ones that are found; pivotal tuning."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Pipeline, g3d, refused
from g3d import images
from g3d.cameras import camera_conditioning, read_transforms
from g3d.data.opening import open_dataset
from g3d.losses.perceptual import perceptual_distance
from g3d.methods import gsgan as g
from g3d.methods.gsgan import inversion
from g3d.nets import efficientnet
from g3d.scenes.scene import ImportedFrame
from g3d.storage import artifacts

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def lively(splat_gan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose scenes depend on the style, and whose Gaussians are large enough to be seen."""
    file = artifacts.read(splat_gan / "model.safetensors", "model")
    rng = torch.Generator().manual_seed(0)
    tensors = dict(file.values)
    for name, value in tensors.items():
        if "scale_by_w" in name or name.endswith(".scale"):
            tensors[name] = value + torch.randn(value.shape, generator=rng) * 0.2
        if name.endswith("anchor_heads.0.layers.xyz.weight"):
            tensors[name] = value * 8
        if name.endswith("heads.0.layers.opacity.bias"):
            tensors[name] = value + 3
    out = tmp_path_factory.mktemp("lively")
    artifacts.write(out / "model.safetensors", "model", tensors, file.config)
    return out


@pytest.fixture(scope="module")
def drawn(lively: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of its samples as photos of known cameras."""
    root = tmp_path_factory.mktemp("photos")
    base = ["sample", lively, "--num", 2, "--device", "cpu", "--cameras", "prior"]
    assert g3d(*base, "--render", root / "pictures").code == 0
    return root / "pictures"


@pytest.fixture(scope="module")
def photos(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a dataset of pictures without cameras."""
    out = tmp_path_factory.mktemp("unposed") / "data"
    found = g3d("prepare-data", "--workers", 1, "images", drawn, "--size", 24, "--out", out)
    assert found.code == 0, found.err
    return out


@pytest.fixture(scope="module")
def posed(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with their cameras, in EG3D's form."""
    root = tmp_path_factory.mktemp("posed")
    (root / "in").mkdir()
    cameras = read_transforms(drawn / "transforms.json")
    labels = []
    for i, numbers in enumerate(camera_conditioning(cameras).tolist()):
        images.write_image(root / "in" / f"{i}.png", images.read_image(drawn / f"{i:06d}.png"))
        labels.append([f"{i}.png", numbers])
    (root / "in" / "dataset.json").write_text(json.dumps({"labels": labels}))
    found = g3d("prepare-data", "--workers", 1, "eg3d", root / "in", "--size", 24, "--out", root / "data")
    assert found.code == 0, found.err
    return root / "data"


def test_what_was_drawn_is_found_again_at_given_cameras(lively: Path, posed: Path, tmp_path: Path) -> None:
    words = ["encode", lively, "--data", posed, "--split", "all", "--device", "cpu", "--json"]
    found = {}
    for space in ("w", "w+"):
        out = tmp_path / f"{space}.safetensors"
        done = g3d(*words, "--set", f"space={space}", "--set", "steps=40", "--out", out)
        assert done.code == 0, done.err
        assert "L1 at three scales, SSIM and 0.03 times EfficientNet" in done.err and done.json["latents"] == 2
        found[space] = done.json["psnr_of_mean_mse_db"]
        file = artifacts.read(out, "latents")
        codes = file.values["codes"]
        assert (codes == codes[:, :1]).all() == (space == "w") and file.config["space"] == "w+"
        known = camera_conditioning(open_dataset(posed).cameras)  # type: ignore[arg-type]
        torch.testing.assert_close(file.values["condition_camera"], known, atol=1e-4, rtol=0)
    few = g3d(*words, "--set", "steps=1", "--set", "lr=1e-9", "--out", tmp_path / "mean.safetensors").json
    assert found["w+"] > few["psnr_of_mean_mse_db"] + 3 and found["w"] > few["psnr_of_mean_mse_db"] + 2, (found, few)
    # the latents decode to the pictures that they were found for
    words = ["decode", lively, tmp_path / "w+.safetensors", "--render", tmp_path / "again", "--device", "cpu"]
    done = g3d(*words, "--cameras", f"dataset:{posed}")
    assert done.code == 0, done.err
    again = sorted((tmp_path / "again").rglob("*.png"))
    real = open_dataset(posed).pictures([0, 1]).astype(np.float32) / 255
    error = np.mean(
        [(images.read_image(p).astype(np.float32) / 255 - r) ** 2 for p, r in zip(again, real, strict=True)]
    )
    assert -10 * np.log10(error) == pytest.approx(found["w+"], abs=0.7)


def test_cameras_are_found(lively: Path, photos: Path, drawn: Path, tmp_path: Path) -> None:
    out = tmp_path / "codes.safetensors"
    words = ["encode", lively, "--data", photos, "--split", "all", "--set", "steps=60", "--device", "cpu", "--json"]
    done = g3d(*words, "--out", out)
    assert done.code == 0, done.err
    mean = g3d(
        *words, "--set", "lr=1e-9", "--set", "camera_lr=1e-9", "--set", "steps=1", "--out", tmp_path / "m.safetensors"
    )
    assert done.json["psnr_of_mean_mse_db"] > mean.json["psnr_of_mean_mse_db"] + 1
    cameras = artifacts.read(out, "latents").values["condition_camera"][:, :16].unflatten(1, (4, 4))
    torch.testing.assert_close(cameras[:, :3, 3].norm(dim=1), torch.full((2,), 2.6), atol=1e-3, rtol=0)


def test_a_camera_alone_is_found_from_nearby(lively: Path) -> None:
    """The gradient goes through the rasteriser and the sphere to the angles: ten degrees away the way back is found."""
    model = g.load(artifacts.read(lively / "model.safetensors", "model"), CPU)
    prior = model.world.camera_prior
    assert prior is not None
    code = g.draw(model, [3], 0, g.SampleSettings())
    true = torch.deg2rad(torch.tensor([[40.0, 25.0]]))
    wanted = inversion._drawn(model, code, inversion.placed(prior, true, 24)).detach()
    torch.testing.assert_close(
        inversion.placed(prior, true, 24).c2w, prior.at(torch.tensor([40.0]), torch.tensor([25.0])).c2w
    )
    angles = (true + torch.deg2rad(torch.tensor([[10.0, -8.0]]))).requires_grad_()
    optimiser = torch.optim.Adam([angles], lr=0.01)
    distance = inversion._distance(g.EncodeSettings(), CPU)
    for _ in range(60):
        optimiser.zero_grad()
        distance(inversion._drawn(model, code, inversion.placed(prior, angles, 24)), wanted).mean().backward()
        optimiser.step()
    assert torch.rad2deg((angles.detach() - true).abs()).max() < 3


@pytest.mark.parametrize("negated", [False, True])
def test_angles_have_gradients_also_in_imported_worlds(lively: Path, negated: bool) -> None:
    model = g.load(artifacts.read(lively / "model.safetensors", "model"), CPU)
    model = replace(model, world=replace(model.world, imported=ImportedFrame(40.0, True) if negated else None))
    assert model.world.camera_prior is not None
    angles = torch.tensor([[0.4, 0.3]], requires_grad=True)
    code = g.draw(model, [3], 0, g.SampleSettings())
    inversion._drawn(model, code, inversion.placed(model.world.camera_prior, angles, 24)).square().sum().backward()
    assert angles.grad is not None and (angles.grad.abs() > 1e-4).all() and torch.isfinite(angles.grad).all()


def test_pivotal_tuning_draws_the_items_better(lively: Path, posed: Path, tmp_path: Path) -> None:
    words = [
        "encode",
        lively,
        "--data",
        posed,
        "--split",
        "all",
        "--set",
        "steps=15",
        "--set",
        "tune_steps=60",
        "--json",
    ]
    done = g3d(*words, "--tuned-model", tmp_path / "tuned", "--out", tmp_path / "codes.safetensors", "--device", "cpu")
    assert done.code == 0, done.err
    assert done.json["tuned_psnr_of_mean_mse_db"] > done.json["psnr_of_mean_mse_db"] + 2
    head = artifacts.header(tmp_path / "tuned" / "model.safetensors")
    assert head.config["tuned"]["items"] and set(head.parents) == {"model", "dataset"}
    again = [
        "decode",
        tmp_path / "tuned",
        tmp_path / "codes.safetensors",
        "--out",
        tmp_path / "scenes",
        "--device",
        "cpu",
    ]
    assert g3d(*again).code == 0
    sample = g3d("sample", tmp_path / "tuned", "--num", 1, "--out", tmp_path / "s", "--device", "cpu")
    assert sample.code == 0, sample.err


def test_distances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = torch.rand(2, 3, 24, 24), torch.rand(2, 3, 24, 24)
    plain = inversion._distance(g.EncodeSettings(), CPU)
    assert float(plain(a, a).abs().max()) < 1e-5 and (plain(a, b) > 0.1).all()
    alone = inversion._distance(g.EncodeSettings(perceptual=0), CPU)
    more = inversion._distance(g.EncodeSettings(perceptual=0.5), CPU)(a, b) - alone(a, b)
    torch.testing.assert_close(more, 0.5 * perceptual_distance(a, b, efficientnet.load()), rtol=1e-4, atol=1e-4)

    def said(settings: g.EncodeSettings) -> str:
        return inversion.encode_note(None, None, settings)  # type: ignore[arg-type]

    assert "EfficientNet" not in said(g.EncodeSettings(perceptual=0))
    assert "LPIPS of 'x'" in said(replace(g.EncodeSettings(), lpips="x"))
    with monkeypatch.context() as patched:  # a file's network is that of eval-recon, tested there

        class Constant(torch.nn.Module):
            def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
                return torch.full((len(a),), 2.0)

        patched.setattr(inversion, "load_lpips", lambda path: Constant() if path == Path("x") else None)
        found = inversion._distance(replace(g.EncodeSettings(), lpips="x"), CPU)(a, b)
        torch.testing.assert_close(found, 2 + (a - b).abs().mean(dim=(1, 2, 3)))
    with pytest.raises(Exception, match=r"lpips\.safetensors"):
        inversion._distance(replace(g.EncodeSettings(), lpips=str(tmp_path / "lpips.safetensors")), CPU)


def test_refusals(lively: Path, photos: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    out = ["--out", tmp_path / "c.safetensors", "--device", "cpu"]
    base = ["encode", lively, "--data", photos, "--split", "all", *out]
    refused(g3d(*base, "--set", "camera=given"), "has no cameras", "camera=found")
    refused(g3d(*base, "--set", "camera=found", "--set", "views=2"), "set views=1")
    refused(g3d(*base, "--set", "views=2"), "set views=1")  # auto finds them, for there are none
    refused(g3d(*base, "--set", "space=z"), "w+, w")
    small = tmp_path / "small"
    assert g3d("prepare-data", "--workers", 1, "images", photos / "images", "--size", 16, "--out", small).code == 0
    refused(g3d("encode", lively, "--data", small, "--split", "all", *out), "16 x 16", "--size 24")
    mnif = ["encode", pipeline.model, "--data", pipeline.data, *out, "--tuned-model", tmp_path / "t"]
    refused(g3d(*mnif), "mnif tunes no model")
    refused(g3d(*base, "--tuned-model", tmp_path / "c.safetensors"), "c.safetensors")
    assert not (tmp_path / "c.safetensors").exists()
