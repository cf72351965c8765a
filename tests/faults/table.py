"""docs/faults.md, which is written from the JSON beside it; every run updates its rows there."""

import json
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from scenario import SCENARIOS, Outcome

Entry = dict[str, Any]

HEAD = """\
# What happens when something breaks

`make test-faults` writes this page. Each row is one scenario with real processes on one machine: a
server and three sites over TLS with node authentication, a tiny task, and a fault while it runs;
only the row over the loopback network has no processes. Notes that were written by hand are under
the table. Messages are quoted as the programs printed them on the date below; newer versions may
use other words.

- **seconds**: from the fault to the end of the round that it hit, with all that the operator does
  and all waits. Every message starts a process that imports PyTorch, and the machine was shared:
  a round without a fault took {calm}. These are not Flower's delays alone.
- **rounds lost**: rounds that were complete and had to be done again.
- **same model**: the final model is, bit for bit, that of an undisturbed run over a loopback
  network in which the same sites take part in the same rounds.
- After every row no process is left, and its folders for temporary files and for the account's
  home are empty{clean}. Other folders are not checked.

| event | what happened | seconds | rounds lost | same model |
|---|---|---:|---:|---|
"""


def entry(name: str, event: str, outcome: Outcome | str) -> Entry:
    """A row with its machine and date; ``outcome`` may be the reason why there is none."""
    row: Entry = {"name": name, "event": event, "when": time.strftime("%Y-%m-%d")}
    if isinstance(outcome, str):
        return row | {"not_run": outcome}
    row |= {"machine": machine(), "versions": versions()}
    row |= {"happened": outcome.happened, "seconds": outcome.seconds, "lost": outcome.lost}
    return row | {
        "same": outcome.same,
        "left": list(outcome.left),
        "calm": outcome.calm,
        "load": os.getloadavg()[0],
    }


def is_right(row: Entry) -> bool:
    """Whether nothing was lost, different or left behind; a row that was not run is right."""
    if "not_run" in row:
        return True
    return row["same"] is not False and not row["lost"] and not row["left"]


def merge(path: Path, row: Entry) -> None:
    """Put a row into the JSON, and write the document from it."""
    data = path.with_suffix(".json")
    rows = json.loads(data.read_text(encoding="utf-8")) if data.exists() else {}
    earlier = rows.get(row["name"])
    if "not_run" in row and earlier and "not_run" not in earlier:
        return
    rows[row["name"]] = row
    data.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    path.write_text(document(rows), encoding="utf-8")


def document(rows: dict[str, Entry]) -> str:
    """The whole page; scenarios without a row are listed at its end."""
    lines, missing = [], []
    for name, function in SCENARIOS.items():
        row = rows.get(name)
        event = (function.__doc__ or "").strip()
        if row is None or "not_run" in row:
            why = row["not_run"] if row else "not tried yet"
            missing.append(f"- {event}: {why}")
            continue
        lines.append(
            f"| {event} | {cell(row['happened'])} | {number(row['seconds'])} "
            f"| {number(row['lost'])} | {yes(row['same'])} |"
        )
    done = [row for row in rows.values() if "not_run" not in row]
    dirty = [row["name"] for row in done if row["left"]]
    clean = f", except after: {', '.join(dirty)}" if dirty else ""
    text = HEAD.format(calm=calm(done), clean=clean) + "\n".join(lines) + "\n"
    notes = [f"- {row['event']}: {row['note']}" for row in done if "note" in row]
    if notes:
        text += "\nNotes by hand:\n\n" + "\n".join(notes) + "\n"
    if missing:
        text += "\nNot run:\n\n" + "\n".join(missing) + "\n"
    return text + "\n" + machines(done)


def calm(rows: list[Entry]) -> str:
    """How long a round without a fault took."""
    seconds = [row["calm"] for row in rows if row.get("calm")]
    return f"{min(seconds):.0f} to {max(seconds):.0f} s" if seconds else "many seconds"


def machines(rows: list[Entry]) -> str:
    """The dates, machines and versions of the rows."""
    groups: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        groups.setdefault((row["machine"], row["versions"]), []).append(row["when"])
    return "".join(
        f"{min(when)}{'' if min(when) == max(when) else f' to {max(when)}'}: {machine}; {used}.\n"
        for (machine, used), when in groups.items()
    )


def machine() -> str:
    """This machine."""
    memory = psutil.virtual_memory().total / 2**30
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB"


def versions() -> str:
    """The versions that run here."""
    return ", ".join(
        [f"Python {platform.python_version()}", *(f"{n} {version(n)}" for n in ("flwr", "torch"))]
    )


def cell(text: str) -> str:
    """A text for one cell of the table."""
    return " ".join(text.split()).replace("|", "\\|")


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


def yes(value: bool | None) -> str:
    return "–" if value is None else ("yes" if value else "**no**")
