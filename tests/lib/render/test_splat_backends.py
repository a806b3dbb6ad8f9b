"""Which back end draws, what is said where it cannot, and what is handed to gsplat."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from g3d.errors import G3dError, Missing
from g3d.render.splat import choose, gsplat, rasterize, reference
from g3d.render.splat.inputs import Inputs, prepared
from splat_cases import CAMERAS, crowd
from torch import Tensor

CPU = torch.device("cpu")


def test_auto_takes_the_kernels_of_the_device() -> None:
    assert choose("auto", CPU) == "cpu" and choose("reference", CPU) == "reference"
    with pytest.raises(G3dError, match=r"the back end 'cup' is unknown .did you mean 'cpu'"):
        choose("cup", CPU)
    for backend in ("gpu", "gsplat"):
        with pytest.raises(G3dError, match=f"'{backend}' needs a CUDA GPU.*--backend cpu"):
            choose(backend, CPU)
    with pytest.raises(G3dError, match="draws on the CPU, and the scene is on cuda:0"):
        choose("cpu", torch.device("cuda", 0))


def test_without_the_packages_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("numba", "gsplat", "triton"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(Missing, match="pip install numba"):
        rasterize(crowd(3), CAMERAS)
    with pytest.raises(Missing, match="pip install gsplat"):
        choose("gsplat", torch.device("cuda", 0))
    with pytest.raises(Missing, match="comes with torch"):
        choose("gpu", torch.device("cuda", 0))
    assert float(rasterize(crowd(3), CAMERAS, backend="reference").alpha.max()) > 0


@pytest.mark.parametrize("depth", [True, False])
def test_gsplat_is_given_what_its_interface_asks_for(depth: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in of its function that draws by the reference what it was handed, in gsplat's own units."""
    seen: list[dict[str, Any]] = []

    def stand_in(
        means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, colors: Tensor, viewmats: Tensor, Ks: Tensor,
        width: int, height: int, **more: Any,
    ) -> tuple[Tensor, Tensor, dict[str, Any]]:  # fmt: skip
        seen.append(more)
        views = len(viewmats)
        assert viewmats.shape == (views, 4, 4) and Ks.shape == (views, 3, 3) and colors.shape == (views, len(means), 3)
        intrinsics = torch.stack([Ks[:, 0, 0], Ks[:, 1, 1], Ks[:, 0, 2], Ks[:, 1, 2]], dim=-1)
        drawn = reference.draw(Inputs(
            means[None], scales.log()[None], quats[None], torch.logit(opacities)[None], colors[None], viewmats[None, :, :3],
            intrinsics[None], means.new_zeros(1, views, 3), width, height, more["rasterize_mode"] == "antialiased", True,
        ))  # fmt: skip
        assert drawn.far is not None
        channels = [drawn.rgb[0]] + ([drawn.far[0].unsqueeze(-1)] if more["render_mode"] == "RGB+D" else [])
        return torch.cat(channels, dim=-1), (1 - drawn.through[0]).unsqueeze(-1), {}

    monkeypatch.setitem(sys.modules, "gsplat", SimpleNamespace(rasterization=stand_in))
    inputs = prepared(crowd(60, 2), CAMERAS, (0.2, 0.4, 0.6), None, 1.0, True, depth)
    for have, want in zip(gsplat.draw(inputs), reference.draw(inputs), strict=True):
        assert (have is None) == (want is None)
        if have is not None and want is not None:
            torch.testing.assert_close(have, want, atol=1e-10, rtol=0)
    assert seen[0]["near_plane"] == 0.01 and seen[0]["eps2d"] == 0.3 and len(seen) == 2
