"""A simulated CT scanner: slice profile, reconstruction kernel, offset and noise.

Every site has its own scanner, so that two sites record different HU of the same patient.
:func:`acquire` turns ideal HU on a fine grid into the int16 slices that a site stores.
"""

from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

F32 = NDArray[np.float32]
Kernel = Literal["soft", "standard", "sharp"]
KERNELS: Final[tuple[Kernel, ...]] = get_args(Kernel)

#: Range of a CT image of 12 bits, HU.
HU_MIN: Final = -1024
HU_MAX: Final = 3071

_FWHM: Final = 2.0 * float(np.sqrt(2.0 * np.log(2.0)))  # FWHM of a Gaussian ÷ its SD
_KERNEL_SIGMA_MM: Final = 2.2
_SHARPENING: Final = 0.7


@dataclass(frozen=True)
class Scanner:
    """The properties of one scanner.

    Args:
        thickness_mm: full width at half maximum of the slice profile along z, mm, above 0.
        kernel: "soft" blurs in-plane (Gaussian, SD 2.2 mm), "sharp" enhances edges, "standard" does
            neither.
        noise_hu: SD of the noise in a uniform region with any kernel, HU, at least 0.
        offset_hu: added to every voxel, HU (a calibration error).
        contrast_agent: whether blood is enhanced (heart, great vessels, vessels of the lungs).

    Raises:
        ValueError: the thickness is not positive, the noise is negative, or the kernel is unknown.
    """

    thickness_mm: float
    kernel: Kernel
    noise_hu: float
    offset_hu: float
    contrast_agent: bool

    def __post_init__(self) -> None:
        if not self.thickness_mm > 0:
            raise ValueError(f"thickness_mm must be above 0, not {self.thickness_mm}")
        if not self.noise_hu >= 0:
            raise ValueError(f"noise_hu must be at least 0, not {self.noise_hu}")
        if self.kernel not in KERNELS:
            raise ValueError(f"kernel must be one of {', '.join(KERNELS)}, not {self.kernel!r}")


def site_scanner(site: int) -> Scanner:
    """The scanner of a site, which is the same in every run.

    Thickness 4–12 mm, noise 8–28 HU and offset ±15 HU follow a Halton sequence (bases 2, 3, 5), so
    that a few sites cover the ranges and no two scanners are equal. Kernel and contrast agent cycle
    with periods 3 and 2.

    Raises:
        ValueError: the site is negative.
    """
    if site < 0:
        raise ValueError(f"site must be at least 0, not {site}")
    return Scanner(
        thickness_mm=4.0 + 8.0 * _radical_inverse(site + 1, 2),
        kernel=KERNELS[(site + 1) % len(KERNELS)],
        noise_hu=8.0 + 20.0 * _radical_inverse(site + 1, 3),
        offset_hu=-15.0 + 30.0 * _radical_inverse(site + 1, 5),
        contrast_agent=site % 2 == 1,
    )


def acquire(
    hu: F32,
    per_slice: int,
    spacing: tuple[float, float, float],
    scanner: Scanner,
    rng: np.random.Generator,
) -> NDArray[np.int16]:
    """Simulate how a scanner records ideal HU.

    The noise is white along z; in-plane, the kernel filters it.

    Args:
        hu: (Z, H, W) float32, HU, with Z = per_slice · (D − 1) + 1.
        per_slice: sub-slices from one slice to the next; slice d is centred on per_slice · d.
        spacing: of the resulting slices, mm (z, y, x).
        scanner: the scanner.
        rng: source of the noise.

    Returns:
        (D, H, W) int16, HU, clipped to [HU_MIN, HU_MAX].
    """
    slices = _slice_profile(hu, per_slice, scanner.thickness_mm * per_slice / spacing[0])
    image = _in_plane(slices, scanner.kernel, spacing)
    if scanner.noise_hu > 0:
        white = rng.standard_normal(image.shape, dtype=np.float32)
        gain = scanner.noise_hu / _noise_gain(scanner.kernel, spacing)
        image += np.float32(gain) * _in_plane(white, scanner.kernel, spacing)
    image += np.float32(scanner.offset_hu)
    return np.clip(np.rint(image), HU_MIN, HU_MAX).astype(np.int16)


def _slice_profile(hu: F32, per_slice: int, thickness: float) -> F32:
    """Average sub-slices (Z, H, W) by a Gaussian of FWHM `thickness` sub-slices: (D, H, W)."""
    sigma = thickness / _FWHM
    reach = int(np.ceil(2.5 * sigma))
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    weights /= weights.sum()
    centres = np.arange(0, hu.shape[0], per_slice)
    out = np.zeros((len(centres), *hu.shape[1:]), np.float32)
    for offset, weight in zip(offsets, weights, strict=True):
        out += np.float32(weight) * hu[np.clip(centres + offset, 0, hu.shape[0] - 1)]
    return out


def _in_plane(image: F32, kernel: Kernel, spacing: tuple[float, float, float]) -> F32:
    """Apply the reconstruction kernel to each slice of (D, H, W)."""
    if kernel == "standard":
        return image
    sigma = (0.0, _KERNEL_SIGMA_MM / spacing[1], _KERNEL_SIGMA_MM / spacing[2])
    blurred: F32 = gaussian_filter(image, sigma, truncate=3.0)
    if kernel == "soft":
        return blurred
    return image + np.float32(_SHARPENING) * (image - blurred)


def _noise_gain(kernel: Kernel, spacing: tuple[float, float, float]) -> float:
    """SD that the kernel leaves of white noise of SD 1: the norm of its impulse response."""
    reach = int(np.ceil(4.0 * _KERNEL_SIGMA_MM / min(spacing[1:])))
    impulse = np.zeros((1, 2 * reach + 1, 2 * reach + 1), np.float32)
    impulse[0, reach, reach] = 1.0
    return float(np.sqrt(np.sum(_in_plane(impulse, kernel, spacing).astype(np.float64) ** 2)))


def _radical_inverse(index: int, base: int) -> float:
    """The Halton sequence's value in (0, 1) for index 1, 2, …: its digits mirrored at the point."""
    value, scale = 0.0, 1.0
    while index:
        index, digit = divmod(index, base)
        scale /= base
        value += digit * scale
    return value
