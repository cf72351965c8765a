"""The analysis as CSV files: one row for each value, in full precision; empty if undefined."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from ucadi_flwr.results.analysis import Analysis, Estimate, Tested

Value = str | int | float | bool | None

_ESTIMATE = ["mean", "low", "high", "sd"]
_TEST = ["strategy", "trained_at", "tested_at", "unit"]


def csv_texts(analysis: Analysis) -> dict[str, str]:
    """File name → text with LF line ends. A number that is read back is exactly the same number."""
    return {
        "figures.csv": _csv(
            [*_TEST, "held_out", "cases", "patients", "positives", "seeds", "measure", *_ESTIMATE],
            _measures(analysis),
        ),
        "differences.csv": _csv(
            ["measure", "a", "b", "tested_at", "unit", *_ESTIMATE, "p", "p_holm", "method"],
            _differences(analysis),
        ),
        "roc.csv": _csv([*_TEST, "fpr", "tpr", "low", "high"], _roc(analysis)),
        "calibration.csv": _csv(
            [*_TEST, "score", "fraction", "cases"],
            (
                [*_test(tested), b.score, b.fraction, b.cases]
                for tested in analysis.tested
                for b in tested.calibration
            ),
        ),
        "readers.csv": _csv(
            ["strategy", "seed", "reader", "cases", "ties"]
            + [f"{name}_{part}" for name in ("sensitivity", "specificity") for part in _ESTIMATE]
            + ["p", "p_holm"],
            _readers(analysis),
        ),
    }


def _measures(analysis: Analysis) -> Iterator[list[Value]]:
    """``auc:<class>``: of that class against the others; ``auc_binned``: from a site's counts."""
    for tested in analysis.tested:
        measures = dict(tested.figures)
        measures |= {f"auc:{name}": auc for name, auc in tested.auc_by_class.items()}
        if tested.unit == "scan":
            measures["auc_binned"] = Estimate(mean=tested.auc_binned)
        seeds = " ".join(map(str, tested.seeds))
        sizes: list[Value] = [tested.cases, tested.patients, tested.positives]
        for name, estimate in measures.items():
            yield [*_test(tested), tested.held_out, *sizes, seeds, name, *_parts(estimate)]


def _differences(analysis: Analysis) -> Iterator[list[Value]]:
    for d in analysis.differences:
        pair: list[Value] = [d.measure, d.a, d.b, d.tested_at, d.unit]
        yield [*pair, *_parts(d.difference), d.p, d.p_holm, d.method]


def _roc(analysis: Analysis) -> Iterator[list[Value]]:
    for tested in analysis.tested:
        if tested.roc is not None:
            points = (tested.roc.fpr, tested.roc.tpr, tested.roc.low, tested.roc.high)
            for point in zip(*points, strict=True):
                yield [*_test(tested), *point]


def _readers(analysis: Analysis) -> Iterator[list[Value]]:
    """The row without a reader's name is the model's."""
    for study in analysis.readers:
        model = [*_parts(study.model_sensitivity), *_parts(study.model_specificity)]
        yield [study.strategy, study.seed, None, None, None, *model, None, None]
        for row in study.readers:
            both = [*_parts(row.sensitivity), *_parts(row.specificity)]
            name: list[Value] = [study.strategy, study.seed, row.reader, row.cases]
            yield [*name, len(row.ties), *both, row.p, row.p_holm]


def _test(tested: Tested) -> list[Value]:
    return [tested.strategy, tested.trained_at, tested.tested_at, tested.unit]


def _parts(estimate: Estimate) -> list[Value]:
    return [estimate.mean, estimate.low, estimate.high, estimate.sd]


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
