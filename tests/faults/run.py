"""Play every fault on a real federation and write the table: ``make test-faults``."""

import argparse
import shutil
import signal
import sys
import tempfile
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import crashes  # noqa: E402, F401 - they enter their scenarios
import endurance  # noqa: E402, F401
import limits  # noqa: E402, F401
import members  # noqa: E402, F401
import proxy  # noqa: E402, F401
import scenario  # noqa: E402
import table  # noqa: E402


def main() -> int:
    """The exit status: 1 if a row is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="the document; its numbers lie beside it")
    parser.add_argument("--only", nargs="+", choices=sorted(scenario.ALL_SITES), metavar="NAME")
    parser.add_argument("--keep", action="store_true", help="keep the folders, to look into them")
    words = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the federation ends with us
    fine = True
    for name in words.only or scenario.ALL_SITES:
        print(f"{name} …", flush=True)
        folder = Path(tempfile.mkdtemp(prefix=f"ucadi-fault-{name}-")).resolve()
        entry = play(name, folder)
        if words.keep:
            print(f"{name}: {folder}", flush=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
        print(f"{name}: {entry}", flush=True)
        fine &= table.fine(entry)
        if words.write:
            table.merge(words.write, entry)
    return 0 if fine else 1


def play(name: str, folder: Path) -> table.Entry:
    """One scenario; what goes wrong in it is its row."""
    function = scenario.ALL_SITES[name]
    event = (function.__doc__ or name).strip()
    try:
        return table.entry(name, event, function(folder))
    except scenario.NotRunError as error:
        return table.entry(name, event, str(error))
    except Exception as error:
        traceback.print_exc()
        failed = scenario.Row(f"FAILED: {scenario.first_line(error)}", None, None, False)
        return table.entry(name, event, failed)


if __name__ == "__main__":
    sys.exit(main())
