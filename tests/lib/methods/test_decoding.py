"""Latents to scenes of any method: at the camera that a latent records, where scenes depend on one."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from g3d.latents import Latents, LatentSpace
from g3d.methods import decoding


@pytest.mark.parametrize("seen", [None, torch.arange(50.0).view(2, 25)])
@pytest.mark.parametrize("depends", [True, False])
def test_a_batch_is_decoded_at_the_cameras_of_its_latents(seen: torch.Tensor | None, depends: bool) -> None:
    def condition(model: str, cameras: torch.Tensor) -> str:
        return f"{model} at {cameras[:, 0].tolist()}"

    method: Any = SimpleNamespace(
        condition=condition if depends else None, decode=lambda model, latents, settings: (model, latents, settings)
    )
    latents = Latents(LatentSpace.codes("w", 1), {"codes": torch.zeros(2, 1)}, ["a", "b"], condition_camera=seen)
    wanted: Any = ("m at [0.0, 25.0]" if depends and seen is not None else "m", latents, "how")
    assert decoding.decode(method, "m", latents, "how") == wanted  # type: ignore[type-var]
