"""Processes that are killed, at a site and at the server."""

import re
from pathlib import Path

import psutil
from scenario import Outcome, World, conclude, now, open_world, scenario, start_run

LONG = """\
weights: size-epochs
local-epochs: 60
protection: {scheme: bfv, values-per-slot: 3, weights: encrypted, metrics: encrypted}
min-sites: 3"""
BUSY = 8.0
"""Seconds of processor time after which a client has done its imports and trains."""


@scenario
def client_killed_starting(folder: Path) -> Outcome:
    """A site's client process is killed (-9) as it starts, before it has its message"""
    with open_world(folder) as world:
        start_run(world)
        begin = now()
        world.kill(*world.find("b", "flwr-clientapp"))
        world.finish(world.processes["submit1"])
        assert not world.events("failure"), world.all_output()
        text = f"not left out: its process was started again and answered; {journal_summary(world)}"
        return conclude(world, text, begin, world.round_done(2))


@scenario
def client_killed(folder: Path) -> Outcome:
    """A site's client process is killed (-9) in the middle of training"""
    with open_world(folder, "ucadi-long", recipe=LONG) as world:
        start_run(world)
        world.wait(lambda: processor_time(world, "c") > BUSY, "c in the middle of training")
        begin = now()
        world.kill(*world.find("c", "flwr-clientapp"))
        world.finish(world.processes["submit1"])
        assert any(e["site"] == "c" for e in world.events("failure")), world.all_output()
        return conclude(world, journal_summary(world), begin, world.round_done(2), LONG)


def processor_time(world: World, site: str) -> float:
    """Seconds of processor time of a site's client so far."""
    try:
        return max((p.cpu_times().user for p in world.find(site, "flwr-clientapp")), default=0.0)
    except psutil.Error:
        return 0.0


@scenario
def supernode_killed(folder: Path) -> Outcome:
    """A SuperNode is killed (-9) while its site trains"""
    with open_world(folder) as world:
        start_run(world)
        node = world.output("b").split("online as node ")[1].split()[0]
        begin = now()
        world.kill(*world.find("b", "flower-supernode"))
        world.finish(world.processes["submit1"])
        again = world.output("b").count(f"online as node {node}") - 1
        assert again == 1, world.output("b")
        text = f"`ucadi site` started it again as the same node; {journal_summary(world)}"
        return conclude(world, text, begin, world.round_done(2))


@scenario
def serverapp_killed(folder: Path) -> Outcome:
    """The ServerApp is killed (-9) in mid-round; `ucadi submit --resume`"""
    with open_world(folder) as world:
        start_run(world)
        begin = now()
        world.kill(*world.find("server", "flwr-serverapp"))
        world.wait(lambda: world.status()["course"]["state"] == "interrupted", "interrupted", 60)
        noticed = now() - begin
        world.finish(world.processes["submit1"], 2)
        ended = now() - begin
        world.finish(world.resume())
        text = (
            f"`status` says interrupted (asked after {noticed:.0f} s); `submit` ended with 2 after "
            f"{ended:.0f} s; {journal_summary(world)}"
        )
        return conclude(world, text, begin, world.round_done(2))


@scenario
def superlink_killed(folder: Path) -> Outcome:
    """The SuperLink is killed (-9) in mid-round; `ucadi server` again, `submit --resume`"""
    with open_world(folder) as world:
        start_run(world)
        begin = now()
        world.kill(*world.find("server", "flower-superlink"))
        world.finish(world.processes["server"], 2)
        gone = now() - begin
        world.finish(world.processes["submit1"], 2)
        ended = now() - begin
        world.start_server()
        world.finish(world.resume())
        text = (
            f"`ucadi server` ended with 2 after {gone:.0f} s, `submit` with 2 after {ended:.0f} s; "
            f"the sites came back by themselves; {journal_summary(world)}"
        )
        return conclude(world, text, begin, world.round_done(2))


@scenario
def machine_killed(folder: Path) -> Outcome:
    """Everything is killed (-9) at once: server, sites, `submit` and all below them"""
    with open_world(folder) as world:
        start_run(world)
        begin = now()
        world.kill(*world.own_processes())
        for name in list(world.processes):
            world.forget(name)
        world.wait(lambda: not world.own_processes(), "the end of all processes", 20)
        state = world.status()["course"]["state"]
        assert state == "interrupted", state
        world.start_server()
        for name in world.sizes:
            world.start_site(name)
        world.finish(world.resume())  # before any site is back
        text = f"`status` said interrupted; all started again; {journal_summary(world)}"
        return conclude(world, text, begin, world.round_done(2))


def journal_summary(world: World) -> str:
    """The failures and the resumption in the journal, without numbers of nodes."""
    failures = [f"{e['site']}: {e['reason']}" for e in world.events("failure")]
    parts = []
    if failures:
        text = "; ".join(dict.fromkeys(re.sub(r"\d{12,}", "…", failure) for failure in failures))
        parts.append(f"left out for a while: {text[:240]}")
    if resumed := world.events("resumed"):
        parts.append(f"resumed after round {', '.join(str(e['round']) for e in resumed)}")
    rounds = {e["round"] for e in world.events("round")}
    return "; ".join([*parts, f"{len(rounds)} rounds counted"])
