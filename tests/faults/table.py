"""docs/faults.md: written from the JSON beside it, into which every rerun puts its rows."""

import json
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from scenario import ALL_SITES, Row

Entry = dict[str, Any]

HEAD = """\
# What happens when something breaks

Written by `make test-faults`, which plays every row with real processes on one machine: a server
and three sites over TLS with node authentication, a tiny task, and faults while it runs; the
row over the loopback network has no processes. What was entered by hand stands under the table.

- **seconds**: from the fault to the end of the round that it hit, with all that the operator does
  and all waits. Every message starts a process that imports PyTorch, and the machine was shared:
  a fault-free round took {calm}. These are not Flower's delays alone.
- **lost**: rounds that counted and had to be done again.
- **same model**: the final model is, bit for bit, that of an undisturbed run over a loopback
  network in which the same sites take part in the same rounds.
- After every row no process is left, and its folders for temporary files and for the account's
  home are empty{clean}. Other folders are not looked at.

| event | what happened | seconds | rounds lost | same model |
|---|---|---:|---:|---|
"""


def entry(name: str, event: str, row: Row | str) -> Entry:
    """A row with where and when it was seen; a text says why there is none."""
    found: Entry = {"name": name, "event": event, "when": time.strftime("%Y-%m-%d")}
    if isinstance(row, str):
        return found | {"not_run": row}
    found |= {"machine": machine(), "versions": versions()}
    found |= {"happened": row.happened, "seconds": row.seconds, "lost": row.lost}
    return found | {
        "same": row.same,
        "left": list(row.left),
        "calm": row.calm,
        "load": os.getloadavg()[0],
    }


def fine(found: Entry) -> bool:
    """Whether it was played and is as it must be."""
    if "not_run" in found:
        return True
    return found["same"] is not False and not found["lost"] and not found["left"]


def merge(path: Path, found: Entry) -> None:
    """Put a row into the JSON and write the document from it."""
    data = path.with_suffix(".json")
    rows = json.loads(data.read_text(encoding="utf-8")) if data.exists() else {}
    kept = rows.get(found["name"])
    if "not_run" in found and kept and "not_run" not in kept:
        return
    rows[found["name"]] = found
    data.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    path.write_text(document(rows), encoding="utf-8")


def document(rows: dict[str, Entry]) -> str:
    """The whole page; scenarios without a row are named."""
    lines, missing = [], []
    for name, function in ALL_SITES.items():
        found = rows.get(name)
        event = (function.__doc__ or "").strip()
        if found is None or "not_run" in found:
            why = found["not_run"] if found else "not played yet"
            missing.append(f"- {event}: not run ({why})")
            continue
        lines.append(
            f"| {event} | {cell(found['happened'])} | {number(found['seconds'])} "
            f"| {number(found['lost'])} | {yes(found['same'])} |"
        )
    played = [found for found in rows.values() if "not_run" not in found]
    dirty = [f["name"] for f in played if f["left"]]
    clean = f"; not so: {', '.join(dirty)}" if dirty else ""
    text = HEAD.format(calm=calm(played), clean=clean) + "\n".join(lines) + "\n"
    notes = [f"- {found['event']}: {found['note']}" for found in played if "note" in found]
    if notes:
        text += "\nBy hand:\n\n" + "\n".join(notes) + "\n"
    if missing:
        text += "\nNot seen:\n\n" + "\n".join(missing) + "\n"
    return text + "\n" + places(played)


def calm(played: list[Entry]) -> str:
    """How long a round takes without a fault, as far as it was seen."""
    seen = [found["calm"] for found in played if found.get("calm")]
    return f"{min(seen):.0f} to {max(seen):.0f} s" if seen else "many seconds"


def places(played: list[Entry]) -> str:
    """Where and when."""
    groups: dict[tuple[str, str], list[str]] = {}
    for found in played:
        groups.setdefault((found["machine"], found["versions"]), []).append(found["when"])
    return "".join(
        f"{min(when)}{'' if min(when) == max(when) else f' to {max(when)}'}: {machine}; {used}.\n"
        for (machine, used), when in groups.items()
    )


def machine() -> str:
    """What it ran on."""
    memory = psutil.virtual_memory().total / 2**30
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB"


def versions() -> str:
    """What ran."""
    return ", ".join(
        [f"Python {platform.python_version()}", *(f"{n} {version(n)}" for n in ("flwr", "torch"))]
    )


def cell(text: str) -> str:
    """Text that does not break the table."""
    return " ".join(text.split()).replace("|", "\\|")


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


def yes(value: bool | None) -> str:
    return "–" if value is None else ("yes" if value else "**no**")
