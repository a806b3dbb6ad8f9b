"""Encoder and decoder as transformers (ViT-VQGAN, sec. 3.1): fixed positions, pre-norm blocks, a norm behind each stack.

Letters: B pictures, T = N N tokens, W features, p side of a patch.
"""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from g3d.methods.vq3d.config import Config
from g3d.nets.transformer import Block


class Stack(nn.Module):
    """Tokens [B, T, W] => features [B, T, W]; positions are added first, a norm and the output layer come last."""

    positions: Tensor

    def __init__(self, config: Config, width: int, depth: int, heads: int):
        super().__init__()
        self.config = config
        hidden = config.mlp_ratio * width
        self.blocks = nn.ModuleList(Block(width, heads, config.head_dim, hidden) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        tanh = [nn.Linear(width, hidden), nn.Tanh(), nn.Linear(hidden, width)]
        self.output = nn.Sequential(*tanh) if config.output_layer == "tanh" else nn.Identity()
        self.register_buffer("positions", sine_positions(width, config.side), persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """With activation checkpointing block by block, where it is wanted."""
        x = x + self.positions
        again = self.config.checkpoint and torch.is_grad_enabled()
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if again else block(x)
        found: Tensor = self.output(self.norm(x))
        return found


class Encoder(nn.Module):
    """Pictures [B, 3, H, H] in [0, 1] => latents [B, T, D], not yet of norm 1."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        inputs = 3 * config.patch**2
        self.embed = nn.Linear(inputs, config.encoder_width)
        self.stack = Stack(config, config.encoder_width, config.encoder_depth, config.encoder_heads)
        self.leave = nn.Linear(config.encoder_width, config.code_dim)
        for layer in (self.embed, self.leave):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        if config.input_gain:  # values in [-1, 1] of a deviation of about a half => features of about 1
            nn.init.normal_(self.embed.weight, std=3 / inputs**0.5)

    def forward(self, pictures: Tensor) -> Tensor:
        latents: Tensor = self.leave(self.stack(self.embed(patches(pictures * 2 - 1, self.config.patch))))
        return latents


class Decoder(nn.Module):
    """Codes [B, T, D] => features [B, T, W]."""

    def __init__(self, config: Config):
        super().__init__()
        self.enter = nn.Linear(config.code_dim, config.decoder_width)
        self.stack = Stack(config, config.decoder_width, config.decoder_depth, config.decoder_heads)
        nn.init.xavier_uniform_(self.enter.weight)
        nn.init.zeros_(self.enter.bias)
        if config.input_gain:  # codes have norm 1
            nn.init.normal_(self.enter.weight)

    def forward(self, codes: Tensor) -> Tensor:
        features: Tensor = self.stack(self.enter(codes))
        return features


def patches(x: Tensor, side: int) -> Tensor:
    """[B, C, H, H] => [B, T, C p p], row by row from the top left."""
    found = x.unfold(2, side, side).unfold(3, side, side)  # [B, C, N, N, p, p]
    return found.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)


def unpatched(tokens: Tensor, channels: int) -> Tensor:
    """[B, T, C p p] => [B, C, H, H]: what `patches` took apart."""
    count = round(tokens.shape[1] ** 0.5)
    side = round((tokens.shape[2] // channels) ** 0.5)
    grid: Tensor = tokens.unflatten(1, (count, count)).unflatten(3, (channels, side, side))  # [B, N, N, C, p, p]
    return grid.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)


def sine_positions(width: int, side: int) -> Tensor:
    """[T, W]: a half of sines and cosines of the row, a half of the column, frequencies 1 to 1e-4 (MAE's 2-D form)."""
    frequency = 1e-4 ** (torch.arange(width // 4) / (width // 4))
    angle = torch.arange(side).unsqueeze(1) * frequency
    one = torch.cat([angle.sin(), angle.cos()], dim=1)  # [N, W / 2]
    rows, columns = one.unsqueeze(1).expand(-1, side, -1), one.unsqueeze(0).expand(side, -1, -1)
    return torch.cat([rows, columns], dim=2).reshape(side * side, width)
