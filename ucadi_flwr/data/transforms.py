"""From a file to a tensor, through MONAI, in S0's order: window, z-score, sample slices, resize.

Resizing in the plane and choosing slices commute (depth is never interpolated), so the resize
comes first here: what is cached is small, and sampling stays random in every epoch.
"""

import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import monai.transforms.croppad.dictionary as croppad
import monai.transforms.intensity.dictionary as intensity
import monai.transforms.spatial.dictionary as spatial
import nibabel
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import (
    Compose,
    MapTransform,
    NormalizeIntensityd,
    Orientation,
    Randomizable,
    RandomizableTrait,
    Resized,
    ScaleIntensityRanged,
    Transform,
)
from PIL import Image

from ucadi_flwr.data.dicom import read_volume
from ucadi_flwr.data.sampling import SampleSlicesd, StackSlicesd
from ucadi_flwr.errors import DataError, RecipeError
from ucadi_flwr.files.limits import VOXELS
from ucadi_flwr.recipes.task import Augmentation, CtVolume, GreyImage, Redrawn

KEY = "image"


def preprocessing(images: CtVolume | GreyImage) -> list[Transform]:
    """What is the same in every epoch, and therefore cached."""
    if isinstance(images, GreyImage):
        return [
            Readd(KEY, read_grey),
            Resized(KEY, images.size, mode="bilinear", anti_aliasing=True),
            NormalizeIntensityd(KEY),
        ]
    low, high = images.window_hu
    return [
        Readd(KEY, read_ct),
        ScaleIntensityRanged(KEY, low, high, low, high, clip=True),
        NormalizeIntensityd(KEY, subtrahend=images.mean_hu, divisor=images.sd_hu),
        Resized(KEY, (-1, *images.size[1:]), mode="trilinear", align_corners=False),
    ]


def for_training(
    images: CtVolume | GreyImage, augmentation: tuple[Augmentation | Redrawn, ...] = ()
) -> Compose:
    """File → one random sample `(1, D, H, W)` or image `(1, H, W)`, float32."""
    sample = [SampleSlicesd(KEY, images.size[0])] if isinstance(images, CtVolume) else []
    return Compose([*preprocessing(images), *sample, *map(random_transform, augmentation)])


def for_testing(images: CtVolume | GreyImage) -> Compose:
    """File → S samples `(S, 1, D, H, W)`, or `(1, 1, H, W)`, whose probabilities are averaged."""
    if isinstance(images, CtVolume):
        stack: Transform = StackSlicesd(KEY, images.size[0], images.test_samples)
    else:
        stack = Stackd(KEY)
    return Compose([*preprocessing(images), stack])


def random_transform(augmentation: Augmentation | Redrawn) -> Randomizable:
    """MONAI's dictionary transform of that name; only random ones on pixels can be named."""
    for module in (spatial, intensity, croppad):
        kind = getattr(module, f"{augmentation.name}d", None)
        if kind is not None and kind.__module__ == module.__name__:
            try:
                return kind(KEY, **augmentation.args)
            except (TypeError, ValueError) as error:
                raise RecipeError(f"augmentation {augmentation.name}: {error}") from None
    raise RecipeError(
        f"augmentation: MONAI has no random spatial, intensity or crop transform named "
        f"'{augmentation.name}'"
    )


class Readd(MapTransform):
    """Replace a path by the image that ``read`` makes of it."""

    def __init__(self, keys: str, read: Callable[[Path], torch.Tensor]) -> None:
        super().__init__(keys)
        self.read = read

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Read every key."""
        out = dict(data)
        for key in self.key_iterator(out):
            out[key] = self.read(Path(out[key]))
        return out


class Stackd(MapTransform, RandomizableTrait):
    """One sample a case: `(1, H, W)` → `(1, 1, H, W)`.

    Nothing is drawn; the trait says that the cache, which training shares, ends before it.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the axis of samples."""
        return {**data, **{key: data[key][None] for key in self.key_iterator(dict(data))}}


def read_ct(path: Path) -> torch.Tensor:
    """A NIfTI file or a DICOM series folder → HU, float32 `(1, z, y, x)`.

    Whatever the file's orientation: slices run from feet to head, rows to posterior, columns to
    the patient's left. Raises :class:`DataError` naming the file.
    """
    if path.is_dir():
        series = read_volume(path)
        hu, affine = series.hu.T.astype(np.float32), series.affine
    else:
        with _reading(path):
            image = nibabel.load(path)
            if len(image.shape) != 3:
                raise ValueError(f"not one 3D volume but an array of shape {image.shape}")
            _check_size(image.shape)
            if not math.prod(image.shape) or np.isnan(nibabel.io_orientation(image.affine)).any():
                raise ValueError("has no voxels, or an affine that gives them no place")
            hu, affine = image.get_fdata(dtype=np.float32), image.affine
    volume = MetaTensor(torch.from_numpy(np.ascontiguousarray(hu)[None]), affine)
    upright = Orientation(axcodes="LPS", labels=None)(volume)
    return upright.as_tensor().permute(0, 3, 2, 1).contiguous()


def read_grey(path: Path) -> torch.Tensor:
    """A PNG or JPEG → grey levels, float32 `(1, H, W)`; colour becomes luma."""
    with _reading(path), Image.open(path) as image:
        _check_size(image.size)
        plain = image if image.mode in ("L", "I", "I;16", "F") else image.convert("L")
        return torch.from_numpy(np.array(plain, dtype=np.float32)[None])


def _check_size(shape: tuple[int, ...]) -> None:
    if math.prod(shape) > VOXELS:
        raise ValueError(f"{' × '.join(map(str, shape))} elements are too many")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Every way in which a file can be broken becomes one error that names it."""
    try:
        yield
    except Exception as error:  # readers of untrusted bytes raise whatever they like
        lines = str(error).strip().splitlines() or [repr(error)]
        raise DataError(f"{path}: not readable as an image ({lines[-1]})") from None
