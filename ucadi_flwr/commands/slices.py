"""``ucadi slices``: a site's CT volumes, cut into grey pictures.

What is written::

    OUTPUT/images/p001-s01-z034.png   slice 34 of p001-s01, counted from the feet, from 0
    OUTPUT/manifest.csv               one row a slice, with the label and patient of its volume
    OUTPUT/excluded.csv               one row per volume left out, with the reason
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image

from ucadi_flwr.commands.bar import progress_bar
from ucadi_flwr.data.manifest import Case, image_stem, read_manifest
from ucadi_flwr.data.series import Excluded, Reason
from ucadi_flwr.data.site_folder import (
    Progress,
    count_reasons,
    new_site,
    refuse_overwrite,
    write_rows,
)
from ucadi_flwr.data.slices import Cut, grey_levels, slice_numbers, unique_names
from ucadi_flwr.errors import DataError

DEFAULT = Cut()


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


def slices(
    source: Annotated[
        Path,
        typer.Option(
            "--input",
            help="A site of CT volumes: NIfTI files or DICOM series, with their manifest.csv.",
        ),
    ],
    output: Annotated[Path, typer.Option(help="A new folder, for the pictures and manifest.csv.")],
    per_volume: Annotated[
        int, typer.Option(help="Slices of each volume, evenly spaced.")
    ] = DEFAULT.per_volume,
    share: Annotated[
        float,
        typer.Option(help="Part of the volume's height, in its middle, that they come from."),
    ] = DEFAULT.share,
    window: Annotated[
        tuple[float, float],
        typer.Option(metavar="LOW HIGH", help="HU that become black and white."),
    ] = DEFAULT.window_hu,
) -> None:
    """Cut a site's CT volumes into PNG slices, for tasks such as ct-slices3.

    Slices are axial, as one looks at them from the feet: the front of the body is up, the
    patient's left is on the right. Every slice keeps the label, patient, site and split of its
    volume, so that no patient is divided between training and test.

    Volumes that cannot be read are left out; excluded.csv says why.
    """
    cut = Cut(per_volume, share, window)
    with progress_bar("reading the manifest", "volumes") as advance:
        pictures, left_out = cut_site(source, output, cut, advance)
    print(_summary(output, pictures, left_out))


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


def _summary(output: Path, pictures: Sequence[Picture], left_out: Sequence[LeftOut]) -> str:
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
