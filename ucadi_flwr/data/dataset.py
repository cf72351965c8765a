"""Cases as a torch dataset, with a cache on disk for the transforms that all epochs share."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai.data import PersistentDataset
from monai.transforms import Compose
from torch.utils.data import ConcatDataset

from ucadi_flwr.data.balance import oversampled_indices
from ucadi_flwr.data.manifest import PARTS, Case, Part
from ucadi_flwr.data.sites import Site
from ucadi_flwr.data.transforms import preprocessing, transform_for_testing, transform_for_training
from ucadi_flwr.errors import DataError, UcadiError
from ucadi_flwr.recipes.task import CtVolume, GreyImage, TaskRecipe


class CachedCases(PersistentDataset):
    """MONAI's dataset with a cache on disk.

    For a broken file it raises this package's :class:`UcadiError` instead of MONAI's RuntimeError.
    """

    def _transform(self, index: int) -> dict[str, Any]:
        try:
            item: dict[str, Any] = super()._transform(index)
        except RuntimeError as error:
            cause: BaseException | None = error
            while cause is not None and not isinstance(cause, UcadiError):
                cause = cause.__cause__
            raise cause or error from None
        return item


def training_set(
    site: Site, task: TaskRecipe, cache: Path, seed: int
) -> CachedCases | ConcatDataset[dict[str, Any]]:
    """A site's training cases, one random sample of each.

    If the task balances its classes, the oversampled cases follow the others.

    Args:
        site: the site; its part ``train`` is used.
        task: how images are read and augmented, and whether classes are balanced.
        cache: folder of the cache (:func:`make_dataset`).
        seed: fixes all random choices: slices, augmentation, oversampling.
    """
    cases, labels = site.parts["train"], site.labels("train")
    transform = transform_for_training(task.images, task.augmentation)
    transform.set_random_state(seed=seed % 2**32)
    dataset = make_dataset(cases, labels, transform, task.images, cache)
    balance = task.training.balance
    if balance is None:
        return dataset
    rates = {task.classes.index(name): rate for name, rate in balance.rates.items()}
    extra = oversampled_indices(labels, rates, seed)
    transform = transform_for_training(task.images, (*task.augmentation, *balance.transforms))
    transform.set_random_state(seed=(seed + 1) % 2**32)
    oversampled = make_dataset(
        [cases[i] for i in extra], [labels[i] for i in extra], transform, task.images, cache
    )
    return ConcatDataset([dataset, oversampled])


def testing_set(site: Site, task: TaskRecipe, cache: Path, part: Part) -> CachedCases:
    """The cases of one part, S samples of each; S is ``test-samples``, or 1 for grey images."""
    transform = transform_for_testing(task.images)
    return make_dataset(site.parts[part], site.labels(part), transform, task.images, cache)


def cached_set(site: Site, task: TaskRecipe, cache: Path) -> CachedCases:
    """All cases of a site, preprocessed only: to read an item is to check and cache its file."""
    cases = [case for part in PARTS for case in site.parts[part]]
    labels = [label for part in PARTS for label in site.labels(part)]
    transform = Compose(preprocessing(task.images))
    return make_dataset(cases, labels, transform, task.images, cache)


def make_dataset(
    cases: Sequence[Case],
    labels: Sequence[int],
    transform: Compose,
    images: CtVolume | GreyImage,
    cache: Path,
) -> CachedCases:
    """A dataset whose items are dicts with ``image``, ``label`` (class index) and ``name``.

    The image is a float32 tensor as ``transform`` makes it. The folder
    ``cache/<digest of the preprocessing>/`` holds one tensor file for each case. The key of a case
    includes the size and modification time of its file, so that a changed file is read again.

    Raises:
        DataError: a case's file does not exist or cannot be read.
    """
    digest = hashlib.sha256(images.model_dump_json().encode()).hexdigest()[:16]
    folder = cache / digest
    folder.mkdir(parents=True, exist_ok=True)
    items = [
        {"image": str(case.path), "label": label, "name": case.name, "stamp": _stamp(case.path)}
        for case, label in zip(cases, labels, strict=True)
    ]
    return CachedCases(items, transform, folder)


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or 'not readable'}") from None
    return f"{status.st_size}-{status.st_mtime_ns}"
