"""``ucadi prepare``: convert a hospital's DICOM tree to NIfTI files and a manifest."""

from pathlib import Path
from typing import Annotated

import typer

from ucadi_flwr.commands.bar import progress_bar
from ucadi_flwr.data.prepare import prepare as prepare_tree
from ucadi_flwr.data.series import MIN_SLICES


def prepare(
    source: Annotated[Path, typer.Option("--input", help="A folder of DICOM files, at any depth.")],
    output: Annotated[Path, typer.Option(help="A new folder, for the images and manifest.csv.")],
    min_slices: Annotated[
        int, typer.Option(help="Series with fewer slices are excluded.")
    ] = MIN_SLICES,
) -> None:
    """Convert a hospital's DICOM tree to NIfTI files and a manifest, without identifiers."""
    with progress_bar("reading headers", "series") as advance:
        result = prepare_tree(source, output, min_slices, advance)
    print(result.summary())
