"""A whole conversion: a scene => Gaussians that draw it, and figures of how well they do."""

from dataclasses import asdict, dataclass
from typing import Any

from g3d.cameras import SIDE_MOST
from g3d.conversion.fit import Fit, fitted, held_out_psnr
from g3d.conversion.start import start_points
from g3d.conversion.views import drawn_views
from g3d.errors import G3dError
from g3d.losses.paired import WINDOW_PX
from g3d.progress import Progress
from g3d.scenes.mlp import reads
from g3d.scenes.scene import Field, Gaussians, MlpField

HELD_OUT = 20
DIRECTIONAL = 4  # coefficients of a colour that depends on the direction
RANGES = {"num": (1, 5_000_000), "views": (1, 10_000), "size": (WINDOW_PX, SIDE_MOST), "steps": (1, 1_000_000)}


@dataclass(frozen=True)
class Plan:
    """How many Gaussians at most, fitted to how many views of what width, in how many steps."""

    num: int = 20000
    views: int = 100
    size: int = 128
    steps: int = 1000
    seed: int = 0

    def check(self) -> None:
        """Refuse numbers out of range, as the options of the same names."""
        for name, (low, high) in RANGES.items():
            if not low <= asdict(self)[name] <= high:
                raise G3dError(f"--{name} is {asdict(self)[name]}; it must lie between {low} and {high}")


def converted(scene: Field, plan: Plan, progress: Progress) -> tuple[Gaussians, dict[str, Any]]:
    """The Gaussians, and PSNR of held-out and of fitted views with the numbers that it depends on."""
    how = Fit(plan.num, plan.steps, _coefficients(scene), plan.seed)
    views = drawn_views(scene, plan.views, plan.size, plan.seed, "views", progress)
    held_out = drawn_views(scene, HELD_OUT, plan.size, plan.seed, "held-out views", progress)
    points = start_points(scene, views, how.begun, plan.seed)
    found = fitted(views, points, scene.world, how, progress)
    return found, {
        "psnr_held_out": round(held_out_psnr(found, held_out), 2), "psnr_views": round(held_out_psnr(found, views), 2),
        "gaussians": found.means.shape[1], "views": plan.views, "held_out_views": HELD_OUT, "steps": plan.steps,
        "width": held_out.cameras.width, "height": held_out.cameras.height,
    }  # fmt: skip


def told(name: str, figures: dict[str, Any]) -> str:
    """The figures in a line."""
    return f"{name}: {figures['psnr_held_out']:.2f} dB of {HELD_OUT} held-out views, {figures['gaussians']} Gaussians"


def _coefficients(scene: Field) -> int:
    """Of spherical harmonics: one where a colour is the same from everywhere."""
    if not isinstance(scene, MlpField):
        return 1
    lit = scene.signal == "occupancy"  # its shading turns with the camera
    return DIRECTIONAL if lit or reads(scene.network, "rgb", "direction") else 1
