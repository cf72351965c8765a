"""The progress of runs on the terminal: bars on a terminal, plain lines in a file or a pipe."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ucadi_flwr.results.journal import Event, JournalReader


class JournalWatch:
    """Passes the events that are appended to a run's journal to a function.

    Args:
        journal: the file, which need not exist yet.
        on_event: is called with each new event, in order.
    """

    def __init__(self, journal: Path, on_event: Callable[[Event], None]) -> None:
        self._reader, self._on_event = JournalReader(journal), on_event

    @property
    def stopped(self) -> str:
        """Why the run stopped early; '' if it has not."""
        return self._reader.stopped

    def poll(self) -> None:
        """Pass on the events since the last call."""
        for event in self._reader.new_events():
            self._on_event(event)


class ProgressDisplay:
    """A context that shows one bar for all runs, in rounds, with the time left.

    Args:
        console: where to print; standard error unless given.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._rounds: Mapping[str, int] = {}
        self._rounds_bar = self._bars.add_task("rounds", total=None, visible=False)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def expect(self, rounds: Mapping[str, int]) -> None:
        """Set the bar's length: the name of each run to come → its number of rounds."""
        self._rounds = rounds
        self._bars.update(self._rounds_bar, total=sum(rounds.values()), visible=True)

    @contextmanager
    def step(self, name: str, total: int) -> Iterator[Callable[[], None]]:
        """Show a step of preparation; call the yielded function once for each of its items."""
        self._console.print(f"{name} …")
        bar = self._bars.add_task(name, total=total)
        try:
            yield lambda: self._bars.advance(bar)
        finally:
            self._bars.remove_task(bar)

    @contextmanager
    def follow(self, name: str, journal: Path) -> Iterator[JournalWatch]:
        """Show one run; the caller polls the yielded watch while it runs.

        Args:
            name: the run's name, one of those that were expected.
            journal: the run's journal.
        """
        done = 0

        def show(event: Event) -> None:
            nonlocal done
            match event:
                case {"event": "resumed", "round": number}:
                    done += number
                    self._bars.advance(self._rounds_bar, number)
                    self._show(name, f"continues after round {number}")
                case {"event": "answer", "round": number, "site": site, "loss": loss}:
                    self._show(name, f"round {number} · {site}{_loss(loss)}", bar_only=True)
                case {"event": "round", "round": number, "rounds": rounds, "loss": loss}:
                    done += 1
                    self._bars.advance(self._rounds_bar)
                    self._show(name, f"round {number}/{rounds}{_loss(loss)}")
                case {"event": "log", "text": text}:
                    self._console.print(f"{name} · {text}", markup=False)
                case {"event": "failure", "site": site, "reason": reason}:
                    self._console.print(f"{name} · {site} left out: {reason}", markup=False)
                case {"event": "stopped", "reason": reason}:
                    self._console.print(f"{name} · stopped: {reason}", markup=False)

        watch = JournalWatch(journal, show)
        self._show(name, "starting")
        yield watch
        watch.poll()
        self._bars.advance(self._rounds_bar, self._rounds[name] - done)

    def _show(self, name: str, text: str, *, bar_only: bool = False) -> None:
        self._bars.update(self._rounds_bar, description=f"{name} · {text}")
        if not self._console.is_terminal and not bar_only:
            self._console.print(f"{name} · {text}", markup=False)


def _loss(loss: float | None) -> str:
    return "" if loss is None else f" · loss {loss:.3f}"
