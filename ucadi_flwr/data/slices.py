"""A site's CT volumes cut into grey axial slices: which ones, and which HU are black and white.

What :func:`cut_site` writes::

    OUTPUT/images/p001-s01-z034.png   slice 34 of p001-s01, counted from the feet, from 0
    OUTPUT/manifest.csv               one row a slice, with the label and patient of its volume
    OUTPUT/excluded.csv               one row per volume left out, with the reason
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
from ucadi_flwr.data.series import Excluded, Reason
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
class Cut:
    """How a volume is cut; a DataError if it cannot be cut so.

    ``share`` is that part of a volume, in the middle of its height, from which slices are taken.
    A chest CT begins in the abdomen and ends in the neck; its middle half is lung.
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
class Picture:
    """A row of ``manifest.csv``; ``site`` and ``split`` are columns if the volumes' had them."""

    file: str
    label: str
    patient: str
    site: str
    split: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row of ``excluded.csv``; ``name`` is what the volumes' manifest calls it."""

    name: str
    patient: str
    reason: str
    detail: str


def cut_site(
    source: Path, output_dir: Path, cut: Cut, progress: Progress = lambda _done, _all: None
) -> tuple[list[Picture], list[LeftOut]]:
    """Write a site of slices, all of it or nothing; one volume is in memory at a time.

    Raises DataError where the output exists already, the manifest is not in order, no volume
    can be read, or nothing can be written.
    """
    output = output_dir.resolve()
    refuse_overwrite(output)
    cases = read_manifest(source, labels=None, default_site="")
    names = unique_names(image_stem(case.path) or case.path.name for case in cases)
    pictures: list[Picture] = []
    left_out: list[LeftOut] = []
    with new_site(output) as folder:
        for done, (case, name) in enumerate(zip(cases, names, strict=True), start=1):
            try:
                files = list(_write_slices(case.path, folder, name, cut))
            except DataError as error:
                left_out.append(_left_out(case, error))
            else:
                pictures += [_picture(case, file) for file in files]
            progress(done, len(cases))
        if not pictures:
            reasons = count_reasons(row.reason for row in left_out)
            first = f"{left_out[0].name}: {left_out[0].detail}"
            raise DataError(f"{source}: nothing to cut{reasons}; first {first}")
        absent = [name for name in ("site", "split") if not getattr(pictures[0], name)]
        write_rows(folder / "manifest.csv", Picture, pictures, without=absent)
        write_rows(folder / "excluded.csv", LeftOut, left_out)
    return pictures, left_out


def _write_slices(volume: Path, folder: Path, name: str, cut: Cut) -> Iterator[str]:
    """Write a volume's slices; yield their paths as the manifest has them."""
    from ucadi_flwr.data.transforms import read_ct

    hu = read_ct(volume)[0].numpy()  # (z, y, x): feet to head, front to back, right to left
    numbers = slice_numbers(len(hu), cut)
    greys = [grey_levels(hu[z], cut.window_hu) for z in numbers]
    for z, grey in zip(numbers, greys, strict=True):
        file = f"images/{name}-z{z:03d}.png"
        Image.fromarray(grey).save(folder / file)
        yield file


def _picture(case: Case, file: str) -> Picture:
    return Picture(file, case.label, case.patient, case.site, case.split or "")


def _left_out(case: Case, error: DataError) -> LeftOut:
    """Why, without the volume's path, which may name somebody."""
    verdict = error if isinstance(error, Excluded) else error.__cause__
    if isinstance(verdict, Excluded):
        return LeftOut(case.name, case.patient, verdict.reason, verdict.detail)
    detail = str(error).removeprefix(f"{case.path}: ").replace(str(case.path), case.name)
    return LeftOut(case.name, case.patient, Reason.UNREADABLE, detail)


def slice_numbers(slices: int, cut: Cut) -> list[int]:
    """Which of a volume's slices: as many as asked, or all of the middle share if it has fewer.

    The share is divided into equal parts, and the middle slice of each part is taken.
    """
    inside = max(round(slices * cut.share), 1)
    first = (slices - inside) // 2
    wanted = min(cut.per_volume, inside)
    return [first + (2 * i + 1) * inside // (2 * wanted) for i in range(wanted)]


def grey_levels(hu: NDArray[np.float32], window_hu: tuple[float, float]) -> NDArray[np.uint8]:
    """HU (H, W) → 0, black, at the window's lower end and below, to 255 at its upper and above."""
    if np.isnan(hu).any():
        raise Excluded(Reason.UNREADABLE, "a slice has voxels that are not numbers")
    low, high = window_hu
    inside = np.clip(hu.astype(np.float64), low, high)
    return np.rint((inside - low) * 255 / (high - low)).astype(np.uint8)


def unique_names(stems: Iterable[str]) -> list[str]:
    """Names for images that may share a stem: ``a``, ``a``, ``b`` → ``a``, ``a-2``, ``b``.

    Upper and lower case count as the same, as some file systems take them to be. A backslash
    becomes ``_``: a path in a manifest has none.
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


def summary(output: Path, pictures: Sequence[Picture], left_out: Sequence[LeftOut]) -> str:
    """What was written, in lines for the terminal."""
    labels = Counter(picture.label for picture in pictures)
    patients = len({picture.patient for picture in pictures})
    reasons = count_reasons(row.reason for row in left_out)
    return "\n".join(
        [
            f"{len(pictures)} slices of {patients} patients in {output / 'images'}",
            f"labels: {', '.join(f'{label} ({n})' for label, n in sorted(labels.items()))}",
            f"{len(left_out)} volumes left out{reasons}: see excluded.csv",
            f"Next: run_sim.py --task ct-slices3 --data {output}; if the task calls a label "
            "otherwise, add --set labels.LABEL=CLASS",
        ]
    )
