"""Run every fault scenario on a real federation, and write the table: ``make test-faults``."""

import argparse
import shutil
import signal
import sys
import tempfile
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import crashes  # noqa: E402, F401 - each adds its scenarios
import endurance  # noqa: E402, F401
import limits  # noqa: E402, F401
import members  # noqa: E402, F401
import proxy  # noqa: E402, F401
import scenario  # noqa: E402
import table  # noqa: E402


def main() -> int:
    """Run the scenarios; the exit status is 1 if a row is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="the document; its JSON is written beside it")
    parser.add_argument("--only", nargs="+", choices=sorted(scenario.SCENARIOS), metavar="NAME")
    parser.add_argument("--keep", action="store_true", help="keep the scenarios' folders")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the federation is ended too
    all_right = True
    for name in arguments.only or scenario.SCENARIOS:
        print(f"{name} …", flush=True)
        folder = Path(tempfile.mkdtemp(prefix=f"ucadi-fault-{name}-")).resolve()
        entry = play(name, folder)
        if arguments.keep:
            print(f"{name}: {folder}", flush=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
        print(f"{name}: {entry}", flush=True)
        all_right &= table.is_right(entry)
        if arguments.write:
            table.merge(arguments.write, entry)
    return 0 if all_right else 1


def play(name: str, folder: Path) -> table.Entry:
    """Run one scenario; an error in it becomes its row."""
    function = scenario.SCENARIOS[name]
    event = (function.__doc__ or name).strip()
    try:
        return table.entry(name, event, function(folder))
    except scenario.NotRunError as error:
        return table.entry(name, event, str(error))
    except Exception as error:
        traceback.print_exc()
        failed = scenario.Outcome(f"FAILED: {scenario.first_line(error)}", None, None, False)
        return table.entry(name, event, failed)


if __name__ == "__main__":
    sys.exit(main())
