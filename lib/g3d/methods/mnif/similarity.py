"""How alike the basis networks are: cosines of their weight matrices, layer by layer (mNIF, figure 4).

Letters: M bases, O and I features out of and into a layer.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from g3d.methods.mnif.codec import Model


@torch.no_grad()
def similarity(model: Model) -> dict[str, Tensor]:
    """By layer, |cos| of every pair of bases [M, M]; 0 on the diagonal, as the paper draws it. Biases do not count."""
    found = {}
    for i, weight in enumerate(model.network.basis_weight):  # [M, O, I]
        directions = F.normalize(weight.flatten(1).double(), dim=1)
        cosine = (directions @ directions.T).abs()
        found[f"layer {i}"] = cosine.fill_diagonal_(0).float().cpu()
    return found
