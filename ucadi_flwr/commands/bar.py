"""The progress bar of commands that process series or volumes."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress as Bars

from ucadi_flwr.data.site_folder import Progress


@contextmanager
def progress_bar(first: str, counted: str) -> Iterator[Progress]:
    """Show a progress bar on standard error, if that is a terminal.

    Args:
        first: its description until the number of items is known.
        counted: its description afterwards.

    Yields:
        The function to call after each item.
    """
    console = Console(stderr=True)
    with Bars(console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(first, total=None)

        def advance(done: int, total: int) -> None:
            bars.update(task, description=counted, completed=done, total=total)

        yield advance
