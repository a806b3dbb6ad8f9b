"""Where a picture's next rays are looked for: by the loss of its last ones (section 10).

A share of a picture's sampled pixels become Gaussians of the height of their loss (eq. 8); their sum (eq. 9), normalised, is the
probability of each pixel at the picture's next visit. It is replaced at each visit, and even again after every tenth. What is
kept are the pixels and their losses, a few numbers a picture; the map is made when it is asked for.

Letters: V pictures, K Gaussians of each, N rays of a visit, H rows, W columns.
"""

import torch
from torch import Tensor

FEW_VISITS = 20  # of a picture in a whole run, below which its map hardly ever differs from an even one


class Maps:
    """The Gaussians of V pictures. `pixels`, `losses` and `visits` are all that a resumed run needs."""

    def __init__(self, count: int, height: int, width: int, gaussians: int, sigma_px: float, reset: int):
        self.height, self.width, self.sigma_px, self.reset = height, width, sigma_px, reset
        self.pixels = torch.zeros(count, gaussians, dtype=torch.int32)  # flat index
        self.losses = torch.zeros(count, gaussians)  # all 0: the map is even
        self.visits = torch.zeros(count, dtype=torch.int32)

    def probabilities(self, row: int) -> Tensor:
        """[H W] of one picture; sums to 1. Eq. 9; Sigma is sigma_px^2 I, whose factor before the exponent cancels."""
        losses = self.losses[row].double()
        if not bool(losses.sum() > 0):
            return torch.full((self.height * self.width,), 1 / (self.height * self.width), dtype=torch.float64)
        at = self.pixels[row].long()
        down = self._bell(torch.div(at, self.width, rounding_mode="floor"), self.height) * losses[:, None]  # [K, H]
        found = (down.T @ self._bell(at % self.width, self.width)).flatten()  # a Gaussian is a product of two
        return found / found.sum()

    def draw(self, row: int, rays: int, rng: torch.Generator) -> Tensor:
        """[N] flat pixels of a picture, drawn by its map."""
        if not bool(self.losses[row].sum() > 0):
            return torch.randint(self.height * self.width, (rays,), generator=rng)
        return torch.multinomial(self.probabilities(row), rays, replacement=True, generator=rng)

    def replace(self, rows: Tensor, pixels: Tensor, losses: Tensor) -> None:
        """A visit: Gaussians at `pixels` [n, K] of the heights `losses` [n, K] instead of the old ones of pictures [n]."""
        for row, some, heights in zip(rows.tolist(), pixels, losses, strict=True):
            self.visits[row] += 1
            if int(self.visits[row]) % self.reset == 0:
                self.losses[row] = 0
            else:
                self.pixels[row], self.losses[row] = some.int(), heights

    def _bell(self, middle: Tensor, size: int) -> Tensor:
        """[K] => [K, size]: exp(-d^2 / 2 sigma^2)."""
        distance = torch.arange(size, dtype=torch.float64) - middle[:, None]
        return torch.exp(-(distance.square()) / (2 * self.sigma_px**2))
