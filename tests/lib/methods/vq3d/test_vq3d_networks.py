"""VQ3D's networks: sizes of the paper, where tokens lie, the two other decoders, the two-dimensional autoencoder alone."""

from dataclasses import replace

import pytest
import torch
from g3d.errors import G3dError
from g3d.evaluation.cost import view_of
from g3d.methods.vq3d import PRESETS, Autoencoder, vit
from g3d.methods.vq3d.networks import over_pixels
from g3d.methods.vq3d.quantiser import Quantiser, spread
from g3d.methods.vq3d.views import canonical, in_disc, seen, world_of
from g3d.render import FieldSettings, empty_space, render_with_disparity
from g3d.scenes.scene import MlpField, Triplane, World, plane_features
from torch import Tensor, nn

SMOKE = PRESETS["smoke"]


def test_parameters_of_the_papers_model_by_hand() -> None:
    def block(width: int, inner: int) -> int:
        attention = width * 3 * inner + inner * width + width
        return attention + 2 * 4 * width * width + 5 * width + 4 * width

    def stack(width: int, inner: int, depth: int) -> int:
        return depth * block(width, inner) + 2 * width + 2 * 4 * width * width + 5 * width

    encoder = 192 * 512 + 512 + stack(512, 512, 8) + 512 * 32 + 32
    decoder = 32 * 1280 + 1280 + stack(1280, 1024, 32)
    head = 1280 * 16 * 16 * 96 + 16 * 16 * 96
    mlps = (32 * 32 + 32 + 32 * 4 + 4) + (32 * 32 + 32 + 32 + 1)
    with torch.device("meta"):
        model = Autoencoder(PRESETS["imagenet256"])
    sizes = {name: sum(p.numel() for p in module.parameters()) for name, module in model.named_children()}
    assert sizes["encoder"] == encoder == 27_422_752
    assert sizes["decoder"] == decoder and 595e6 < decoder < 605e6  # the sheet's "about 600 M"
    assert sizes["head"] == head and sizes["quantiser"] == 8192 * 32
    assert sum(sizes.values()) == encoder + decoder + head + 8192 * 32 + mlps


def test_patches_come_back() -> None:
    x = torch.rand(2, 3, 12, 12)
    tokens = vit.patches(x, 4)
    assert tokens.shape == (2, 9, 48) and torch.equal(vit.unpatched(tokens, 3), x)
    assert torch.equal(
        tokens[:, 1].view(2, 3, 4, 4), x[:, :, :4, 4:8]
    )  # the second token lies to the right of the first


def test_positions_are_all_different() -> None:
    found = vit.sine_positions(32, 6)
    distance = torch.cdist(found, found) + torch.eye(36) * 9
    assert found.shape == (36, 32) and float(distance.min()) > 0.1
    assert torch.equal(found[:6, :16], found[:1, :16].expand(6, -1))  # of one row


