"""Cases as a torch dataset; what does not change between epochs is computed once and cached."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai.data import PersistentDataset
from monai.transforms import Compose
from torch.utils.data import ConcatDataset

from ucadi_flwr.data.balance import drawn_again
from ucadi_flwr.data.manifest import Case
from ucadi_flwr.data.partition import PARTS, Part
from ucadi_flwr.data.sites import Site
from ucadi_flwr.data.transforms import for_testing, for_training, preprocessing
from ucadi_flwr.errors import DataError, UcadiError
from ucadi_flwr.recipes.task import CtVolume, GreyImage, TaskRecipe


class CachedCases(PersistentDataset):
    """MONAI's dataset with a cache on disk; a broken file is told in our words, not MONAI's."""

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
    """A site's training cases, one random sample each; ``seed`` fixes what is drawn.

    If the task balances its classes, the cases that are drawn again follow the others.
    """
    cases, labels = site.parts["train"], site.labels("train")
    transform = for_training(task.images, task.augmentation)
    transform.set_random_state(seed=seed % 2**32)
    found = make_dataset(cases, labels, transform, task.images, cache)
    balance = task.training.balance
    if balance is None:
        return found
    rates = {task.classes.index(name): rate for name, rate in balance.rates.items()}
    again = drawn_again(labels, rates, seed)
    transform = for_training(task.images, (*task.augmentation, *balance.transforms))
    transform.set_random_state(seed=(seed + 1) % 2**32)
    more = [cases[i] for i in again], [labels[i] for i in again]
    return ConcatDataset([found, make_dataset(*more, transform, task.images, cache)])


def testing_set(site: Site, task: TaskRecipe, cache: Path, part: Part) -> CachedCases:
    """The cases of the part that is tested, S samples each."""
    transform = for_testing(task.images)
    return make_dataset(site.parts[part], site.labels(part), transform, task.images, cache)


def cached_set(site: Site, task: TaskRecipe, cache: Path) -> CachedCases:
    """All cases of a site as they are cached: reading an item checks its file and caches it."""
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
    """Items are dicts with ``image`` (float32 tensor), ``label`` (class index) and ``name``.

    The cache (``cache/<digest of the preprocessing>/``) holds one tensor file a case. A file that
    is changed on disk is read again: its size and time of change are part of the key.
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
