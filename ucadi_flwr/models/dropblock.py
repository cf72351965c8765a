"""DropBlock for volumes: regularise by dropping whole cubes of a feature map.

Ghiasi, Lin and Le, "DropBlock: a regularization method for convolutional networks", NeurIPS
2018, Algorithm 1, extended from squares to cubes. Bai et al., "Advancing COVID-19 diagnosis with
privacy-preserving collaboration in artificial intelligence", Nat. Mach. Intell. 2021, Methods
(below: S0), use it in their 3D-DenseNet.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


def drop_block_3d(x: Tensor, p: float, block_size: int) -> Tensor:
    """Drop cubes of ``block_size``³ voxels and rescale the voxels that are kept.

    Each voxel becomes the centre of a dropped cube with probability

        γ = p / block_size³                                  (Ghiasi et al. 2018, eq. 1)

    and the kept voxels are multiplied by (voxels) / (voxels kept), both counted over the batch's
    masks (the last step of Algorithm 1). Two details differ from the paper. Centres are drawn in
    the whole volume, so cubes are cut at its border, and eq. 1's factor for the smaller valid
    region is omitted: a tail of four slices has no valid region for a cube of five. All channels of
    a sample share one mask. Cubes may overlap and be cut, so the dropped fraction is at most ``p``
    in expectation: a voxel that n centres can reach is kept with probability (1 − γ)ⁿ.

    If no voxel is kept, the output is zero everywhere with zero gradient, never NaN.

    The mask comes from torch's global generator of ``x``'s device, so ``torch.manual_seed`` fixes
    it. With ``p`` = 0 no number is drawn, and ``x`` itself is returned.

    Args:
        x: feature map (B, C, D, H, W), floating point.
        p: in [0, 1]; about the fraction of voxels to drop.
        block_size: side of a cube in voxels, odd.

    Returns:
        A tensor of ``x``'s shape and dtype.

    Raises:
        ValueError: ``x`` is not (B, C, D, H, W), or ``p`` or ``block_size`` is out of range.
    """
    _check(p, block_size)
    if x.dim() != 5:
        raise ValueError(f"DropBlock needs (B, C, D, H, W), got shape {tuple(x.shape)}")
    if p == 0:
        return x
    gamma = p / block_size**3
    centres = (torch.rand(x.shape[0], 1, *x.shape[2:], device=x.device) < gamma).float()
    kept = 1 - _dilate(centres, block_size)
    # float32 for any type of x: a float16 count would overflow at 65,504 voxels.
    scale = kept.numel() / kept.sum().clamp(min=1)
    return x * (kept * scale).to(x.dtype)


class DropBlock3d(nn.Module):
    """DropBlock with a fixed probability; the identity in evaluation mode. It has no state.

    Args:
        p: in [0, 1]; about the fraction of voxels to drop (:func:`drop_block_3d`).
        block_size: side of a cube in voxels, odd.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, p: float, block_size: int = 5) -> None:
        super().__init__()
        _check(p, block_size)
        self.p = p
        self.block_size = block_size

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, D, H, W) to the same shape."""
        return drop_block_3d(x, self.p, self.block_size) if self.training else x

    def extra_repr(self) -> str:
        """Show the arguments in ``print(model)``."""
        return f"p={self.p}, block_size={self.block_size}"


class ScheduledDropBlock3d(nn.Module):
    """DropBlock whose probability rises linearly from 0 to ``p_final`` (S0 Methods).

    After n forward calls in training mode the next one uses p = p_final · min(n / steps, 1). The
    count is the int64 buffer ``calls``: it is saved and loaded with the model. In evaluation mode
    nothing is dropped or counted. The aggregate of the sites' models contains no integers, so a
    site sets the count at the start of its round with :meth:`set_calls`.

    Args:
        p_final: the probability from call ``steps`` on, in [0, 1].
        block_size: side of a cube in voxels, odd.
        steps: number of training calls over which p rises, at least 1.

    Raises:
        ValueError: an argument is out of range.
    """

    calls: Tensor

    def __init__(self, p_final: float, block_size: int = 5, steps: int = 5000) -> None:
        super().__init__()
        _check(p_final, block_size)
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        self.p_final = p_final
        self.block_size = block_size
        self.steps = steps
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    @property
    def p(self) -> float:
        """The probability of the next training call."""
        return self.p_final * min(int(self.calls) / self.steps, 1.0)

    def set_calls(self, calls: int) -> None:
        """Continue as if there had been ``calls`` training calls.

        Args:
            calls: at least 0.

        Raises:
            ValueError: ``calls`` is negative.
        """
        if calls < 0:
            raise ValueError(f"calls must not be negative, got {calls}")
        self.calls.fill_(calls)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, D, H, W) to the same shape; in training mode, count the call."""
        if not self.training:
            return x
        dropped = drop_block_3d(x, self.p, self.block_size)
        self.calls.add_(1)
        return dropped

    def extra_repr(self) -> str:
        """Show the arguments in ``print(model)``."""
        return f"p_final={self.p_final}, block_size={self.block_size}, steps={self.steps}"


def _check(p: float, block_size: int) -> None:
    """Raise ValueError unless 0 ≤ p ≤ 1 and ``block_size`` is odd and positive."""
    if not 0 <= p <= 1:
        raise ValueError(f"the drop probability must lie in [0, 1], got {p}")
    if block_size < 1 or block_size % 2 == 0:
        raise ValueError(f"block_size must be odd and positive, got {block_size}")


def _dilate(centres: Tensor, side: int) -> Tensor:
    """Grow every 1 of (B, 1, D, H, W) to a cube, axis by axis (a maximum over a cube separates)."""
    for axis in range(3):
        kernel = [1, 1, 1]
        kernel[axis] = side
        padding = [k // 2 for k in kernel]
        centres = functional.max_pool3d(centres, kernel, stride=1, padding=padding)
    return centres
