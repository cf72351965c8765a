"""A new site's folder: its images and tables, written whole or not at all."""

import csv
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from ucadi_flwr.errors import DataError

Progress = Callable[[int, int], None]
"""Called after every series or volume with the number done and the number of all."""


def refuse_overwrite(output: Path) -> None:
    """Demand a place for a new folder: nothing there, or an empty folder, in one that exists."""
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise DataError(f"{output}: exists and is not an empty folder; choose another output")
    if not output.parent.is_dir():
        raise DataError(f"{output.parent}: no such folder; create it first")


@contextmanager
def new_site(output: Path) -> Iterator[Path]:
    """Give a folder with ``images/`` to write to; it becomes ``output`` once all is well.

    Only its owner may read it. It lies in a hidden sibling of ``output``, in which what else is
    written is lost: if the block fails, Ctrl-C included, nothing is left.
    """
    work: Path | None = None
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))  # mode 0700
        folder = work / "output"
        folder.mkdir(mode=0o700)
        (folder / "images").mkdir()
        yield folder
        folder.replace(output)
    except OSError as error:
        raise DataError(f"{output}: cannot be written ({error.strerror})") from error
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)


def write_rows(
    path: Path,
    kind: type,
    rows: Sequence[Any],
    *,
    delimiter: str = ",",
    without: Collection[str] = (),
) -> None:
    """Write a table of dataclasses of one kind: a column a field, less those it is ``without``."""
    columns = [field.name for field in fields(kind) if field.name not in without]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", delimiter=delimiter)
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def count_reasons(reasons: Iterable[str]) -> str:
    """How often each reason, most frequent first: `` (2 too few slices, 1 localiser)``."""
    shown = ", ".join(f"{count} {reason}" for reason, count in Counter(reasons).most_common())
    return f" ({shown})" if shown else ""
