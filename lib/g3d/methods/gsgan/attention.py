"""How points see each other: among all of them, among the nearest in feature space, or among the children of one point.

Edge attention (EdgeConv, as A.1 takes it up): x_i' = sum over j of softmax_j f(x_j - x_i) * g([x_i, x_j - x_i]), channel by
channel. The first layers of f and g are linear in x_i and x_j, so they are computed once a point and only their sum, the
leaky ReLU and the second layers once an edge: the same mathematics, a fraction of the products.

Letters: B samples, N points, k neighbours, C features, H heads.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from g3d.methods.gsgan.config import CHILDREN
from g3d.nets.equalised import SLOPE, Linear

EDGES_AT_ONCE = 4096  # rows of the second layers that stay in cache


class SelfAttention(nn.Module):
    """[B, N, C] => [B, N, C], each point attending to all."""

    def __init__(self, channels: int, heads: int, generator: torch.Generator):
        super().__init__()
        self.heads = heads
        self.qkv = Linear(channels, 3 * channels, generator=generator)
        self.out = Linear(channels, channels, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(x).view(b, n, self.heads, 3, c // self.heads).permute(3, 0, 2, 1, 4)  # each [B, H, N, C / H]
        found = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, c)
        out: Tensor = self.out(found)
        return out


class EdgeAttention(nn.Module):
    """[B, N, C] => [B, N, C] over edges to the k nearest others, or among each 4 consecutive points (`siblings`)."""

    def __init__(self, channels: int, generator: torch.Generator):
        super().__init__()
        half = channels // 2
        self.weight_in = Linear(channels, half, "lrelu", generator=generator)  # f
        self.weight_out = Linear(half, channels, generator=generator)
        self.value_in = Linear(2 * channels, channels, "lrelu", generator=generator)  # g
        self.value_out = Linear(channels, channels, generator=generator)

    def forward(self, x: Tensor, neighbours: Tensor | None) -> Tensor:
        """`neighbours` [B, N, k] are indices of points; None: siblings."""
        b, n, c = x.shape
        flat = x.reshape(b * n, c)
        f, f_bias = self.weight_in.scaled()
        g, g_bias = self.value_in.scaled()
        f_point = flat @ f.t()  # [BN, C / 2]; an edge's is that of j less that of i
        g_own = torch.addmm(g_bias, flat, (g[:, :c] - g[:, c:]).t())  # [BN, C]
        g_other = flat @ g[:, c:].t()
        if neighbours is None:
            parts = self._siblings(f_point, f_bias, g_own, g_other)
        else:
            first = torch.arange(b, device=x.device).view(b, 1, 1) * n
            parts = self._nearest(f_point, f_bias, g_own, g_other, (neighbours + first).view(b * n, -1))
        return torch.cat(parts).view(b, n, c)

    def _nearest(self, f: Tensor, f_bias: Tensor, g_own: Tensor, g_other: Tensor, places: Tensor) -> list[Tensor]:
        size = max(1, EDGES_AT_ONCE // places.shape[1])
        parts = []
        for i in range(0, len(f), size):
            to = places[i : i + size]  # [n, k]
            edge_f = f[to] + (f_bias - f[i : i + size]).unsqueeze(1)
            parts.append(self._mixed(edge_f, g_other[to] + g_own[i : i + size].unsqueeze(1)))
        return parts

    def _siblings(self, f: Tensor, f_bias: Tensor, g_own: Tensor, g_other: Tensor) -> list[Tensor]:
        f, g_own, g_other = (t.view(-1, CHILDREN, t.shape[1]) for t in (f, g_own, g_other))  # [parents, 4, .]
        size = max(1, EDGES_AT_ONCE // CHILDREN**2)
        parts = []
        for i in range(0, len(f), size):
            one = slice(i, i + size)
            edge_f = (f[one].unsqueeze(1) + (f_bias - f[one]).unsqueeze(2)).flatten(0, 1)  # [4 parents, 4 (j), C / 2]
            edge_g = (g_other[one].unsqueeze(1) + g_own[one].unsqueeze(2)).flatten(0, 1)
            parts.append(self._mixed(edge_f, edge_g))
        return parts

    def _mixed(self, edge_f: Tensor, edge_g: Tensor) -> Tensor:
        """First layers of some points' edges before the leaky ReLU, [n, k, C / 2] and [n, k, C] => [n, C]."""
        weight = self.weight_out(F.leaky_relu_(edge_f, SLOPE)).softmax(dim=1)
        value = self.value_out(F.leaky_relu_(edge_g, SLOPE))
        return torch.sum(weight * value, dim=1)


@torch.no_grad()
def nearest(x: Tensor, k: int) -> Tensor:
    """The k nearest other points of each in feature space: [B, N, C] => indices [B, N, min(k, N - 1)], nearest first."""
    distance = torch.cdist(x, x)
    distance.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    indices: Tensor = distance.topk(min(k, x.shape[1] - 1), largest=False).indices
    return indices
