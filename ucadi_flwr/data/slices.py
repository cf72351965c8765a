"""Extract grey axial slices from a site's CT volumes, as PNG files with a manifest.

:func:`extract_slices` writes::

    OUTPUT/images/p001-s01-z034.png   slice 34 of p001-s01, counted from the feet, from 0
    OUTPUT/manifest.csv               one row per slice, with the label and patient of its volume
    OUTPUT/excluded.csv               one row per excluded volume, with the reason
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ucadi_flwr.data.manifest import Case, image_stem, read_manifest
from ucadi_flwr.data.series import ExclusionError, Reason
from ucadi_flwr.data.site_folder import (
    Progress,
    count_reasons,
    new_site,
    refuse_overwrite,
    write_rows,
)
from ucadi_flwr.errors import DataError
from ucadi_flwr.recipes.task import S0_WINDOW_HU


@dataclass(frozen=True, slots=True)
class SliceSelection:
    """Which slices of a volume are extracted, and which HU are black and white.

    Args:
        per_volume: number of slices of each volume, at least 1.
        share: the part of the volume's height, around its middle, that slices come from, in (0, 1].
            A chest CT begins in the abdomen and ends in the neck; its middle half shows lung.
        window_hu: HU of black and of white.

    Raises:
        DataError: a value is out of range.
    """

    per_volume: int = 10
    share: float = 0.5
    window_hu: tuple[float, float] = S0_WINDOW_HU

    def __post_init__(self) -> None:
        low, high = self.window_hu
        if self.per_volume < 1:
            raise DataError(f"per-volume is {self.per_volume}: take at least 1 slice a volume")
        if not 0 < self.share <= 1:
            raise DataError(f"share is {self.share:g}: take a part above 0 and up to 1")
        if not 0 < high - low < math.inf:
            raise DataError(f"window is {low:g} to {high:g}: give two HU, the lower one first")


@dataclass(frozen=True, slots=True)
class SliceImage:
    """A row of ``manifest.csv``; it has columns ``site`` and ``split`` if the volumes' has them."""

    file: str
    label: str
    patient: str
    site: str
    split: str


@dataclass(frozen=True, slots=True)
class ExcludedVolume:
    """A row of ``excluded.csv``; ``name`` is the volume's name in its manifest."""

    name: str
    patient: str
    reason: str
    detail: str


def extract_slices(
    source: Path,
    output_dir: Path,
    selection: SliceSelection,
    progress: Progress = lambda _done, _all: None,
) -> tuple[list[SliceImage], list[ExcludedVolume]]:
    """Write a site of slices: all files or none. One volume is in memory at a time.

    Args:
        source: a site of CT volumes with its manifest.
        output_dir: the new folder.
        selection: which slices, and which window.
        progress: called after each volume.

    Returns:
        The rows of ``manifest.csv`` and of ``excluded.csv``.

    Raises:
        DataError: the output exists already, the manifest is wrong, no volume can be read, or the
            files cannot be written.
    """
    output = output_dir.resolve()
    refuse_overwrite(output)
    cases = read_manifest(source, labels=None, default_site="")
    names = unique_names(image_stem(case.path) or case.path.name for case in cases)
    images: list[SliceImage] = []
    excluded: list[ExcludedVolume] = []
    with new_site(output) as folder:
        for done, (case, name) in enumerate(zip(cases, names, strict=True), start=1):
            try:
                files = list(_write_slices(case.path, folder, name, selection))
            except DataError as error:
                excluded.append(_exclude(case, error))
            else:
                images += [_row(case, file) for file in files]
            progress(done, len(cases))
        if not images:
            reasons = count_reasons(row.reason for row in excluded)
            first = f"{excluded[0].name}: {excluded[0].detail}"
            raise DataError(f"{source}: no volume can be used{reasons}; first {first}")
        absent = [name for name in ("site", "split") if not getattr(images[0], name)]
        write_rows(folder / "manifest.csv", SliceImage, images, without=absent)
        write_rows(folder / "excluded.csv", ExcludedVolume, excluded)
    return images, excluded


