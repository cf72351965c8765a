"""Who takes part in a round: S2's selection of clients by capacity and quality.

A pure function of the round, the seed, who is present and the records of former rounds, so that a
run that is taken up again chooses as it would have. S2 names the method only; how the two are
weighed here is ours.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from statistics import median

from ucadi_flwr.recipes.strategy import Selection
from ucadi_flwr.results.rounds import RoundRecord, SiteRecord

Member = tuple[int, str]
"""A node's id and its site."""


def choose(
    selection: Selection,
    server_round: int,
    seed: int,
    present: Sequence[Member],
    rounds: Iterable[RoundRecord],
    min_sites: int,
) -> list[Member]:
    """Those of ``present`` that take part, in their order there.

    At least ``fraction`` of them (rounded up) and ``min_sites``; besides, whoever took part in none
    of the last ``at-least-every`` − 1 rounds. A site that failed is asked again in the next round;
    if this round is repeated, the others come before it.

    Args:
        selection: the recipe's section.
        server_round: from 1.
        seed: of the run.
        present: node and site.
        rounds: records; of ``server_round``'s own only the failures are looked at, of later ones
            nothing.
        min_sites: the quorum.
    """
    if selection.policy == "all":
        return list(present)
    rounds = list(rounds)
    former = [record for record in rounds if record.round < server_round]
    failed = {f.site for record in rounds if record.round == server_round for f in record.failures}
    sites = [site for _, site in present]
    wanted = max(math.ceil(selection.fraction * len(sites)), min_sites)
    due = {s for s in sites if server_round - _last(s, former) >= selection.at_least_every}
    if selection.policy == "random":
        order = sorted(sites, key=lambda site: _draw(site, seed, server_round))
    else:
        order = by_capacity(sites, former, seed)
    due -= failed
    others = [site for site in order if site not in due]
    others.sort(key=failed.__contains__)
    chosen = due | set(others[: max(0, wanted - len(due))])
    return [(node, site) for node, site in present if site in chosen]


def by_capacity(sites: Sequence[str], former: Sequence[RoundRecord], seed: int) -> list[str]:
    """The sites from the best to the worst; one that took part in no round yet comes first.

    Two ranks are added: of the median seconds of training (per case and epoch where the number of
    cases is public), and, where losses are public, of the last training loss, the lowest first.
    """
    parts = {site: [r.sites[site] for r in former if site in r.sites] for site in sites}
    new = [site for site in sites if not parts[site]]
    known = [site for site in sites if parts[site]]
    seconds = {site: median(map(_seconds, parts[site])) for site in known}
    loss = {site: parts[site][-1].loss or 0.0 for site in known}
    rank = {site: _rank(seconds, site) + _rank(loss, site) for site in known}
    known.sort(key=lambda site: (rank[site], _draw(site, seed, 0)))
    return [*sorted(new, key=lambda site: _draw(site, seed, 0)), *known]


def _seconds(part: SiteRecord) -> float:
    return part.seconds / (part.epochs * (part.examples or 1))


def _rank(values: dict[str, float], site: str) -> int:
    """How many are better; the same for all where nothing is known."""
    return sum(value < values[site] for value in values.values())


def _last(site: str, former: Iterable[RoundRecord]) -> int:
    """The last round that has the site's part; 0 if none has."""
    return max((record.round for record in former if site in record.sites), default=0)


def _draw(site: str, seed: int, server_round: int) -> bytes:
    return hashlib.sha256(f"{seed}/{server_round}/{site}".encode()).digest()