def test_a_bright_patch_moves_the_planes_where_it_lies() -> None:
    """A token's features are looked up by the rays through its patch: by those, not by others, at any depth."""
    config = replace(SMOKE, decoder_depth=0)  # without attention a token moves nothing but its own piece
    model = Autoencoder(config, torch.Generator().manual_seed(0))
    codes = torch.zeros(1, config.tokens, config.code_dim)
    world = world_of(config, (0.0, 0.0, 0.0))
    camera = canonical(config)
    still = model.scene(model.decode(codes), world)
    row, column = 0, 2  # at the top, right of the middle
    moved = codes.clone()
    moved[0, row * config.side + column] = 1.0
    changed = model.scene(model.decode(moved), world)
    assert isinstance(still, Triplane) and isinstance(changed, Triplane)
    flat = torch.arange(config.resolution**2)
    x, y = flat % config.resolution, flat // config.resolution
    right, down = (
        (x - camera.width / 2 + 0.5) / camera.intrinsics[0, 0],
        (y - camera.height / 2 + 0.5) / camera.intrinsics[0, 1],
    )
    points = torch.stack([right, -down, torch.full_like(right, config.radius_world - 1)], dim=1).unsqueeze(
        0
    )  # camera z is 1
    only_xy = replace(changed, planes=torch.cat([changed.planes[:, :1], still.planes[:, 1:]], dim=1))
    with torch.no_grad():
        difference = (plane_features(only_xy, points) - plane_features(still, points)).abs().sum(dim=2)[0]
    inside = (y // config.patch == row) & (x // config.patch == column)
    weight = float(difference[inside].sum() / difference.sum())
    centre = (difference[:, None] * torch.stack([x, y], dim=1)).sum(dim=0) / difference.sum()
    assert weight > 0.5, "most of what a token says is seen through its own patch"
    wanted = torch.tensor([(column + 0.5) * config.patch, (row + 0.5) * config.patch])
    assert float((centre + 0.5 - wanted).abs().max()) < config.patch / 2


def test_rows_run_downward_on_two_planes() -> None:
    planes = torch.arange(3.0 * 4).view(1, 3, 1, 2, 2)
    xy, xz, yz = over_pixels(planes)[0, :, 0]
    assert xy.tolist() == [[2, 3], [0, 1]] and xz.tolist() == [[4, 5], [6, 7]]
    assert yz.tolist() == [[10, 8], [11, 9]]  # y along the columns, upward


def test_weights_sum_to_one_and_gradients_reach_everything() -> None:
    config = replace(SMOKE, codebook="gradient")
    model = Autoencoder(config, torch.Generator().manual_seed(0))
    found, made = model(torch.rand(2, 3, 16, 16))
    view = seen(model.scene(made, world_of(config, (0.0, 0.0, 0.0))), canonical(config), config)
    torch.testing.assert_close(view.weights.sum(dim=2), torch.ones(2, 256))
    low, high = view.disparity.detach().aminmax()
    assert view.rgb.shape == (2, 256, 3) and low >= 0 and high <= 1
    proposal = view.rays.rounds[0].weights.square().sum()
    (view.rgb.square().mean() + found.loss.mean() + view.disparity.mean() + proposal).backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not idle


@pytest.mark.parametrize("changes", [{"backbone": "cnn", "plane_size": 24}, {"scene": "implicit"}])
def test_the_other_decoders_draw_and_learn(changes: dict[str, object]) -> None:
    """Rows 2 and 7 of table 3."""
    config = replace(SMOKE, **changes)  # type: ignore[arg-type]
    model = Autoencoder(config, torch.Generator().manual_seed(1))
    pictures = torch.rand(2, 3, 16, 16)
    found, made = model(pictures)
    scene = model.scene(made, world_of(config, (0.0, 0.0, 0.0)))
    assert found.tokens.shape == (2, config.tokens) and isinstance(scene, MlpField if "scene" in changes else Triplane)
    view = seen(scene, canonical(config), config)
    (view.rgb - pictures.flatten(2).transpose(1, 2)).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.encoder.parameters())
    assert float((view.rgb[0] - view.rgb[1]).detach().abs().max()) > 0  # scenes differ


@pytest.mark.parametrize("kind", ["triplane", "implicit"])
def test_scenes_are_drawn_as_they_were_fitted(kind: str) -> None:
    """From the canonical camera and from beside it, to the far plane: outside of the bounds, too, which are of meshes."""
    config = replace(SMOKE, scene=kind)  # type: ignore[arg-type]
    model = Autoencoder(config, torch.Generator().manual_seed(3))
    with torch.no_grad():
        if model.implicit is not None:  # thin, so that rays pass the bounds
            model.implicit.last.bias[3] = -4.0
        scene = model.scene(model(torch.rand(1, 3, 16, 16))[1], world_of(config, (0.0, 0.0, 0.0)))
        for cameras in (canonical(config), in_disc(config, torch.tensor([[0.3, 0.8]]))):
            drawn, sums = render_with_disparity(scene, cameras)
            view = seen(scene, cameras, config)
            torch.testing.assert_close(drawn.rgb[0].flatten(0, 1), view.rgb[0].clamp(0, 1), atol=1e-5, rtol=0)
            torch.testing.assert_close(sums.first[0].flatten(), view.disparity[0], atol=1e-5, rtol=0)
    if kind == "implicit":
        assert float(drawn.depth.amax()) > 3.5, "no ray ends behind the bounds, so that this shows nothing"
        assert World.from_json(scene.world.as_json(), "w") == scene.world
        assert view_of(scene, None, torch.device("cpu"), "auto").points == 16 * 16 * config.samples
        with pytest.raises(G3dError, match="goes on outside its bounds"):
            empty_space(scene, cameras, FieldSettings(config.samples, False, skip_empty="on"))


