"""What GSGAN adds to the adversarial loss: the contrastive pose loss (eq. 9), and two that hold the coarsest anchors together
(eq. 10).

Letters: B pictures, E numbers of a pose embedding, N anchors.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from g3d.methods.gsgan.attention import nearest


def pose_contrast(of_pictures: Tensor, of_cameras: Tensor, temperature: float, first: int = 0) -> Tensor:
    """eq. 9: each picture's embedding [n, E] is nearest to that of its own camera, among those of the whole batch [B, E], of
    which picture `first` is the first here. A value a picture, [n]; 0 where B is 1."""
    alike = F.normalize(of_pictures, dim=1) @ F.normalize(of_cameras, dim=1).t() / temperature
    return F.cross_entropy(alike, torch.arange(len(alike), device=alike.device) + first, reduction="none")


def centre(anchors: Tensor) -> Tensor:
    """L_center of eq. 10, as its text says it: the squared distance of the mean of anchors [B, N, 3] from the origin, [B]. (The
    equation as printed, 1/N times the squared norm of the sum, would be N times as much; the public code's is a third.)"""
    return anchors.mean(dim=1).square().sum(dim=1)


def nearness(anchors: Tensor, k: int) -> Tensor:
    """L_knn of eq. 10: the mean squared distance of anchors [B, N, 3] to their k nearest others, [B]. (The equation prints
    the sum over neighbours inside of the norm, where opposite ones would cancel; the text speaks of distances. The public
    code's is a third: a mean over x, y, z, too.)"""
    others = torch.stack(
        [points[index] for points, index in zip(anchors, nearest(anchors, k), strict=True)]
    )  # [B, N, k, 3]
    return (others - anchors.unsqueeze(2)).square().sum(dim=3).mean(dim=(1, 2))
