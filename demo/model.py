# SPDX-License-Identifier: Apache-2.0
"""A small GPT whose residual stream passes only through Add & Norm sites: z, h = site(x, residual) with h = dropout(x) + residual and
z = LayerNorm(h).

There is one site before the first block and one after each attention and each MLP, so 2 * layers + 1 in all; the last one's z is what the
output layer reads. A site calls a function with the signature of `torch_add_norm`; which one is the only difference between the runs.
"""

import dataclasses

import torch
import torch.nn.functional as F
from torch import nn


@dataclasses.dataclass(frozen=True)
class Shape:
    """The size of the model."""

    layers: int = 4
    width: int = 128
    heads: int = 4
    context: int = 64
    dropout: float = 0.1


def torch_add_norm(x, residual, weight, bias, p, epsilon):
    """torch's own operators: (z, h) with h = dropout(x) + residual and z = LayerNorm(h). `residual` may be None."""
    h = F.dropout(x, p)
    if residual is not None:
        h = h + residual
    return F.layer_norm(h, weight.shape, weight, bias, epsilon), h


def addnorm_add_norm(x, residual, weight, bias, p, epsilon):
    """The same by addnorm's one operator."""
    import addnorm

    return addnorm.dropout_add_layer_norm(x, residual, weight, bias, p, epsilon, prenorm=True)


class Site(nn.Module):
    """One Add & Norm with its weight and bias. `operator` is replaced from outside, see `use`."""

    def __init__(self, width, p, epsilon=1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.p = p
        self.epsilon = epsilon
        self.operator = torch_add_norm

    def forward(self, x, residual):
        p = self.p if self.training else 0.0
        return self.operator(x, residual, self.weight, self.bias, p, self.epsilon)


class Block(nn.Module):
    """Causal attention, Add & Norm, MLP, Add & Norm. Takes and returns (z, h)."""

    def __init__(self, shape):
        super().__init__()
        self.heads = shape.heads
        self.qkv = nn.Linear(shape.width, 3 * shape.width)
        self.proj = nn.Linear(shape.width, shape.width)
        self.after_attention = Site(shape.width, shape.dropout)
        self.up = nn.Linear(shape.width, 4 * shape.width)
        self.down = nn.Linear(4 * shape.width, shape.width)
        self.after_mlp = Site(shape.width, shape.dropout)

    def attention(self, z):
        batch, length, width = z.shape
        q, k, v = self.qkv(z).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.proj(mixed.transpose(1, 2).reshape(batch, length, width))

    def forward(self, z, h):
        z, h = self.after_attention(self.attention(z), h)
        return self.after_mlp(self.down(F.gelu(self.up(z))), h)


class GPT(nn.Module):
    """Decoder-only transformer, symbol numbers [batch, length] -> logits [batch, length, symbols]; output tied to the embedding."""

    def __init__(self, symbols, shape, seed):
        super().__init__()
        self.shape = shape
        self.symbol = nn.Embedding(symbols, shape.width)
        self.position = nn.Embedding(shape.context, shape.width)
        self.first = Site(shape.width, shape.dropout)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.reset(torch.Generator().manual_seed(seed))

    def reset(self, generator):
        """Normal(0, 0.06) matrices, those that write to the residual stream smaller by sqrt(2 * layers), biases zero."""
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                into_stream = name.endswith(("proj.weight", "down.weight"))
                scale = 0.06 / (2 * self.shape.layers) ** 0.5 if into_stream else 0.06
                nn.init.normal_(parameter, std=scale, generator=generator)
            elif not name.endswith("weight"):
                nn.init.zeros_(parameter)

    def sites(self):
        return [module for module in self.modules() if isinstance(module, Site)]

    def use(self, operator):
        """Makes every site call `operator`; returns self."""
        for site in self.sites():
            site.operator = operator
        return self

    def forward(self, numbers):
        positions = torch.arange(numbers.shape[1])
        z, h = self.first(self.symbol(numbers) + self.position(positions), None)
        for block in self.blocks:
            z, h = block(z, h)
        return F.linear(z, self.symbol.weight)

    def loss(self, windows):
        """Mean cross entropy of predicting windows[:, 1:] from windows[:, :-1], in nats."""
        logits = self(windows[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
