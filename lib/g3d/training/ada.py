"""The controller of adaptive augmentation: more where the discriminator knows the training pictures by heart (Karras et al.
2020, "Training Generative Adversarial Networks with Limited Data", section 3.1).

The sign statistic r_t = E[sign(D(real))] is 0 where it tells nothing apart and 1 where it has overfitted.
"""

import torch
from torch import Tensor

TARGET, EVERY_STEPS, FULL_RANGE_ITEMS = 0.6, 4, 500_000  # the paper's: p from 0 to 1 takes 500k pictures at the fastest


class Controller:
    """The strength p, moved every few steps toward the target. `state` is all that --resume needs."""

    def __init__(
        self,
        p: float,
        device: torch.device,
        *,
        target: float = TARGET,
        every_steps: int = EVERY_STEPS,
        full_range_items: float = FULL_RANGE_ITEMS,
    ):
        self.target, self.every_steps, self.full_range_items = target, every_steps, full_range_items
        self.state = torch.tensor([p, 0.0, 0.0], dtype=torch.float64, device=device)  # p, sum of signs, logits seen

    @property
    def p(self) -> Tensor:
        """The strength now, a number in [0, 1]; stays on its device."""
        return self.state[0]

    def see(self, signs_sum: Tensor, count: int) -> None:
        """The sum of the signs of `count` logits of real pictures, over all processes."""
        self.state[1] += signs_sum.double()
        self.state[2] += count

    def adjust(self, step: int, batch: int) -> None:
        """Every few steps: p one notch up where the mean sign is above the target, down where it is below."""
        if (step + 1) % self.every_steps:
            return
        notch = batch * self.every_steps / self.full_range_items
        move = torch.sign(self.state[1] / self.state[2].clamp(min=1) - self.target) * notch
        self.state[0] = (self.state[0] + move).clamp(0, 1)
        self.state[1:] = 0
