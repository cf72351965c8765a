"""Processes that are killed, on either side."""

import re
from pathlib import Path

import psutil
from scenario import Row, World, begun, judged, now, scenario, world

LONG = """\
weights: size-epochs
local-epochs: 60
protection: {scheme: bfv, values-per-slot: 3, weights: encrypted, metrics: encrypted}
min-sites: 3"""
BUSY = 8.0
"""Seconds of processor time after which a client is past its imports and trains."""


@scenario
def client_killed_starting(folder: Path) -> Row:
    """A site's client process is killed (-9) as it starts, before it has its message"""
    with world(folder) as place:
        begun(place)
        begin = now()
        place.kill(*place.find("b", "flwr-clientapp"))
        place.finish(place.processes["submit1"])
        assert not place.events("failure"), place.everything()
        text = f"not left out: its process was started again and answered; {told(place)}"
        return judged(place, text, begin, place.round_done(2))


@scenario
def client_killed(folder: Path) -> Row:
    """A site's client process is killed (-9) in the middle of training"""
    with world(folder, "ucadi-long", recipe=LONG) as place:
        begun(place)
        place.wait(lambda: spent(place, "c") > BUSY, "c in the middle of training")
        begin = now()
        place.kill(*place.find("c", "flwr-clientapp"))
        place.finish(place.processes["submit1"])
        assert any(e["site"] == "c" for e in place.events("failure")), place.everything()
        return judged(place, told(place), begin, place.round_done(2), LONG)


def spent(place: World, site: str) -> float:
    """Processor time of a site's client so far."""
    try:
        return max((p.cpu_times().user for p in place.find(site, "flwr-clientapp")), default=0.0)
    except psutil.Error:
        return 0.0


@scenario
def supernode_killed(folder: Path) -> Row:
    """A SuperNode is killed (-9) while its site trains"""
    with world(folder) as place:
        begun(place)
        node = place.said("b").split("online as node ")[1].split()[0]
        begin = now()
        place.kill(*place.find("b", "flower-supernode"))
        place.finish(place.processes["submit1"])
        again = place.said("b").count(f"online as node {node}") - 1
        assert again == 1, place.said("b")
        text = f"`ucadi site` started it again as the same node; {told(place)}"
        return judged(place, text, begin, place.round_done(2))


@scenario
def serverapp_killed(folder: Path) -> Row:
    """The ServerApp is killed (-9) in mid-round; `ucadi submit --resume`"""
    with world(folder) as place:
        begun(place)
        begin = now()
        place.kill(*place.find("server", "flwr-serverapp"))
        place.wait(lambda: place.status()["course"]["state"] == "interrupted", "interrupted", 60)
        seen = now() - begin
        place.finish(place.processes["submit1"], 2)
        ended = now() - begin
        place.finish(place.resume())
        text = (
            f"`status` says interrupted (asked after {seen:.0f} s); `submit` ended with 2 after "
            f"{ended:.0f} s; {told(place)}"
        )
        return judged(place, text, begin, place.round_done(2))


@scenario
def superlink_killed(folder: Path) -> Row:
    """The SuperLink is killed (-9) in mid-round; `ucadi server` again, `submit --resume`"""
    with world(folder) as place:
        begun(place)
        begin = now()
        place.kill(*place.find("server", "flower-superlink"))
        place.finish(place.processes["server"], 2)
        gone = now() - begin
        place.finish(place.processes["submit1"], 2)
        ended = now() - begin
        place.start_server()
        place.finish(place.resume())
        text = (
            f"`ucadi server` ended with 2 after {gone:.0f} s, `submit` with 2 after {ended:.0f} s; "
            f"the sites came back by themselves; {told(place)}"
        )
        return judged(place, text, begin, place.round_done(2))


@scenario
def machine_killed(folder: Path) -> Row:
    """Everything is killed (-9) at once: server, sites, `submit` and all below them"""
    with world(folder) as place:
        begun(place)
        begin = now()
        place.kill(*place.own())
        for name in list(place.processes):
            place.forget(name)
        assert not place.own()
        state = place.status()["course"]["state"]
        assert state == "interrupted", state
        place.start_server()
        for name in place.sizes:
            place.start_site(name)
        place.finish(place.resume())  # before any site is back
        text = f"`status` said interrupted; all started again; {told(place)}"
        return judged(place, text, begin, place.round_done(2))


def told(place: World) -> str:
    """What the journal says of round 2 and of going on, without numbers of nodes."""
    failures = [f"{e['site']}: {e['reason']}" for e in place.events("failure")]
    parts = []
    if failures:
        text = "; ".join(dict.fromkeys(re.sub(r"\d{12,}", "…", told) for told in failures))
        parts.append(f"left out for a while: {text[:240]}")
    if resumed := place.events("resumed"):
        parts.append(f"resumed after round {', '.join(str(e['round']) for e in resumed)}")
    record = {e["round"]: e for e in place.events("round")}
    return "; ".join([*parts, f"{len(record)} rounds counted"])
