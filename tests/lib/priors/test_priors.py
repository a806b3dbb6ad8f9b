"""Priors by what they must reproduce: moments, modes, independence of the batch."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from g3d.errors import G3dError
from g3d.priors import diffusion, gaussian, prior
from g3d.steps import fit_prior
from g3d.storage import artifacts


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
    found = gaussian.sample(loaded, range(4000), 0, gaussian.SampleSettings()).flat()
    torch.testing.assert_close(found.mean(dim=0), codes.mean(dim=0), atol=0.12, rtol=0)
    torch.testing.assert_close(torch.cov(found.T), torch.cov(codes.T), atol=0.35, rtol=0)
    still = gaussian.sample(loaded, range(5), 0, gaussian.SampleSettings(temperature=0.0)).flat()
    torch.testing.assert_close(still, codes.mean(dim=0).expand(5, 3), atol=1e-5, rtol=0)


def test_one_direction_keeps_the_largest_variance(tmp_path: Path) -> None:
    codes = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 0.2, 0.1])
    loaded = gaussian.load(fitted(tmp_path, "gaussian", codes, ["directions=1"]), torch.device("cpu"))
    spread = gaussian.sample(loaded, range(500), 0, gaussian.SampleSettings()).flat().std(dim=0)
    assert spread[0] > 2.5 and spread[1] < 0.2


def test_the_preset_paper_is_the_papers() -> None:
    """A.3: width 4096, 4 blocks, T = 1000, Adam at 1e-4 with batches of 32 for 1000 epochs; counted for H = 128."""
    c = diffusion.PRESETS["paper"]
    assert (c.width, c.blocks, c.time_steps, c.lr, c.batch, c.epochs) == (4096, 4, 1000, 1e-4, 32, 1000)
    with torch.device("meta"):
        network = diffusion.ResidualMlp(128, c)
    square, norm = 4096 * 4096 + 4096, 2 * 4096
    wanted = (128 + 1) * 4096 + 2 * square + 4 * 2 * (norm + square) + norm + 4097 * 128
    assert sum(p.numel() for p in network.parameters()) == wanted


MIDDLES = torch.tensor([[2.0, 1.0], [-2.0, 0.0], [0.0, -1.5]])
SPREADS, SHARES = torch.tensor([0.3, 0.3, 0.15]), torch.tensor([0.5, 0.3, 0.2])


def mixture(count: int, seed: int, shares: torch.Tensor = SHARES) -> torch.Tensor:
    """Three round clusters in the plane, of different weight and spread."""
    g = torch.Generator().manual_seed(seed)
    which = torch.multinomial(shares, count, replacement=True, generator=g)
    return MIDDLES[which] + SPREADS[which, None] * torch.randn(count, 2, generator=g)


def energy_distance(x: torch.Tensor, y: torch.Tensor) -> float:
    """2 E|x - y| - E|x - x'| - E|y - y'|: zero between equal distributions alone (Szekely and Rizzo 2013)."""
    x, y = x.double(), y.double()
    return float(2 * torch.cdist(x, y).mean() - torch.cdist(x, x).mean() - torch.cdist(y, y).mean())


@pytest.mark.slow
def test_diffusion_samples_of_a_mixture_cannot_be_told_from_more_of_its_data(tmp_path: Path) -> None:
    """The energy distance of samples to fresh data is within those of 200 further sets of data, by both samplers.

    Of an unfitted prior, of a Gaussian with the right moments, and of clusters with other weights it is not."""
    fresh = mixture(2000, 1)
    usual = max(energy_distance(mixture(500, 10 + i), fresh) for i in range(200))
    codes = mixture(2000, 0)
    kinds = {"fitted": "diffusion", "unfitted": "diffusion", "moments": "gaussian"}
    small = ["width=128", "blocks=2", "lr=2e-3", "batch=256", "time_steps=100"]
    settings = {"fitted": [*small, "epochs=100"], "unfitted": [*small, "epochs=0"], "moments": []}
    for name, kind in kinds.items():
        (tmp_path / name).mkdir()
        loaded = prior(kind).load(fitted(tmp_path / name, kind, codes, settings[name]), torch.device("cpu"))
        ways = [{}, {"ddim_steps": 50}] if kind == "diffusion" else [{}]
        for way in ways:
            samples = prior(kind).sample(loaded, range(500), 0, prior(kind).sample_settings(**way)).flat()
            found = energy_distance(samples, fresh)
            assert (found <= usual) == (name == "fitted"), f"{name} {way}: {found} against {usual}"
    assert energy_distance(mixture(500, 0, torch.tensor([0.35, 0.45, 0.2])), fresh) > usual


def test_a_sample_does_not_depend_on_its_batch(tmp_path: Path) -> None:
    codes = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    settings = ["width=16", "blocks=1", "epochs=2", "time_steps=80"]
    loaded = diffusion.load(fitted(tmp_path, "diffusion", codes, settings), torch.device("cpu"))
    for sampling in (diffusion.SampleSettings(), diffusion.SampleSettings(ddim_steps=7)):
        together = diffusion.sample(loaded, [3, 11, 4], 9, sampling).flat()
        alone = diffusion.sample(loaded, [11], 9, sampling).flat()
        torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-5)
        assert (together[0] - together[2]).abs().max() > 1e-3
        other = diffusion.sample(loaded, [11], 10, sampling).flat()
        assert (other - alone).abs().max() > 1e-3


def test_samples_stay_within_the_range_of_the_codes(tmp_path: Path) -> None:
    """A prior that has learnt next to nothing from few codes: without the clip its samples leave every bound."""
    codes = torch.randn(6, 32, generator=torch.Generator().manual_seed(0))
    settings = ["width=16", "blocks=1", "epochs=1", "time_steps=100"]
    loaded = diffusion.load(fitted(tmp_path, "diffusion", codes, settings), torch.device("cpu"))
    low, high = codes.amin(dim=0), codes.amax(dim=0)
    for sampling in (diffusion.SampleSettings(), diffusion.SampleSettings(ddim_steps=20)):
        found = diffusion.sample(loaded, range(20), 0, sampling).flat()
        assert (found >= low - 1e-5).all() and (found <= high + 1e-5).all()
    free = diffusion.sample(loaded, range(20), 0, diffusion.SampleSettings(clip=False)).flat()
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
