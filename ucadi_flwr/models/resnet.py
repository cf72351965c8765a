"""ResNet-18 for chest X-rays and CT slices, built from MONAI's blocks.

He et al., "Deep residual learning for image recognition", CVPR 2016, table 1, 18-layer column.
Yang et al., "FTL", use ResNet-18 as one of two networks for the classification of chest images.
"""

from monai.networks.nets.resnet import ResNet
from torch import nn


def resnet18_2d(num_classes: int, in_channels: int = 1, *, width: int = 64) -> nn.Module:
    """Build a two-dimensional ResNet-18: images (B, in_channels, H, W) → logits (B, num_classes).

    The stem is a 7×7 convolution of stride 2 and a 3×3 max-pool of stride 2, so the last feature
    map (submodule ``layer4``) has H/32 × W/32 pixels, rounded up: 7×7 at 224×224 pixels, 2×2 at
    64×64. Shortcuts that change shape are 1×1 convolutions without bias and BN (option B of He et
    al. 2016). With ``in_channels`` = 3 and the default width, names and shapes of the state are
    those of the usual ImageNet checkpoints of ResNet-18 (``conv1.weight``, ``bn1.weight``,
    ``layer1.0.conv1.weight``, ``layer2.0.downsample.0.weight``, ``fc.weight``).

    MONAI draws convolution weights from Kaiming's normal distribution with fan-out and gain √2
    (standard deviation √(2 / fan_out)), sets BN to weight 1 and bias 0, leaves the linear weight
    at torch's default, uniform within ±1/√(8·width), and zeroes the linear bias.

    Args:
        num_classes: number of logits, at least 1.
        in_channels: 1 for grey images, 3 for an ImageNet checkpoint.
        width: channels of the stem and of the first stage; the stages have 1, 2, 4, 8 × width.

    Raises:
        ValueError: an argument is below 1.
    """
    arguments = {"num_classes": num_classes, "in_channels": in_channels, "width": width}
    for name, value in arguments.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    model: nn.Module = ResNet(
        block="basic",
        layers=[2, 2, 2, 2],
        block_inplanes=[width, 2 * width, 4 * width, 8 * width],
        spatial_dims=2,
        n_input_channels=in_channels,
        conv1_t_size=7,
        conv1_t_stride=2,
        shortcut_type="B",
        bias_downsample=False,
        num_classes=num_classes,
    )
    return model
