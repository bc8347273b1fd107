"""From the vision tower's features to positions of the language model.

``linear`` is the published choice: one linear layer and a layer norm. ``vit`` puts one more transformer layer before
it. ``perceiver`` has a fixed number of learned queries that read the features, so an image takes 256 positions, say,
whatever its size. All end in the same linear layer and norm.
"""

from typing import Any, Literal

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

Projector = Literal["linear", "vit", "perceiver"]
PROJECTORS: tuple[Projector, ...] = ("linear", "vit", "perceiver")
_WIDTH_OF_HEAD = 64


class LinearProjector(nn.Module):
    """A linear layer and a layer norm."""

    def __init__(self, width: int, out_width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, out_width)
        self.norm = nn.LayerNorm(out_width)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Project (N, P, V) to (N, P, D)."""
        projected: torch.Tensor = self.norm(self.linear(features))
        return projected


class VitProjector(LinearProjector):
    """One transformer layer in which the features of an image attend to each other, then as ``linear``."""

    def __init__(self, width: int, out_width: int) -> None:
        super().__init__(width, out_width)
        self.layer = ReadingLayer(width, width)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Project (N, P, V) to (N, P, D)."""
        return super().forward(self.layer(features, features))


class PerceiverProjector(LinearProjector):
    """Learned queries that read the features of an image, then as ``linear``."""

    def __init__(self, width: int, out_width: int, num_queries: int, num_layers: int) -> None:
        super().__init__(width, out_width)
        self.queries = nn.Parameter(torch.randn(num_queries, width) * 0.02)
        self.read_norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(ReadingLayer(width, width) for _ in range(num_layers))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Project (N, P, V) to (N, Q, D), ``Q`` queries."""
        read = self.read_norm(features)
        states = self.queries.expand(len(features), -1, -1)
        for layer in self.layers:
            states = layer(states, torch.cat([read, states], dim=1))
        return super().forward(states)


class ReadingLayer(nn.Module):
    """A pre-norm transformer layer whose queries read from a memory of their own or another width."""

    def __init__(self, width: int, memory_width: int) -> None:
        super().__init__()
        self.num_heads = max(1, width // _WIDTH_OF_HEAD) if width % max(1, width // _WIDTH_OF_HEAD) == 0 else 1
        self.norm, self.memory_norm = nn.LayerNorm(width), nn.LayerNorm(memory_width)
        self.query = nn.Linear(width, width)
        self.key, self.value = nn.Linear(memory_width, width), nn.Linear(memory_width, width)
        self.out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, states: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        """Update (N, P, W) states with what they read from (N, M, U) memory; returns (N, P, W)."""
        attended = self.read(states, memory)
        states = states + attended
        changed: torch.Tensor = states + self.mlp(self.mlp_norm(states))
        return changed

    def read(self, states: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        """Return the attention output alone, (N, P, W)."""
        read = self.memory_norm(memory)
        parts = (self.query(self.norm(states)), self.key(read), self.value(read))
        query, key, value = (part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in parts)
        attended = scaled_dot_product_attention(query, key, value)
        out: torch.Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return out


def make_projector(kind: Projector, width: int, out_width: int, num_queries: int, num_layers: int) -> Any:
    """Make a projector.

    Args:
        kind: ``linear``, ``vit`` or ``perceiver``.
        width: Width of the vision tower's features.
        out_width: Width of the language model's embeddings.
        num_queries: Positions that an image takes (``perceiver``).
        num_layers: Layers (``perceiver``).
    """
    if kind == "perceiver":
        return PerceiverProjector(width, out_width, num_queries, num_layers)
    return VitProjector(width, out_width) if kind == "vit" else LinearProjector(width, out_width)
