"""From a file to a tensor, through MONAI, in S0's order: window, z-score, sample slices, resize.

Depth is never interpolated, so the in-plane resize and the choice of slices commute. The resize
comes first here: the cached volumes are small, and every epoch samples other slices.
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
from ucadi_flwr.data.sampling import SampleSlicesd, StackSamplesd
from ucadi_flwr.errors import DataError, RecipeError
from ucadi_flwr.limits import VOXELS
from ucadi_flwr.recipes.task import Augmentation, CtVolume, GreyImage, OversamplingTransform

KEY = "image"


def preprocessing(images: CtVolume | GreyImage) -> list[Transform]:
    """The transforms without random choices; their result is cached."""
    if isinstance(images, GreyImage):
        return [
            ReadImaged(KEY, read_grey),
            Resized(KEY, images.size, mode="bilinear", anti_aliasing=True),
            NormalizeIntensityd(KEY),
        ]
    low, high = images.window_hu
    return [
        ReadImaged(KEY, read_ct),
        ScaleIntensityRanged(KEY, low, high, low, high, clip=True),
        NormalizeIntensityd(KEY, subtrahend=images.mean_hu, divisor=images.sd_hu),
        Resized(KEY, (-1, *images.size[1:]), mode="trilinear", align_corners=False),
    ]


def transform_for_training(
    images: CtVolume | GreyImage,
    augmentation: tuple[Augmentation | OversamplingTransform, ...] = (),
) -> Compose:
    """The transform of training: path → one random sample, float32.

    Args:
        images: how images are read.
        augmentation: random transforms, applied last and in this order.

    Returns:
        A transform of dicts; their ``image`` becomes `(1, D, H, W)`, or `(1, H, W)` if grey.

    Raises:
        RecipeError: an augmentation is unknown or has wrong arguments.
    """
    sample = [SampleSlicesd(KEY, images.size[0])] if isinstance(images, CtVolume) else []
    return Compose([*preprocessing(images), *sample, *map(random_transform, augmentation)])


def transform_for_testing(images: CtVolume | GreyImage) -> Compose:
    """The transform of testing: path → S samples, whose probabilities are to be averaged; float32.

    Returns:
        A transform of dicts; their ``image`` becomes `(S, 1, D, H, W)`, or `(1, 1, H, W)` for grey
        images. CT also needs ``name``, which seeds the samples.
    """
    if isinstance(images, CtVolume):
        stack: Transform = StackSamplesd(KEY, images.size[0], images.test_samples)
    else:
        stack = AddSampleAxisd(KEY)
    return Compose([*preprocessing(images), stack])


def random_transform(augmentation: Augmentation | OversamplingTransform) -> Randomizable:
    """MONAI's random dictionary transform of that name: spatial, intensity or crop only.

    Raises:
        RecipeError: there is no such transform, or it does not take these arguments.
    """
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


class ReadImaged(MapTransform):
    """MONAI transform: path → the image that ``read`` returns for it."""

    def __init__(self, keys: str, read: Callable[[Path], torch.Tensor]) -> None:
        super().__init__(keys)
        self.read = read

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Read every key."""
        out = dict(data)
        for key in self.key_iterator(out):
            out[key] = self.read(Path(out[key]))
        return out


class AddSampleAxisd(MapTransform, RandomizableTrait):
    """MONAI transform: one sample of a case, `(1, H, W)` → `(1, 1, H, W)`.

    It is not random. It has MONAI's trait of random transforms because the cache, which training
    and testing share, ends before the first transform with that trait.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the axis of samples."""
        return {**data, **{key: data[key][None] for key in self.key_iterator(dict(data))}}


def read_ct(path: Path) -> torch.Tensor:
    """Read a NIfTI file or the folder of a DICOM series, in one orientation.

    Args:
        path: the file or folder, of any orientation.

    Returns:
        HU, float32 `(1, z, y, x)`: z from feet to head, y to posterior, x to the patient's left.

    Raises:
        DataError: it cannot be read as one volume; the message names ``path``.
    """
    if path.is_dir():
        scan = read_volume(path)
        hu, affine = scan.hu.T.astype(np.float32), scan.affine
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
    """Read a PNG or JPEG: grey levels as stored, float32 `(1, H, W)`; colours become luma.

    Raises:
        DataError: it cannot be read as an image; the message names ``path``.
    """
    with _reading(path), Image.open(path) as image:
        _check_size(image.size)
        plain = image if image.mode in ("L", "I", "I;16", "F") else image.convert("L")
        return torch.from_numpy(np.array(plain, dtype=np.float32)[None])


def _check_size(shape: tuple[int, ...]) -> None:
    if math.prod(shape) > VOXELS:
        raise ValueError(f"{' × '.join(map(str, shape))} elements are too many")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn any error of a reader into one DataError that names the file."""
    try:
        yield
    except Exception as error:  # readers of untrusted bytes raise errors of any type
        lines = str(error).strip().splitlines() or [repr(error)]
        raise DataError(f"{path}: not readable as an image ({lines[-1]})") from None
