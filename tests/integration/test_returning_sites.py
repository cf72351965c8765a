"""Rounds below the quorum: the server waits for sites that come back, not for broken ones."""

import pytest
from flwr.app import Error, Message
from helpers.federation import Config, events, run, same
from helpers.killed_run import configure, final_state

from ucadi_flwr.errors import FederationError

pytestmark = pytest.mark.usefixtures("no_pauses")


def test_a_round_below_the_quorum_waits_for_sites_to_come_back(config: Config) -> None:
    whole = configure(config, "ucadi", name="whole")
    run(whole)
    broken = configure(config, "ucadi", name="broken")
    lost: list[int] = []

    def crash_twice(node: int, message: Message) -> Message:
        hit = node == 101 and message.metadata.message_type == "train"
        if hit and message.metadata.group_id == "2" and len(lost) < 2:
            lost.append(node)
            return Message(Error(8, "the client's process ended"), reply_to=message)
        return message

    result, _ = run(broken, fault=crash_twice)
    assert result["rounds"][1]["attempts"] == 3
    assert sorted(result["rounds"][1]["sites"]) == ["a", "b", "c"]
    assert "waiting 120 s for sites to come back" in str(events(broken, "log"))
    assert same(final_state(broken), final_state(whole))


def test_a_node_that_is_not_back_yet_is_asked_for_its_site_again(config: Config) -> None:
    """When all processes were killed, Flower counts their nodes as online for a minute."""
    settings = configure(config, "ucadi")
    lost: list[int] = []

    def gone_twice(node: int, message: Message) -> Message:
        if node == 101 and message.metadata.message_type == "query" and len(lost) < 2:
            lost.append(node)
            return Message(Error(5, "node is not available"), reply_to=message)
        return message

    result, _ = run(settings, fault=gone_twice)
    assert len(lost) == 2
    assert [sorted(r["sites"]) for r in result["rounds"]] == [["a", "b", "c"]] * 4


def test_a_site_that_fails_by_itself_is_not_waited_for(config: Config) -> None:
    strict = config("strict", recipe="min-sites: 3\nwait-for-sites: 10000.0")

    def own_error(node: int, message: Message) -> Message:
        hit = node == 101 and message.metadata.message_type == "train"
        return Message(Error(2, "disk full"), reply_to=message) if hit else message

    with pytest.raises(FederationError, match="2 sites answered"):
        run(strict, fault=own_error)
