"""``ucadi slices``: a site's CT volumes, cut into grey pictures."""

from pathlib import Path
from typing import Annotated

import typer

from ucadi_flwr.commands.bar import progress_bar
from ucadi_flwr.data.slices import Cut, cut_site, summary

DEFAULT = Cut()


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
    print(summary(output, pictures, left_out))
