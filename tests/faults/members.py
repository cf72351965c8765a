"""Sites that leave, come late, or cannot take part; the others go on."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

from scenario import Row, World, begun, judged, now, scenario, world

from ucadi_flwr.deployment.kit import commands
from ucadi_flwr.deployment.kit.kits import SiteKit
from ucadi_flwr.errors import UcadiError
from ucadi_flwr.processes.children import free_port

SEALED_BY_TWO = (
    "weights: size-epochs\n"
    "protection: {scheme: bfv, values-per-slot: 3, weights: encrypted, metrics: encrypted}\n"
    "min-sites: 2"
)


@scenario
def site_stopped(folder: Path) -> Row:
    """A site is stopped for good (SIGTERM to `ucadi site`) in mid-round; min-sites 2"""
    with world(folder, "fedavg") as place:
        begun(place)
        begin = now()
        place.processes["b"].terminate()
        place.finish(place.processes["b"])
        place.finish(place.processes["submit1"])
        return judged(place, taken(place), begin, place.round_done(2))


@scenario
def site_added(folder: Path) -> Row:
    """A third site starts after round 1 of a run that two began; min-sites 2"""
    with world(folder, "fedavg", 8) as place:
        place.start_server()
        for name in ("a", "b"):
            place.start_site(name)
        place.wait(lambda: all("online as" in place.said(n) for n in ("a", "b")), "two online")
        place.submit("--sites", 2)
        place.wait_round(1)
        begin = now()
        place.start_site("c")
        place.finish(place.processes["submit1"])
        first = min(e["round"] for e in place.events("answer") if e["site"] == "c")
        text = f"took part from round {first} on, with the model of round {first - 1}"
        return judged(place, f"{text}; {taken(place)}", begin, place.round_done(first))


@scenario
def other_recipe(folder: Path) -> Row:
    """A site has another version of the task recipe; min-sites 2"""
    with world(folder, "fedavg", 2) as place:
        other = folder / "elsewhere"
        (other / "tasks").mkdir(parents=True)
        text = place.task.read_text(encoding="utf-8").replace("0.05", "0.06")
        (other / "tasks" / "tiny.yaml").write_text(text, encoding="utf-8")
        place.where["b"] = other
        return without_b(place, "differs from the server's")


@scenario
def wrong_key(folder: Path) -> Row:
    """A site has another kit's encryption key, and settings that say so; min-sites 2"""
    with world(folder, "ucadi-two", 2, recipe=SEALED_BY_TWO) as place:
        theirs = another_kit(folder)
        shutil.copyfile(theirs / "encryption.key", place.kit / "b" / "encryption.key")
        try:
            SiteKit.load(place.kit / "b")
            raise AssertionError("a kit with another key was opened")
        except UcadiError as error:
            mixed = str(error).rpartition(": ")[2]
        edit(place.kit / "b", theirs, "key-id")
        place.good = ("a", "c")
        row = without_b(place, "key", SEALED_BY_TWO)
        text = f"the file alone: `ucadi site` does not start (“{mixed}”); settings too: "
        return replace(row, happened=text + row.happened)


@scenario
def unknown_node(folder: Path) -> Row:
    """A node whose key is not registered: another kit's, with this one's address and authority"""
    with world(folder, "fedavg", 2) as place:
        theirs = another_kit(folder)
        shutil.copyfile(theirs / "node.key", place.kit / "b" / "node.key")
        edit(place.kit / "b", theirs, "node-key")
        place.good = ("a", "c")
        place.start_server()
        for name in place.sizes:
            place.start_site(name)
        place.wait(lambda: all("online as" in place.said(n) for n in ("a", "c")), "two online")
        place.submit("--sites", 2)
        place.wait(lambda: "not registered" in place.said("b"), "b turned away")
        place.finish(place.processes["submit1"])
        why = next(line for line in place.said("b").splitlines() if "not registered" in line)
        assert all(e["site"] != "b" for e in place.events("answer"))
        text = f"its own log: “{why.split(' b: ', 1)[1]}”; {taken(place)}"
        return judged(place, text, now(), None)


def another_kit(folder: Path) -> Path:
    """Site b of another federation."""
    commands.make(folder / "OTHER", f"127.0.0.1:{free_port()}", ("a", "b", "c"), "bfv")
    return folder / "OTHER" / "b"


def edit(kit: Path, theirs: Path, key: str) -> None:
    """One line of a kit's settings from another kit."""
    found, others = (json.loads((k / "settings.json").read_text()) for k in (kit, theirs))
    (kit / "settings.json").write_text(json.dumps({**found, key: others[key]}, indent=2))


def without_b(place: World, reason: str, recipe: str = "") -> Row:
    """All start; b is left out with this reason in the journal."""
    place.start_server()
    place.start_sites()
    place.submit()
    place.finish(place.processes["submit1"])
    failures = [e for e in place.events("failure") if reason in e["reason"]]
    assert failures, place.everything()
    text = f"the journal: “{failures[0]['site']}: {failures[0]['reason']}”; {taken(place)}"
    return judged(place, text, now(), None, recipe)


def taken(place: World) -> str:
    """Who took part in each round."""
    path = place.out / "server" / "run.json"
    rounds = json.loads(path.read_text(encoding="utf-8"))["rounds"]
    return "sites by round: " + " ".join("".join(sorted(r["sites"])) for r in rounds)
