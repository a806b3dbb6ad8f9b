"""mNIF's network: exact parameter counts, and mixed weights against the sum over basis networks that they stand for."""

import math
from dataclasses import replace

import pytest
import torch
from g3d.methods.mnif import PRESETS, Config, MixtureOfSirens, decode, unfitted
from g3d.methods.mnif.networks import DIMENSIONS, code_size, layer_sizes, network, weights_of
from g3d.scenes.mlp import evaluate

# Learnable and inference parameters (the paper's tables 1-4; counted here from built networks).
# signal, mixture, (L, W, M, H), learnable, inference
COUNTS = [
    ("image", "shared", (2, 64, 64, 64), 557_248, 8_707),
    ("image", "layer", (2, 64, 64, 256), 557_248, 8_707),
    ("image", "latent", (2, 64, 64, 256), 623_040, 8_707),
    ("image", "latent", (5, 128, 256, 256), 21_793_280, 83_331),
    ("image", "latent", (4, 64, 256, 1024), 5_933_312, 17_027),
    ("voxel", "latent", (4, 64, 256, 512), 5_129_984, 16_961),
    ("voxel", "latent", (5, 128, 512, 1024), 46_272_512, 83_201),
    ("radiance", "latent", (4, 64, 256, 128), 4_590_080, 17_156),
]


def config(signal: str, mixture: str, sizes: tuple[int, int, int, int]) -> Config:
    layers, width, bases, latent = sizes
    return replace(
        Config(), signal=signal, mixture=mixture, hidden_layers=layers, width=width, bases=bases, latent_dim=latent
    )


@pytest.mark.parametrize(("signal", "mixture", "sizes", "learnable", "inference"), COUNTS)
def test_parameter_counts(
    signal: str, mixture: str, sizes: tuple[int, int, int, int], learnable: int, inference: int
) -> None:
    settings = config(signal, mixture, sizes)
    mixture_of_sirens = MixtureOfSirens(settings)
    assert sum(p.numel() for p in mixture_of_sirens.parameters()) == learnable
    scene = decode(unfitted(mixture_of_sirens, settings), torch.zeros(1, code_size(settings)))
    assert sum(w.numel() + b.numel() for w, b in scene.weights.values()) == inference


def test_the_large_image_model_has_33_4_million() -> None:
    settings = config("image", "latent", (5, 128, 384, 512))
    learnable = sum(384 * (inputs + 1) * outputs for inputs, outputs in layer_sizes(settings)) + 384 * 7 * (512 + 1)
    assert round(learnable / 1e6, 1) == 33.4
    assert sum(p.numel() for p in MixtureOfSirens(settings).parameters()) == learnable


def test_the_srncars_preset_is_the_papers() -> None:
    preset = PRESETS["srncars"]
    assert (preset.hidden_layers, preset.width, preset.bases, preset.latent_dim) == (4, 64, 256, 128)
    assert (preset.batch, preset.views_per_item, preset.pixels_per_view, preset.points_per_ray) == (8, 32, 512, 32)
    assert (preset.lr, preset.inner_lr, preset.epochs, preset.warmup) == (1e-4, 1e-4, 2000, 0)


@pytest.mark.parametrize("mixture", ["shared", "layer", "latent"])
@pytest.mark.parametrize("signal", list(DIMENSIONS))
def test_mixed_weights_are_the_sum_over_bases(signal: str, mixture: str) -> None:
    """Eq. 6 layer by layer in float64, every basis evaluated on its own, against eq. 8-9."""
    settings = config(signal, mixture, (2, 8, 5, 3))
    g = torch.Generator().manual_seed(1)
    net = MixtureOfSirens(settings, g).double()
    codes = torch.randn(4, code_size(settings), generator=g, dtype=torch.float64)
    inputs = DIMENSIONS[signal][0]
    x = torch.rand(4, 7, inputs, generator=g, dtype=torch.float64) * 2 - 1
    alpha = net.coefficients(codes)
    for scene in range(4):
        h = x[scene]
        last = len(net.basis_weight) - 1
        for i, (weight, bias) in enumerate(zip(net.basis_weight, net.basis_bias, strict=True)):
            total = sum(alpha[scene, i, m] * (h @ weight[m].T + bias[m]) for m in range(5))
            assert isinstance(total, torch.Tensor)
            h = total if i == last else torch.sin(settings.omega0 * total)
        raw = network(settings, drawn=False)
        found = evaluate(raw, weights_of(net.mix(codes)), {"x": x})
        name = "occupancy" if signal == "voxel" else "rgb"
        torch.testing.assert_close(found[name][scene], h[:, : found[name].shape[-1]])
        if signal == "radiance":
            density = (torch.nn.functional.elu(h[:, 3], 0.1) + 0.1).clamp(max=10)
            torch.testing.assert_close(found["density"][scene, :, 0], density)
            assert (density >= 0).all()


@pytest.mark.parametrize("mixture", ["shared", "layer", "latent"])
def test_a_zero_code_gives_every_basis_the_same_share(mixture: str) -> None:
    settings = config("radiance", mixture, (2, 8, 5, 3))
    alpha = MixtureOfSirens(settings).coefficients(torch.zeros(2, code_size(settings)))
    assert alpha.shape == (2, 4, 5)
    torch.testing.assert_close(alpha, torch.full_like(alpha, 1 / 5))


def test_the_start_is_sirens() -> None:
    """First layer within 1/I, the others within sqrt(6/I)/w0, and close to the bounds; T as its setting says."""
    net = MixtureOfSirens(config("radiance", "latent", (2, 64, 32, 64)))
    for i, weight in enumerate(net.basis_weight):
        bound = 1 / 3 if i == 0 else math.sqrt(6 / 64) / 30
        assert weight.abs().max() <= bound and weight.abs().max() > 0.99 * bound
    assert net.project is not None
    assert float(net.project.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    assert (net.project.bias == 1 / 32).all()


def test_activations_spread_as_the_sheet_says() -> None:
    """A single SIREN keeps its spread through the layers; the mean of 256 independent ones has little left (A.2.4)."""

    @torch.no_grad()
    def spread(bases: int) -> list[float]:
        settings = config("radiance", "latent", (4, 64, bases, 8))
        net = MixtureOfSirens(settings, torch.Generator().manual_seed(0))
        h = torch.rand(1, 2000, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1
        found = []
        mixed = net.mix(torch.zeros(1, 8))
        for weight, bias in list(zip(mixed[::2], mixed[1::2], strict=True))[:-1]:
            h = torch.baddbmm(bias.unsqueeze(1), h, weight.transpose(1, 2)).sin()
            found.append(float(h.std(dim=1).mean()))  # of a feature over points
        return found

    assert min(spread(1)) > 0.4
    many = spread(256)
    assert 0.2 < many[0] < 0.4 and many[1] < 0.04 and many[2] < 0.005 and many[-1] < 1e-3


def test_colours_are_clamped_only_when_drawn() -> None:
    settings = config("radiance", "latent", (1, 8, 2, 3))
    assert network(settings, drawn=True).outputs["rgb"].activation.kind == "clamp"
    assert network(settings, drawn=False).outputs["rgb"].activation.kind == "linear"
