"""Empty space, found once a scene and not asked again: a grid of cells over the scene's box, and a query that heeds it.

A cell is empty if the density at its middle and at the middles of its 26 neighbours is next to nothing. Samples in empty
cells get density 0 without a question to the field, so what is drawn differs by the little density that was there, and by
what is thinner than a cell and falls between the middles.

Letters: B scenes, P points, G cells along an edge of the box.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from g3d.render.volume import Query

CELLS = 64  # G
# Opacity of a ray all the way through the box that is as dense as what is skipped: its densest cell, and its mean over the
# box. A mean so small makes next to no difference; a fog that is thin everywhere is not skipped.
DENSEST, MEAN = 0.1, 0.005


@dataclass(frozen=True)
class Grid:
    """Which cells of a box may hold something: `occupied` [G G G], flat, x first and z fastest."""

    occupied: Tensor  # [G^3] bool
    low: Tensor  # [3] world
    cells_per_unit: Tensor  # [3]

    def holds(self, points: Tensor) -> Tensor:
        """Whether points [B, P, 3] lie in occupied cells [B, P]; those outside the box count to its outermost cells."""
        cells = round(len(self.occupied) ** (1 / 3))
        x, y, z = ((points - self.low) * self.cells_per_unit).clamp_(0, cells - 1).long().unbind(-1)
        return self.occupied[(x * cells + y) * cells + z]

    def share(self) -> float:
        """Of the cells that are occupied."""
        return float(self.occupied.float().mean())


def find(density: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, chunk: int, cells: int = CELLS) -> Grid:
    """Ask `density` (points [1, P, 3] => [1, P]) once at the middle of every cell, `chunk` points at a time."""
    u = (torch.arange(cells, dtype=low.dtype, device=low.device) + 0.5) / cells
    middles = low + (high - low) * torch.cartesian_prod(u, u, u)  # [G^3, 3]
    found = torch.cat([density(part.unsqueeze(0))[0] for part in middles.split(chunk)])
    depth = found * (high - low).norm()  # optical depth of a ray through the box, about its opacity while small
    thinnest = depth.sort().values
    few = (thinnest.cumsum(dim=0, dtype=torch.float64) <= MEAN * len(depth)) & (thinnest <= DENSEST)  # a prefix
    limit = torch.inf if few.all() else float(thinnest[few.sum()])
    something = (depth >= limit).view(1, 1, cells, cells, cells)
    wider = F.max_pool3d(something.float(), kernel_size=3, stride=1, padding=1)
    return Grid(wider.flatten() > 0, low, cells / (high - low))


def skipping(query: Query, grid: Grid, uses_direction: bool) -> Query:
    """The same query, asked only in occupied cells; one scene at a time. Unused directions are not gathered."""

    def ask(points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        assert len(points) == 1, "a grid belongs to one scene"
        where = grid.holds(points)[0].nonzero().squeeze(1)
        rgb, density = torch.zeros_like(points), torch.zeros_like(points[..., 0])
        if len(where):
            along = directions[:, where] if uses_direction else directions[:, :0]
            rgb[0, where], density[0, where] = (part[0] for part in query(points[:, where], along))
        return rgb, density

    return ask
