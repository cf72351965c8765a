"""Sites that leave, come late, or cannot take part; the others continue."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

from scenario import Outcome, World, conclude, now, open_world, scenario, start_run

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
def site_stopped(folder: Path) -> Outcome:
    """A site is stopped for good (SIGTERM to `ucadi site`) in mid-round; min-sites 2"""
    with open_world(folder, "fedavg") as world:
        start_run(world)
        begin = now()
        world.processes["b"].terminate()
        world.finish(world.processes["b"])
        world.finish(world.processes["submit1"])
        return conclude(world, sites_by_round(world), begin, world.round_done(2))


@scenario
def site_added(folder: Path) -> Outcome:
    """A third site starts after round 1 of a run that two began; min-sites 2"""
    with open_world(folder, "fedavg", 8) as world:
        world.start_server()
        for name in ("a", "b"):
            world.start_site(name)
        world.wait(lambda: all("online as" in world.output(n) for n in ("a", "b")), "two online")
        world.submit("--sites", 2)
        world.wait_round(1)
        begin = now()
        world.start_site("c")
        world.finish(world.processes["submit1"])
        first = min(e["round"] for e in world.events("answer") if e["site"] == "c")
        text = f"took part from round {first} on, with the model of round {first - 1}"
        return conclude(world, f"{text}; {sites_by_round(world)}", begin, world.round_done(first))


@scenario
def other_recipe(folder: Path) -> Outcome:
    """A site has another version of the task recipe; min-sites 2"""
    with open_world(folder, "fedavg", 2) as world:
        other = folder / "elsewhere"
        (other / "tasks").mkdir(parents=True)
        text = world.task.read_text(encoding="utf-8").replace("0.05", "0.06")
        (other / "tasks" / "tiny.yaml").write_text(text, encoding="utf-8")
        world.working_folders["b"] = other
        return run_without_b(world, "differs from the server's")


@scenario
def wrong_key(folder: Path) -> Outcome:
    """A site has another kit's encryption key, and settings that say so; min-sites 2"""
    with open_world(folder, "ucadi-two", 2, recipe=SEALED_BY_TWO) as world:
        other = other_kit(folder)
        shutil.copyfile(other / "encryption.key", world.kit / "b" / "encryption.key")
        try:
            SiteKit.load(world.kit / "b")
            raise AssertionError("a kit with another key was loaded")
        except UcadiError as error:
            refusal = str(error).rpartition(": ")[2]
        copy_setting(other, world.kit / "b", "key-id")
        world.key_holders = ("a", "c")
        outcome = run_without_b(world, "key", SEALED_BY_TWO)
        text = f"the file alone: `ucadi site` does not start (“{refusal}”); settings too: "
        return replace(outcome, happened=text + outcome.happened)


@scenario
def unknown_node(folder: Path) -> Outcome:
    """A node whose key is not registered: another kit's, with this one's address and authority"""
    with open_world(folder, "fedavg", 2) as world:
        other = other_kit(folder)
        shutil.copyfile(other / "node.key", world.kit / "b" / "node.key")
        copy_setting(other, world.kit / "b", "node-key")
        world.key_holders = ("a", "c")
        world.start_server()
        for name in world.sizes:
            world.start_site(name)
        world.wait(lambda: all("online as" in world.output(n) for n in ("a", "c")), "two online")
        world.submit("--sites", 2)
        world.wait(lambda: "not registered" in world.output("b"), "the refusal of b")
        world.finish(world.processes["submit1"])
        why = next(line for line in world.output("b").splitlines() if "not registered" in line)
        assert all(e["site"] != "b" for e in world.events("answer"))
        text = f"its own log: “{why.split(' b: ', 1)[1]}”; {sites_by_round(world)}"
        return conclude(world, text, now(), None)


def other_kit(folder: Path) -> Path:
    """The kit of site b in another federation."""
    commands.make(folder / "OTHER", f"127.0.0.1:{free_port()}", ("a", "b", "c"), "bfv")
    return folder / "OTHER" / "b"


def copy_setting(source: Path, target: Path, key: str) -> None:
    """Copy one value of a kit's settings into another kit."""
    theirs, ours = (json.loads((k / "settings.json").read_text()) for k in (source, target))
    (target / "settings.json").write_text(json.dumps({**ours, key: theirs[key]}, indent=2))


def run_without_b(world: World, reason: str, recipe: str = "") -> Outcome:
    """Run with all sites; b is left out, with this reason in the journal."""
    world.start_server()
    world.start_sites()
    world.submit()
    world.finish(world.processes["submit1"])
    failures = [e for e in world.events("failure") if reason in e["reason"]]
    assert failures, world.all_output()
    text = f"the journal: “{failures[0]['site']}: {failures[0]['reason']}”; {sites_by_round(world)}"
    return conclude(world, text, now(), None, recipe)


def sites_by_round(world: World) -> str:
    """The sites that took part in each round."""
    path = world.out / "server" / "run.json"
    rounds = json.loads(path.read_text(encoding="utf-8"))["rounds"]
    return "sites by round: " + " ".join("".join(sorted(r["sites"])) for r in rounds)
