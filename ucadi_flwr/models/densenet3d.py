"""The 3D-DenseNet of the UCADI papers: a small dense network for chest CT.

S0: Bai et al., "Advancing COVID-19 diagnosis with privacy-preserving collaboration in artificial
intelligence", Nat. Mach. Intell. 2021, Methods. S1: Xu et al., "A collaborative online AI engine
for CT-based COVID-19 diagnosis", 2020, Methods. Dense blocks: Huang et al., "Densely connected
convolutional networks", CVPR 2017. Initial weights: He et al., "Delving deep into rectifiers",
ICCV 2015.
"""

from collections import OrderedDict
from typing import cast

import torch
from torch import Tensor, nn

from ucadi_flwr.models.dropblock import DropBlock3d, ScheduledDropBlock3d

BLOCKS_PER_STAGE = 2
MIN_SIDE = 4  # voxels: two poolings halve every side twice
BN_MOMENTUM = 0.1  # torch's convention; S0's 0.9 is the retained fraction
BN_EPS = 1e-5  # S1


class DenseBlock(nn.Module):
    """BN, LeakyReLU, 1×1×1 conv to a bottleneck; BN, LeakyReLU, 3×3×3 conv; concatenation.

    The new channels are concatenated after the block's input, not added to it (Huang et al. 2017,
    eq. 2; their "B" variant with a bottleneck).

    Args:
        in_channels: C of the input.
        growth: channels that the block adds.
        bottleneck: inner channels as a multiple of ``growth``.
        negative_slope: LeakyReLU's slope below zero.
    """

    def __init__(
        self, in_channels: int, growth: int, bottleneck: int, negative_slope: float
    ) -> None:
        super().__init__()
        inner = bottleneck * growth
        self.norm1 = _norm(in_channels)
        self.conv1 = nn.Conv3d(in_channels, inner, kernel_size=1)
        self.norm2 = _norm(inner)
        self.conv2 = nn.Conv3d(inner, growth, kernel_size=3, padding=1)
        # In place: batch normalisation keeps its input for the backward pass, not its output.
        self.activation = nn.LeakyReLU(negative_slope, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, D, H, W) to (B, C + growth, D, H, W)."""
        new: Tensor = self.conv1(self.activation(self.norm1(x)))
        new = self.conv2(self.activation(self.norm2(new)))
        return torch.cat([x, new], dim=1)


class DenseNet3d(nn.Module):
    """Classify chest CT volumes with three stages of two dense blocks (S0 and S1 Methods).

    With the defaults and input (B, 1, 16, 128, 128):

    ===========  =====================================================  ==================
    submodule    operations                                             output (C, D, H, W)
    ===========  =====================================================  ==================
    stem         3×3×3 conv, BN, LeakyReLU, DropBlock (fixed)           32, 16, 128, 128
    dense1       two dense blocks                                       96, 16, 128, 128
    transition1  BN, LeakyReLU, 1×1×1 conv, 2×2×2 average pool          48, 8, 64, 64
    dense2       two dense blocks                                       112, 8, 64, 64
    transition2  as transition1                                         56, 4, 32, 32
    dense3       two dense blocks                                       120, 4, 32, 32
    tail         BN, LeakyReLU, DropBlock (scheduled)                   120, 4, 32, 32
    head         mean over (D, H, W), linear                            num_classes
    ===========  =====================================================  ==================

    S0 calls the transitions "transmit" blocks and counts 14 convolutions (dense blocks and
    transitions); the stem's is the fifteenth. Four classes make 726,972 parameters. The state
    has 112 tensors besides the DropBlock schedule's count ``tail.drop.calls``.

    Initial weights: every convolution and the linear layer draw from Kaiming's uniform
    distribution on (−b, b), b = √(6 / ((1 + a²) · fan_in)), a = ``negative_slope`` (He et al.
    2015, eq. 15, where a is the slope of the rectifier in front of the weights). There is no
    rectifier in front of the stem, and the same rule is used: batch normalisation follows, so the
    scale has no effect. All biases start at zero (He et al. 2015, section 2.2).

    Args:
        num_classes: number of logits, at least 1.
        in_channels: channels of the volume; CT has 1.
        width: channels of the stem.
        growth: channels that a dense block adds.
        bottleneck: inner channels of a dense block as a multiple of ``growth``.
        compression: fraction of channels that a transition keeps (rounded down), in (0, 1].
        negative_slope: LeakyReLU's slope below zero, in [0, 1); S0 uses 0.2.
        dropblock_stem: drop probability of the stem's DropBlock, fixed.
        dropblock: drop probability that the tail's DropBlock rises to.
        dropblock_size: side of a dropped cube in voxels, odd.
        dropblock_calls: training calls over which the tail's probability rises from 0.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        in_channels: int = 1,
        width: int = 32,
        growth: int = 32,
        bottleneck: int = 4,
        compression: float = 0.5,
        negative_slope: float = 0.2,
        dropblock_stem: float = 0.1,
        dropblock: float = 0.5,
        dropblock_size: int = 5,
        dropblock_calls: int = 5000,
    ) -> None:
        super().__init__()
        sizes = {
            "num_classes": num_classes,
            "in_channels": in_channels,
            "width": width,
            "growth": growth,
            "bottleneck": bottleneck,
        }
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        if not 0 < compression <= 1:
            raise ValueError(f"compression must lie in (0, 1], got {compression}")
        if not 0 <= negative_slope < 1:
            raise ValueError(f"negative_slope must lie in [0, 1), got {negative_slope}")
        self.in_channels = in_channels

        def stage(channels: int) -> nn.Sequential:
            return nn.Sequential(
                *(
                    DenseBlock(channels + block * growth, growth, bottleneck, negative_slope)
                    for block in range(BLOCKS_PER_STAGE)
                )
            )

        added = BLOCKS_PER_STAGE * growth
        halved = _compressed(width + added, compression)
        quartered = _compressed(halved + added, compression)
        final = quartered + added

        self.stem = nn.Sequential(
            OrderedDict[str, nn.Module](
                conv=nn.Conv3d(in_channels, width, kernel_size=3, padding=1),
                norm=_norm(width),
                activation=nn.LeakyReLU(negative_slope, inplace=True),
                drop=DropBlock3d(dropblock_stem, dropblock_size),
            )
        )
        self.dense1 = stage(width)
        self.transition1 = _transition(width + added, halved, negative_slope)
        self.dense2 = stage(halved)
        self.transition2 = _transition(halved + added, quartered, negative_slope)
        self.dense3 = stage(quartered)
        self.tail = nn.Sequential(
            OrderedDict[str, nn.Module](
                norm=_norm(final),
                activation=nn.LeakyReLU(negative_slope, inplace=True),
                drop=ScheduledDropBlock3d(dropblock, dropblock_size, dropblock_calls),
            )
        )
        self.head = nn.Linear(final, num_classes)
        _initialise(self, negative_slope)

    def features(self, x: Tensor) -> Tensor:
        """Compute the last feature map, before the pooling (for Grad-CAM and t-SNE).

        Args:
            x: volumes (B, in_channels, D, H, W), each of D, H, W at least 4.

        Returns:
            (B, C, D // 4, H // 4, W // 4); C is 120 with the defaults.

        Raises:
            ValueError: ``x`` has another shape or is too small for the two poolings.
        """
        if x.dim() != 5 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"the network needs (B, {self.in_channels}, D, H, W), got shape {tuple(x.shape)}"
            )
        if min(x.shape[2:]) < MIN_SIDE:
            raise ValueError(
                f"a volume of (D, H, W) = {tuple(x.shape[2:])} is too small for the two poolings; "
                f"each side must be at least {MIN_SIDE} voxels"
            )
        x = self.dense1(self.stem(x))
        x = self.dense2(self.transition1(x))
        x = self.dense3(self.transition2(x))
        return cast(Tensor, self.tail(x))

    def forward(self, x: Tensor) -> Tensor:
        """Map volumes (B, in_channels, D, H, W) to logits (B, num_classes).

        Raises:
            ValueError: as :meth:`features`.
        """
        return cast(Tensor, self.head(self.features(x).mean(dim=(2, 3, 4))))

    def set_schedule(self, calls: int) -> None:
        """Continue the tail's DropBlock schedule after ``calls`` training calls.

        A site calls this at the start of a round, because the count is not part of the aggregate.

        Args:
            calls: training calls (batches) so far, at least 0.

        Raises:
            ValueError: ``calls`` is negative.
        """
        cast(ScheduledDropBlock3d, self.tail.drop).set_calls(calls)