def test_activation_checkpointing_changes_no_gradient() -> None:
    gradients = []
    for wanted in (False, True):
        model = Autoencoder(replace(SMOKE, checkpoint=wanted), torch.Generator().manual_seed(0))
        found, made = model(torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)))
        (made.square().mean() + found.loss.mean()).backward()
        gradients.append([p.grad for p in (*model.encoder.parameters(), *model.decoder.parameters())])
    for a, b in zip(*gradients, strict=True):
        assert a is not None and b is not None and torch.equal(a, b)


@pytest.mark.parametrize("backbone", ["vit", "cnn"])
def test_bf16_is_of_the_products_alone(backbone: str) -> None:
    """Near to single precision, not equal to it; weights, latents, planes and gradients stay single."""
    made, latents = [], []
    for precision in ("fp32", "bf16"):
        config = replace(SMOKE, precision=precision, backbone=backbone)  # type: ignore[arg-type]
        model = Autoencoder(config, torch.Generator().manual_seed(0))
        latents.append(model.encode(torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))))
        made.append(model.decode(torch.rand(2, config.tokens, 8, generator=torch.Generator().manual_seed(2))))
        made[-1].square().mean().backward()
        assert all(p.dtype == torch.float32 for p in model.parameters())
        assert all(p.grad is None or p.grad.dtype == torch.float32 for p in model.parameters())
    for single, half in (made, latents):
        assert half.dtype == torch.float32 and not torch.equal(single, half)
        assert float((single - half).detach().abs().mean()) < 0.03 * float(single.detach().abs().mean())


def test_novel_cameras_stand_in_the_disc_and_look_at_the_origin() -> None:
    u = torch.rand(4000, 2, generator=torch.Generator().manual_seed(0))
    cameras = in_disc(SMOKE, u)
    eye, forward = cameras.c2w[:, :3, 3], cameras.c2w[:, :3, 2]
    assert (
        torch.allclose(eye[:, 2], torch.ones(4000)) and float(eye[:, :2].norm(dim=1).max()) <= SMOKE.disc_radius + 1e-6
    )
    assert float((eye[:, :2].norm(dim=1) < SMOKE.disc_radius / 2**0.5).float().mean()) == pytest.approx(0.5, abs=0.03)
    torch.testing.assert_close(forward, -eye / eye.norm(dim=1, keepdim=True))


class _Flat(nn.Module):
    """The ViT-VQ alone: a decoder of pixels instead of planes."""

    def __init__(self) -> None:
        super().__init__()
        config = replace(SMOKE, resolution=16, encoder_width=64, decoder_width=64, codes=128, code_dim=16)
        self.encoder, self.decoder = vit.Encoder(config), vit.Decoder(config)
        self.quantiser = Quantiser(config, torch.Generator().manual_seed(0))
        self.pixels = nn.Linear(64, 3 * config.patch**2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = self.quantiser(self.encoder(x))
        self.quantiser.learn(self.quantiser.tally(found))
        return vit.unpatched(self.pixels(self.decoder(found.codes)), 3), found.loss, found.latents


@pytest.mark.slow
def test_the_autoencoder_of_pictures_alone_over_fits_32_of_them() -> None:
    torch.manual_seed(0)
    y, x = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    g = torch.Generator().manual_seed(5)
    squares = []
    for _ in range(32):
        a, b, side = (int(n) for n in torch.randint(2, 10, (3,), generator=g))
        inside = ((x >= a) & (x < a + side) & (y >= b) & (y < b + side)).float()
        front, back = torch.rand(2, 3, 1, 1, generator=g)
        squares.append(front * inside + back * (1 - inside))
    pictures, model = torch.stack(squares), _Flat()
    latents = model.quantiser(model.encoder(pictures)).latents.flatten(0, 1)
    model.quantiser.replace(torch.ones(128, dtype=torch.bool), latents.detach(), g)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for step in range(400):
        drawn, loss, latents = model(pictures)
        error = (drawn - pictures).square().mean()
        optimiser.zero_grad()
        (error + loss.mean()).backward()
        optimiser.step()
        if step % 10 == 9 and step < 300:
            model.quantiser.reset(latents.detach().flatten(0, 1), g)
    assert float(-10 * error.detach().log10()) > 22  # their mean has 11
    assert float(spread(latents.detach())) > 0.3
