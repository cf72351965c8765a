"""The analysis as CSV files: every number in full, one row each, undefined is empty."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from ucadi_flwr.results.analysis import Analysis, Estimate, Tested

Value = str | int | float | bool | None

_ESTIMATE = ["mean", "low", "high", "sd"]
_TEST = ["strategy", "trained_at", "tested_at", "unit"]


def tables(analysis: Analysis) -> dict[str, str]:
    """File name → text, UTF-8 with LF. Reading a number back gives exactly the same number."""
    return {
        "figures.csv": _csv(
            [*_TEST, "held_out", "cases", "patients", "positives", "seeds", "measure", *_ESTIMATE],
            _figures(analysis),
        ),
        "differences.csv": _csv(
            ["measure", "a", "b", "tested_at", "unit", *_ESTIMATE, "p", "p_holm", "method"],
            _differences(analysis),
        ),
        "roc.csv": _csv([*_TEST, "fpr", "tpr", "low", "high"], _roc(analysis)),
        "calibration.csv": _csv(
            [*_TEST, "score", "fraction", "cases"],
            (
                [*_test(one), b.score, b.fraction, b.cases]
                for one in analysis.tested
                for b in one.calibration
            ),
        ),
        "readers.csv": _csv(
            ["strategy", "seed", "reader", "cases", "ties"]
            + [f"{name}_{part}" for name in ("sensitivity", "specificity") for part in _ESTIMATE]
            + ["p", "p_holm"],
            _readers(analysis),
        ),
    }


def _figures(analysis: Analysis) -> Iterator[list[Value]]:
    """``auc:<class>``: of that class against the rest; ``auc_binned``: from a site's counts."""
    for one in analysis.tested:
        found = dict(one.figures)
        found |= {f"auc:{name}": figure for name, figure in one.auc_by_class.items()}
        if one.unit == "scan":
            found["auc_binned"] = Estimate(mean=one.auc_binned)
        seeds = " ".join(map(str, one.seeds))
        about: list[Value] = [one.held_out, one.cases, one.patients, one.positives, seeds]
        for measure, figure in found.items():
            yield [*_test(one), *about, measure, *_parts(figure)]


def _differences(analysis: Analysis) -> Iterator[list[Value]]:
    for one in analysis.differences:
        pair: list[Value] = [one.measure, one.a, one.b, one.tested_at, one.unit]
        yield [*pair, *_parts(one.difference), one.p, one.p_holm, one.method]


def _roc(analysis: Analysis) -> Iterator[list[Value]]:
    for one in analysis.tested:
        if one.roc is not None:
            points = (one.roc.fpr, one.roc.tpr, one.roc.low, one.roc.high)
            for point in zip(*points, strict=True):
                yield [*_test(one), *point]


def _readers(analysis: Analysis) -> Iterator[list[Value]]:
    """The model is the row without a reader's name."""
    for study in analysis.readers:
        model = [*_parts(study.model_sensitivity), *_parts(study.model_specificity)]
        yield [study.strategy, study.seed, None, None, None, *model, None, None]
        for row in study.readers:
            both = [*_parts(row.sensitivity), *_parts(row.specificity)]
            name: list[Value] = [study.strategy, study.seed, row.reader, row.cases]
            yield [*name, len(row.ties), *both, row.p, row.p_holm]


def _test(one: Tested) -> list[Value]:
    return [one.strategy, one.trained_at, one.tested_at, one.unit]


def _parts(found: Estimate) -> list[Value]:
    return [found.mean, found.low, found.high, found.sd]


def _csv(header: Sequence[str], rows: Iterable[Sequence[Value]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([_text(value) for value in row])
    return text.getvalue()


def _text(value: Value) -> str:
    if value is None:
        return ""
    return repr(value).lower() if isinstance(value, bool) else str(value)
