"""Seconds and bytes, computed by hand."""

import pytest
from helpers.near import near

from ucadi_flwr.report.costs import Seconds, costs, seconds_of
from ucadi_flwr.results.experiment import Results
from ucadi_flwr.results.rounds import RoundRecord, SiteRecord


def work(seconds: float, protect: float) -> SiteRecord:
    return SiteRecord(examples=1, epochs=1, loss=None, seconds=seconds, protect_seconds=protect)


def one_round(seconds: float, **sites: SiteRecord) -> RoundRecord:
    return RoundRecord(
        round=1,
        attempts=1,
        seconds=seconds,
        add_seconds=1.0,
        loss=None,
        bytes_up=0,
        bytes_down=0,
        sites=sites,
        failures=[],
    )


def test_a_round_waits_for_the_site_with_the_largest_sum() -> None:
    # a: 5 + 1 = 6; b: 4 + 3 = 7, so b, although a trains longer; the rest is 10 − 7 − 1 = 2
    assert seconds_of(one_round(10.0, a=work(5, 1), b=work(4, 3))) == Seconds(
        whole=10, train=4, protect=3, add=1, rest=2
    )


def test_a_round_without_sites_and_clocks_that_disagree() -> None:
    assert seconds_of(one_round(3.0)) == Seconds(3, 0, 0, 1, 2)
    assert seconds_of(one_round(3.0, a=work(5, 1))).rest == 0


def test_costs_are_means_over_runs_that_finished(results: Results) -> None:
    local, central, fedavg = costs(results)
    assert (local.strategy, local.runs, local.rounds, local.seconds) == ("local", 2, 0, 5.0)
    assert local.per_round is None
    assert (local.bytes_up, local.bytes_down, local.megabits) == (0, 0, 0)
    # one round of 2 s: training 1, protection 0.5, addition 0.1, so the rest is 0.4
    assert central.per_round == Seconds(2.0, 1.0, 0.5, 0.1, near(0.4))
    # 1 MB up and 2 MB down over 3 sites; pooling exchanges the images
    assert central.bytes_up == pytest.approx(1e6 / 3)
    assert central.bytes_down == pytest.approx(2e6 / 3)
    assert central.megabits == 0
    # rounds (2 + 3) / 2; seconds (10 + 20) / 2
    assert (fedavg.runs, fedavg.parameters, fedavg.rounds, fedavg.seconds) == (2, 1234567, 2.5, 15)
    # five rounds of 1, 2, 3, 6, 3 s, the last without sites: train 4 × 1 / 5, protect 4 × 0.5 / 5
    assert fedavg.per_round is not None
    assert fedavg.per_round.train == pytest.approx(0.8)
    assert fedavg.per_round.protect == pytest.approx(0.4)
    assert fedavg.per_round.add == pytest.approx(0.1)
    assert fedavg.per_round.whole == pytest.approx(3.0)
    # up 1.25 + 2.5 + 1 + 1 + 0 = 5.75 MB in five rounds of three sites
    assert fedavg.bytes_up == pytest.approx(5.75e6 / 15)
    # a run: (3.75 + 2) / 2 up, twice that down: 8.625 MB are 69 Mbit
    assert fedavg.megabits == pytest.approx(69)


def test_pooling_sends_every_training_image_once(results: Results) -> None:
    sites = {
        n: site.model_copy(update={"train_bytes": 1_000_000}) for n, site in results.sites.items()
    }
    local, central, fedavg = costs(results.model_copy(update={"sites": sites}))
    assert (local.megabits, central.megabits) == (0, 24)
    assert fedavg.megabits == pytest.approx(69)


def test_without_sites_nothing_is_divided_by_zero(results: Results) -> None:
    assert costs(results.model_copy(update={"sites": {}}))[1].bytes_up == pytest.approx(1e6)