def _write_slices(
    volume: Path, folder: Path, name: str, selection: SliceSelection
) -> Iterator[str]:
    """Write a volume's slices; yield their paths relative to ``folder``."""
    from ucadi_flwr.data.transforms import read_ct

    hu = read_ct(volume)[0].numpy()  # (z, y, x): feet to head, front to back, right to left
    indices = selected_slices(len(hu), selection)
    greys = [grey_levels(hu[z], selection.window_hu) for z in indices]
    for z, grey in zip(indices, greys, strict=True):
        file = f"images/{name}-z{z:03d}.png"
        Image.fromarray(grey).save(folder / file)
        yield file


def _row(case: Case, file: str) -> SliceImage:
    return SliceImage(file, case.label, case.patient, case.site, case.split or "")


def _exclude(case: Case, error: DataError) -> ExcludedVolume:
    """The row of a volume that cannot be read, without its path, which may contain a name."""
    cause = error if isinstance(error, ExclusionError) else error.__cause__
    if isinstance(cause, ExclusionError):
        return ExcludedVolume(case.name, case.patient, cause.reason, cause.detail)
    detail = str(error).removeprefix(f"{case.path}: ").replace(str(case.path), case.name)
    return ExcludedVolume(case.name, case.patient, Reason.UNREADABLE, detail)


def selected_slices(slices: int, selection: SliceSelection) -> list[int]:
    """Indices of the slices to extract from a volume of ``slices`` slices.

    The middle share is divided into ``per_volume`` equal parts, and the middle slice of each part
    is taken. If the share has fewer slices, all of them are taken.

    >>> selected_slices(40, SliceSelection(per_volume=4, share=0.5))  # of slices 10 to 29
    [12, 17, 22, 27]
    """
    inside = max(round(slices * selection.share), 1)
    first = (slices - inside) // 2
    count = min(selection.per_volume, inside)
    return [first + (2 * i + 1) * inside // (2 * count) for i in range(count)]


def grey_levels(hu: NDArray[np.float32], window_hu: tuple[float, float]) -> NDArray[np.uint8]:
    """Map HU (H, W) linearly to grey levels: 0 at the window's lower end, 255 at its upper end.

    HU outside the window are clipped.

    Raises:
        ExclusionError: a voxel is NaN.
    """
    if np.isnan(hu).any():
        raise ExclusionError(Reason.UNREADABLE, "a slice has voxels that are not numbers")
    low, high = window_hu
    inside = np.clip(hu.astype(np.float64), low, high)
    return np.rint((inside - low) * 255 / (high - low)).astype(np.uint8)


def unique_names(stems: Iterable[str]) -> list[str]:
    """A different name for each image: ``a``, ``a``, ``b`` → ``a``, ``a-2``, ``b``.

    Names that differ in upper and lower case only count as equal, since some file systems do not
    distinguish them. A backslash becomes ``_``, because a manifest allows none in a path.
    """
    taken: set[str] = set()
    names = []
    for stem in stems:
        plain = stem.replace("\\", "_")
        name, copy = plain, 1
        while name.casefold() in taken:
            copy += 1
            name = f"{plain}-{copy}"
        taken.add(name.casefold())
        names.append(name)
    return names


def summary(output: Path, images: Sequence[SliceImage], excluded: Sequence[ExcludedVolume]) -> str:
    """Lines for the terminal: counts of slices and volumes, and the next step."""
    labels = Counter(image.label for image in images)
    patients = len({image.patient for image in images})
    reasons = count_reasons(row.reason for row in excluded)
    return "\n".join(
        [
            f"{len(images)} slices of {patients} patients in {output / 'images'}",
            f"labels: {', '.join(f'{label} ({n})' for label, n in sorted(labels.items()))}",
            f"{len(excluded)} volumes excluded{reasons}: see excluded.csv",
            f"Next: run_sim.py --task ct-slices3 --data {output}; if the task has another name for "
            "a label, add --set labels.LABEL=CLASS",
        ]
    )
