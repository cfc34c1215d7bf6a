"""A small vision transformer for Fashion-MNIST: 49 patches of 4 x 4 pixels and a class token.

Dosovitskiy et al. 2020, "An image is worth 16x16 words" (arXiv:2010.11929), in its pre-norm form.
"""

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """Self-attention with one packed query, key and value layer: (batch, tokens, dim) -> the same shape."""

    def __init__(self, dim: int, n_heads: int) -> None:
        super().__init__()
        self.head_dim = dim // n_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (self.split_heads(part) for part in self.qkv(x).chunk(3, dim=-1))
        attended = nn.functional.scaled_dot_product_attention(q, k, v)  # (batch, heads, tokens, head_dim)
        mixed: Tensor = self.proj(attended.transpose(1, 2).flatten(2))  # (batch, tokens, dim)
        return mixed

    def split_heads(self, x: Tensor) -> Tensor:
        """(batch, tokens, dim) -> (batch, heads, tokens, head_dim)."""
        return x.reshape(x.shape[0], x.shape[1], -1, self.head_dim).transpose(1, 2)


class EncoderBlock(nn.Module):
    """Attention, then a two-layer perceptron, each added to its input: (batch, tokens, dim) -> the same shape."""

    def __init__(self, dim: int, n_heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention(dim, n_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        hidden = nn.functional.gelu(self.fc1(self.norm2(x)))  # (batch, tokens, hidden)
        update: Tensor = self.fc2(hidden)
        return x + update


class ViTFashion(nn.Module):
    """Images (batch, 1, 28, 28) -> logits (batch, 10)."""

    def __init__(self, dim: int = 64, depth: int = 4, n_heads: int = 4) -> None:
        super().__init__()
        n_patches = (28 // 4) ** 2
        self.patches = nn.Conv2d(1, dim, kernel_size=4, stride=4)
        self.class_token = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.positions = nn.Parameter(torch.randn(1, n_patches + 1, dim) * 0.02)
        self.layers = nn.Sequential(*(EncoderBlock(dim, n_heads, hidden=2 * dim) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.fc = nn.Linear(dim, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = self.patches(images).flatten(2).transpose(1, 2)  # (batch, 49, dim)
        token = self.class_token.expand(x.shape[0], -1, -1)  # (batch, 1, dim)
        x = torch.cat((token, x), dim=1) + self.positions  # (batch, 50, dim)
        x = self.norm(self.layers(x))
        logits: Tensor = self.fc(x[:, 0])  # (batch, 10)
        return logits


def vit_fashion() -> nn.Module:
    """A fresh small vision transformer with random weights."""
    return ViTFashion()
