"""Write a new site's folder with its images and tables: completely or not at all."""

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
"""Called after every series or volume with two numbers: done so far, and all."""


def refuse_overwrite(output: Path) -> None:
    """Check that ``output`` does not exist or is an empty folder, and that its parent exists.

    Raises:
        DataError: otherwise.
    """
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise DataError(f"{output}: exists and is not an empty folder; choose another output")
    if not output.parent.is_dir():
        raise DataError(f"{output.parent}: no such folder; create it first")


@contextmanager
def new_site(output: Path) -> Iterator[Path]:
    """Yield a new folder with ``images/``; it becomes ``output`` when the block ends without error.

    The folder is readable by its owner only (mode 0700), and lies in a hidden folder beside
    ``output``. That hidden folder is deleted at the end, also after an error or Ctrl-C.

    Raises:
        DataError: the files cannot be written.
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
    """Write a table with one row for each dataclass.

    Args:
        path: the file.
        kind: the dataclass; its fields are the columns.
        rows: instances of ``kind``.
        delimiter: between two values.
        without: fields that are left out.
    """
    columns = [field.name for field in fields(kind) if field.name not in without]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", delimiter=delimiter)
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def count_reasons(reasons: Iterable[str]) -> str:
    """The number of each reason, most frequent first: `` (2 too few slices, 1 localiser)``."""
    shown = ", ".join(f"{count} {reason}" for reason, count in Counter(reasons).most_common())
    return f" ({shown})" if shown else ""
