"""Learning curves: loss over rounds and over the data that was exchanged."""

from helpers import svg
from helpers.small_results import fair_results

from ucadi_flwr.report import tables
from ucadi_flwr.report.figures.drawing import Drawing
from ucadi_flwr.report.figures.learning import learning_curves
from ucadi_flwr.report.tables import LossCurve
from ucadi_flwr.results.experiment import Results


def drawn(results: Results) -> Drawing:
    return learning_curves(tables.loss_curves(results))


def test_each_strategy_has_a_panel_and_few_sites_have_their_own_lines() -> None:
    names = [f"fed{i}" for i in range(5)]
    root = svg.parse(drawn(fair_results(names, ["a", "b"])))
    assert [text for text in svg.texts(root) if text in names] == names
    assert {"mean over sites", "a", "b", "round", "training loss"} <= set(svg.texts(root))
    dashes = {svg.style(path, "stroke-dasharray") for path in root.iter("path")}
    assert len(dashes - {""}) >= 2


def test_the_lines_of_many_sites_look_the_same() -> None:
    sites = [f"s{i}" for i in range(7)]
    words = svg.texts(svg.parse(drawn(fair_results(["fedavg"], sites))))
    assert "each site" in words
    assert not set(sites) & set(words)


def test_a_strategy_without_sites_has_only_its_mean() -> None:
    words = svg.texts(svg.parse(learning_curves([LossCurve("central", [(1, 2.0)], {}, {})])))
    assert "mean over sites" in words
    assert "each site" not in words


def test_rounds_are_whole_numbers() -> None:
    results = fair_results(["fedavg"], ["a"])
    rounds = results.cells[0].rounds[:1]
    cell = results.cells[0].model_copy(update={"rounds": rounds})
    ticks = svg.texts(svg.parse(drawn(results.model_copy(update={"cells": [cell]}))))
    assert ticks.count("1") == 1


def test_the_highest_line_is_the_highest_loss() -> None:
    root = svg.parse(learning_curves([LossCurve("fedavg", [(1, 2.0), (2, 1.0)], {}, {})]))
    (x1, y1), (x2, y2) = svg.paths(root, stroke_width="1.8")[0]
    assert x1 < x2
    assert y1 < y2  # SVG's y runs down


def test_the_axis_above_has_megabytes_of_one_site() -> None:
    losses = [(number, 1.0) for number in (1, 2, 3, 4)]
    sent = {number: 1.5 * number for number in (1, 2, 3, 4)}
    curves = [
        LossCurve("fedavg", losses, {}, sent),
        LossCurve("local", losses, {"a": losses}, {}),
        LossCurve("central", losses, {}, {}),
    ]
    drawing = learning_curves(curves)
    words = svg.texts(svg.parse(drawing))
    assert "MB per site" in words
    assert {"1.5", "3", "4.5", "6"} <= set(words)
    assert words.count("nothing is shared") == words.count("images are pooled") == 1
    assert "Scale above a panel" in drawing.caption


def test_many_rounds_have_few_ticks_and_a_short_run_has_its_last_round() -> None:
    long = LossCurve(
        "long", [(n, 1.0) for n in range(1, 41)], {}, {n: 1.5 * n for n in range(1, 41)}
    )
    short = LossCurve("short", [(1, 1.0), (2, 1.0)], {}, {1: 1.25, 2: 2.5})
    words = svg.texts(svg.parse(learning_curves([long, short])))
    assert {"15", "30", "22.5", "45", "2.5"} <= set(words)
    assert not {"1", "39", "1.25"} & set(words)


def test_gigabytes_and_rounds_that_were_not_run() -> None:
    losses = [(number, 1.0) for number in (1, 2, 3, 4)]
    words = svg.texts(
        svg.parse(learning_curves([LossCurve("fedavg", losses, {}, {1: 500.0, 2: 1250.0})]))
    )
    assert "GB per site" in words
    assert words.count("1.25") == 1  # above round 2; there is none above round 4
    assert words.count("4") == 1


def test_without_data_there_is_no_second_axis() -> None:
    drawing = learning_curves([LossCurve("local", [(1, 1.0)], {}, {1: 0.0})])
    assert "Scale above a panel" not in drawing.caption
    words = svg.texts(svg.parse(drawing))
    assert not any("per site" in word or "shared" in word for word in words)


def test_the_caption_mentions_seeds_only_if_there_are_several() -> None:
    curves = [LossCurve("local", [(1, 1.0)], {}, {})]
    assert "over seeds" in learning_curves(curves, over_seeds=True).caption
    assert "over seeds" not in learning_curves(curves).caption
