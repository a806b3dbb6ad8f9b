"""2,000 Gaussians fitted to 20 views of a car through the backward pass: the gradients, end to end."""

import math
from pathlib import Path

import pytest
import torch
from g3d.data.opening import open_dataset
from g3d.render.splat import rasterize
from g3d.scenes.scene import Gaussians, World
from g3d.steps import prepare_data
from torch.nn import functional as F

COUNT, VIEWS, SIZE, STEPS, BATCH = 2000, 20, 64, 400, 5
RATES = {"means": 1e-2, "log_scales": 3e-2, "quats": 5e-2, "opacity_logits": 5e-2, "sh": 5e-2}


@pytest.mark.slow
def test_a_car_in_2000_gaussians(tmp_path: Path) -> None:
    """28 dB over all pixels of all views; the mean colour of the pictures has 13 or so."""
    options = prepare_data.Options(
        "procedural", "cars", tmp_path / "d", num=1, views=VIEWS, test_views=0, size=SIZE, workers=1
    )
    prepare_data.run(options)
    data = open_dataset(tmp_path / "d")
    cameras = data.cameras
    assert cameras is not None and len(cameras) == VIEWS
    truth = torch.from_numpy(data.pictures(range(VIEWS))).float() / 255
    g = torch.Generator().manual_seed(0)
    low, high = (torch.tensor(corner) for corner in data.bounds)
    start = {
        "means": low + (high - low) * torch.rand(1, COUNT, 3, generator=g),
        "log_scales": torch.full((1, COUNT, 3), math.log(0.04)),
        "quats": torch.randn(1, COUNT, 4, generator=g),
        "opacity_logits": torch.full((1, COUNT), -1.0),
        "sh": torch.zeros(1, COUNT, 1, 3),
    }
    leaves = {name: value.requires_grad_() for name, value in start.items()}
    optimiser = torch.optim.Adam([{"params": [leaves[n]], "lr": rate} for n, rate in RATES.items()], eps=1e-12)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for _ in range(STEPS):
        chosen = torch.randperm(VIEWS, generator=g)[:BATCH]
        drawn = rasterize(Gaussians(**leaves, world=World()), cameras[chosen], depth=False)
        loss = F.mse_loss(drawn.rgb[0], truth[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        found = rasterize(Gaussians(**leaves, world=World()), cameras, depth=False).rgb[0]
    flat = F.mse_loss(truth.mean(dim=(0, 1, 2)).expand_as(truth), truth)
    assert -10 * math.log10(float(flat)) < 16
    psnr_db = -10 * math.log10(float(F.mse_loss(found.clamp(0, 1), truth)))
    assert psnr_db >= 28, psnr_db
