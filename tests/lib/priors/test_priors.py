"""Priors by what they must reproduce: moments, modes, independence of the batch."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from g3d import artifacts
from g3d.errors import G3dError
from g3d.priors import diffusion, gaussian, prior
from g3d.steps import fit_prior


def latents(path: Path, codes: torch.Tensor) -> Path:
    names = [str(i) for i in range(len(codes))]
    artifacts.write(path, "latents", {"codes": codes}, {"space": "phi", "names": names})
    return path


def fitted(path: Path, kind: str, codes: torch.Tensor, settings: list[str]) -> artifacts.Artifact:
    fit_prior.run(fit_prior.Options(latents(path / "l.safetensors", codes), path / "p", kind, settings, device="cpu"))
    return artifacts.read(path / "p" / "prior.safetensors", "prior")


def test_gaussian_samples_have_the_moments_of_the_codes(tmp_path: Path) -> None:
    g = torch.Generator().manual_seed(0)
    codes = torch.randn(300, 3, generator=g) @ torch.tensor([[2.0, 0, 0], [1, 1, 0], [0, 0, 0.1]]) + torch.tensor(
        [5.0, 0, -1]
    )
    loaded = gaussian.load(fitted(tmp_path, "gaussian", codes, []), torch.device("cpu"))
    found = gaussian.sample(loaded, range(4000), 0, gaussian.SampleSettings())
    torch.testing.assert_close(found.mean(dim=0), codes.mean(dim=0), atol=0.12, rtol=0)
    torch.testing.assert_close(torch.cov(found.T), torch.cov(codes.T), atol=0.35, rtol=0)
    still = gaussian.sample(loaded, range(5), 0, gaussian.SampleSettings(temperature=0.0))
    torch.testing.assert_close(still, codes.mean(dim=0).expand(5, 3), atol=1e-5, rtol=0)


def test_one_direction_keeps_the_largest_variance(tmp_path: Path) -> None:
    codes = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 0.2, 0.1])
    loaded = gaussian.load(fitted(tmp_path, "gaussian", codes, ["directions=1"]), torch.device("cpu"))
    spread = gaussian.sample(loaded, range(500), 0, gaussian.SampleSettings()).std(dim=0)
    assert spread[0] > 2.5 and spread[1] < 0.2


@pytest.mark.slow
def test_diffusion_finds_both_modes_and_little_between(tmp_path: Path) -> None:
    """Two clusters at (-2, 0) and (2, 1), spread 0.2, one with twice the weight; both samplers."""
    g = torch.Generator().manual_seed(0)
    heavy = torch.rand(600, 1, generator=g) < 2 / 3
    codes = torch.where(heavy, torch.tensor([2.0, 1.0]), torch.tensor([-2.0, 0.0])) + 0.2 * torch.randn(
        600, 2, generator=g
    )
    settings = ["width=64", "blocks=2", "epochs=150", "lr=2e-3", "batch=64", "time_steps=200"]
    loaded = diffusion.load(fitted(tmp_path, "diffusion", codes, settings), torch.device("cpu"))
    for sampling in (diffusion.SampleSettings(), diffusion.SampleSettings(ddim_steps=50)):
        found = diffusion.sample(loaded, range(400), 0, sampling)
        right = ((found - torch.tensor([2.0, 1.0])).norm(dim=1) < 0.8).float().mean()
        left = ((found - torch.tensor([-2.0, 0.0])).norm(dim=1) < 0.8).float().mean()
        assert right + left > 0.93, sampling
        assert 0.55 < right < 0.8, sampling


def test_a_sample_does_not_depend_on_its_batch(tmp_path: Path) -> None:
    codes = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    settings = ["width=16", "blocks=1", "epochs=2", "time_steps=80"]
    loaded = diffusion.load(fitted(tmp_path, "diffusion", codes, settings), torch.device("cpu"))
    for sampling in (diffusion.SampleSettings(), diffusion.SampleSettings(ddim_steps=7)):
        together = diffusion.sample(loaded, [3, 11, 4], 9, sampling)
        alone = diffusion.sample(loaded, [11], 9, sampling)
        torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-5)
        assert (together[0] - together[2]).abs().max() > 1e-3
        other = diffusion.sample(loaded, [11], 10, sampling)
        assert (other - alone).abs().max() > 1e-3


def test_samples_stay_within_the_range_of_the_codes(tmp_path: Path) -> None:
    """A prior that has learnt next to nothing from few codes: without the clip its samples leave every bound."""
    codes = torch.randn(6, 32, generator=torch.Generator().manual_seed(0))
    settings = ["width=16", "blocks=1", "epochs=1", "time_steps=100"]
    loaded = diffusion.load(fitted(tmp_path, "diffusion", codes, settings), torch.device("cpu"))
    low, high = codes.amin(dim=0), codes.amax(dim=0)
    for sampling in (diffusion.SampleSettings(), diffusion.SampleSettings(ddim_steps=20)):
        found = diffusion.sample(loaded, range(20), 0, sampling)
        assert (found >= low - 1e-5).all() and (found <= high + 1e-5).all()
    free = diffusion.sample(loaded, range(20), 0, diffusion.SampleSettings(clip=False))
    assert (free.abs() > 10).any()


CODES = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
SMALL = ["width=8", "blocks=1", "epochs=1", "time_steps=20"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [("gaussian", "mean"), ("gaussian", "directions"), ("diffusion", "mean"), ("diffusion", "std"), ("diffusion", "low"),
     ("diffusion", "high"), ("diffusion", "network.enter.weight"), ("diffusion", "network.leave.2.bias")],
)  # fmt: skip
def test_a_prior_whose_tensors_do_not_fit_is_refused_by_name(kind: str, name: str, tmp_path: Path) -> None:
    file = fitted(tmp_path, kind, CODES, SMALL if kind == "diffusion" else [])
    wrong = {
        "gone": {k: v for k, v in file.values.items() if k != name},
        "short": {**file.values, name: file.values[name][..., :-1]},
        "whole numbers": {**file.values, name: file.values[name].long()},
        "nan": {**file.values, name: file.values[name] * float("nan")},
    }
    for what, values in wrong.items():
        with pytest.raises(G3dError) as caught:
            prior(kind).load(replace(file, values=values), torch.device("cpu"))
        assert name in str(caught.value) and str(file.path) in str(caught.value), what


def test_a_prior_of_another_size_than_its_latent_space_is_refused(tmp_path: Path) -> None:
    for kind in ("gaussian", "diffusion"):
        (tmp_path / kind).mkdir()
        file = fitted(tmp_path / kind, kind, CODES, SMALL if kind == "diffusion" else [])
        for space in ({"space": "phi", "shape": [5]}, {"space": "phi"}, "phi"):
            with pytest.raises(G3dError, match="prior"):
                prior(kind).load(replace(file, config={**file.config, "latent_space": space}), torch.device("cpu"))


def test_any_whole_number_is_a_seed_and_zero_epochs_are_no_steps(tmp_path: Path) -> None:
    source, found = latents(tmp_path / "l.safetensors", CODES), []
    settings = ["width=8", "blocks=1", "epochs=0", "time_steps=20"]
    for i, seed in enumerate((0, -3, 99999999999999999999)):
        fit_prior.run(fit_prior.Options(source, tmp_path / str(i), "diffusion", settings, seed=seed, device="cpu"))
        file = artifacts.read(tmp_path / str(i) / "prior.safetensors", "prior")
        found.append(file.values["network.enter.weight"])
        fresh = diffusion._build(4, diffusion.Config(width=8, blocks=1), seed).state_dict()
        assert torch.equal(found[-1], fresh["enter.weight"])  # as drawn
    assert not torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
