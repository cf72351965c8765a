"""VGG16 for chest X-rays and CT slices, with the names of the usual ImageNet checkpoints.

Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR
2015, table 1, configuration D. Yang et al., "FTL" (S2), use VGG16 as one of two networks for the
classification of chest images, at 224 × 224 pixels.
"""

from collections import OrderedDict
from typing import cast

from torch import Tensor, nn

STAGES = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))
"""Channels of a stage as a multiple of ``width``, and its 3×3 convolutions; a max-pool ends it."""

POOLED = 7  # side in pixels in front of the dense layers: 224 / 2⁵
HIDDEN = 64  # units of a hidden dense layer as a multiple of ``width``: 4,096 in the paper
DROPOUT = 0.5  # section 3.1, on the first two dense layers
LINEAR_SD = 0.01


def vgg16_2d(num_classes: int, in_channels: int = 1, *, width: int = 64) -> nn.Sequential:
    """Build a VGG16: images (B, in_channels, H, W) → logits (B, num_classes).

    With the default width and images of 224 × 224:

    ===========  ==================================================  ===================
    submodule    operations                                          output
    ===========  ==================================================  ===================
    features     13 3×3 convolutions, ReLU each, 5 2×2 max-pools     512, 7, 7
    avgpool      mean over bins to 7×7, the identity at 224 × 224    512, 7, 7
    flatten                                                          25,088
    classifier   dense, ReLU, dropout; again; dense                  4,096; 4,096; logits
    ===========  ==================================================  ===================

    Images need at least 32 × 32 pixels. With ``in_channels`` = 3 and the default
    width, names and shapes of the state are those of the usual ImageNet checkpoints of VGG16
    (``features.0.weight`` … ``features.28.bias``, ``classifier.0``, ``.3`` and ``.6``): 138,357,544
    parameters with 1,000 classes, 134,272,835 with three, which are 512 MiB in float32. There is
    no batch normalisation.

    Initial weights: convolutions from Kaiming's normal distribution with fan-out and gain √2
    (standard deviation √(2 / fan_out)), dense weights from N(0, 0.01²), biases zero, as usual for
    VGG today. The paper drew all weights with variance 0.01 and took some from a shallower network
    trained before, since depth did not train otherwise (section 3.1).

    Args:
        num_classes: number of logits, at least 1.
        in_channels: 1 for grey images, 3 for an unchanged ImageNet checkpoint.
        width: channels of the first stage; the stages have 1, 2, 4, 8, 8 × width channels, the
            hidden dense layers 64 × width units.

    Raises:
        ValueError: an argument is below 1.
    """
    arguments = {"num_classes": num_classes, "in_channels": in_channels, "width": width}
    for name, value in arguments.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    hidden = HIDDEN * width
    model = nn.Sequential(
        OrderedDict[str, nn.Module](
            features=_features(in_channels, width),
            avgpool=nn.AdaptiveAvgPool2d(POOLED),
            flatten=nn.Flatten(),
            classifier=nn.Sequential(
                nn.Linear(STAGES[-1][0] * width * POOLED**2, hidden),
                nn.ReLU(inplace=True),
                nn.Dropout(DROPOUT),
                nn.Linear(hidden, hidden),
                nn.ReLU(inplace=True),
                nn.Dropout(DROPOUT),
                nn.Linear(hidden, num_classes),
            ),
        )
    )
    _initialise(model)
    return model


def _features(in_channels: int, width: int) -> nn.Sequential:
    """(B, in_channels, H, W) → (B, 8 · width, H // 32, W // 32)."""
    layers: list[nn.Module] = []
    for multiple, convolutions in STAGES:
        for _ in range(convolutions):
            layers.append(nn.Conv2d(in_channels, multiple * width, kernel_size=3, padding=1))
            layers.append(nn.ReLU(inplace=True))
            in_channels = multiple * width
        layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
    return nn.Sequential(*layers)


def _initialise(model: nn.Module) -> None:
    """Draw the weights and zero the biases of every convolution and dense layer."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=LINEAR_SD)
        else:
            continue
        nn.init.zeros_(cast(Tensor, module.bias))
