"""``ucadi slices``: extract grey slices from a site's CT volumes."""

from pathlib import Path
from typing import Annotated

import typer

from ucadi_flwr.commands.bar import progress_bar
from ucadi_flwr.data.slices import SliceSelection, extract_slices, summary

DEFAULT = SliceSelection()


def slices(
    source: Annotated[
        Path,
        typer.Option(
            "--input",
            help="A site of CT volumes: NIfTI files or DICOM series, with their manifest.csv.",
        ),
    ],
    output: Annotated[Path, typer.Option(help="A new folder, for the images and manifest.csv.")],
    per_volume: Annotated[
        int, typer.Option(help="Slices of each volume, evenly spaced.")
    ] = DEFAULT.per_volume,
    share: Annotated[
        float,
        typer.Option(help="Part of the volume's height, around its middle, that is used."),
    ] = DEFAULT.share,
    window: Annotated[
        tuple[float, float],
        typer.Option(metavar="LOW HIGH", help="HU of black and of white."),
    ] = DEFAULT.window_hu,
) -> None:
    """Extract PNG slices from a site's CT volumes, for tasks such as ct-slices3.

    Slices are axial and seen from the feet: the front of the body is up, and the patient's left is
    on the right. Every slice keeps the label, patient, site and split of its volume, so that no
    patient is in both training and test.

    Volumes that cannot be read are excluded; excluded.csv gives the reasons.
    """
    selection = SliceSelection(per_volume, share, window)
    with progress_bar("reading the manifest", "volumes") as advance:
        images, excluded = extract_slices(source, output, selection, advance)
    print(summary(output, images, excluded))