def _norm(channels: int) -> nn.BatchNorm3d:
    return nn.BatchNorm3d(channels, eps=BN_EPS, momentum=BN_MOMENTUM)


def _compressed(channels: int, compression: float) -> int:
    """Channels after a transition: ⌊θ·m⌋ (Huang et al. 2017, section 3, "Compression")."""
    kept = int(compression * channels)
    if kept < 1:
        raise ValueError(f"compression {compression} leaves none of {channels} channels")
    return kept


def _transition(in_channels: int, out_channels: int, negative_slope: float) -> nn.Sequential:
    """(B, in_channels, D, H, W) → (B, out_channels, D // 2, H // 2, W // 2)."""
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            norm=_norm(in_channels),
            activation=nn.LeakyReLU(negative_slope, inplace=True),
            conv=nn.Conv3d(in_channels, out_channels, kernel_size=1),
            pool=nn.AvgPool3d(kernel_size=2, stride=2),
        )
    )


def _initialise(model: nn.Module, negative_slope: float) -> None:
    """Draw the weights and zero the biases of every convolution and linear layer."""
    for module in model.modules():
        if isinstance(module, nn.Conv3d | nn.Linear):
            nn.init.kaiming_uniform_(  # He et al. 2015, eq. 15
                module.weight, a=negative_slope, mode="fan_in", nonlinearity="leaky_relu"
            )
            nn.init.zeros_(cast(Tensor, module.bias))
