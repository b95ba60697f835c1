"""The network as it is trained: student and head, and a form of its blocks whose gradients are four times quicker to have."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from detector.model.student import Block, Student, TorchHead
from detector.train.recipe import Recipe


class QuickBlock(Block):
    """A block with the same weights and the same results, whose dilated convolution runs as ``dilation`` interleaved plain ones.

    The backward pass of a dilated depthwise convolution has no vectorised kernel on processors; that of a plain one has.
    """

    def _convolve(self, x: Tensor) -> Tensor:
        dilation = int(self.depthwise.dilation[0])
        batch, n, channels = x.shape
        rows = -(-n // dilation)
        x = F.pad(x, (0, 0, 0, rows * dilation - n)).reshape(batch, rows, dilation, channels).transpose(1, 2)
        x = x.reshape(batch * dilation, rows, channels).unsqueeze(1).permute(0, 3, 1, 2)
        y = F.conv2d(x, self.depthwise.weight.unsqueeze(2), self.depthwise.bias, groups=channels).permute(0, 2, 3, 1)
        y = y.reshape(batch, dilation, -1, channels).transpose(1, 2).reshape(batch, -1, channels)
        return y[:, : n - self.tail]


class Listener(nn.Module):
    """Features and validity to logits.

    Parameters
    ----------
    recipe : Recipe
    quick : bool
        With `QuickBlock`, for training; the weights have the same names either way.
    """

    def __init__(self, recipe: Recipe, quick: bool = False) -> None:
        super().__init__()
        self.student = Student(recipe.frontend, recipe.encoder)
        if quick:
            numbers = recipe.encoder
            self.student.blocks = nn.ModuleList(
                QuickBlock(numbers.channels, numbers.expansion, numbers.kernel, dilation) for dilation in numbers.dilations
            )
        self.head = TorchHead(self.student.frame_dims, 1, recipe.hidden)

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """(batch, frames, mel_bands), (batch, frames) -> logits (batch, frames)."""
        logits: Tensor = self.head(self.student(features, valid))[..., 0]
        return logits

    @property
    def bias(self) -> Tensor:
        """What the head adds to every logit, (1,); a view, to be set or shifted."""
        last = self.head.layers[-1]
        assert isinstance(last, nn.Linear)  # a head ends in a matrix
        return last.bias.data
