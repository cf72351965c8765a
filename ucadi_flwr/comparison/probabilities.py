"""How good the probabilities of the positive class are, over seeds: Brier score and ECE."""

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.comparison.cases import Predictions
from ucadi_flwr.comparison.resampling import percentile, sums
from ucadi_flwr.comparison.seeds import estimate
from ucadi_flwr.evaluation import calibration
from ucadi_flwr.evaluation.intervals import Interval
from ucadi_flwr.results.analysis import CalibrationBin, Estimate

BINS = 10


def brier(predictions: Predictions, positive: int) -> Estimate:
    """Mean over seeds of (p − y)², with the percentile interval over patients."""
    truth, scores = _parts(predictions, positive)
    values = [calibration.brier(one, truth) for one in scores]
    if predictions.patient_count < 2:
        return estimate(values)
    squares = (scores - truth).T ** 2  # (N, seeds)
    drawn = sums(_by_patient(predictions, squares)) / _sizes(predictions)
    return estimate(values, percentile(drawn.mean(axis=1)))


def ece(predictions: Predictions, positive: int) -> Estimate:
    """Mean over seeds of the expected calibration error over ten bins, with an interval.

    Σ count/N |observed − mean| is above 0 by chance alone, and above that again in a draw from the
    cases: of 200 cases of a calibrated model the percentile interval left out the very figure it is
    for in 14 % of samples. So the draws' bias (their mean less the figure) is taken off both ends.
    That interval always held the figure (800 samples each of 50, 200 and 800 cases), and the mean
    figure of other samples of this size in 93 to 99 % of them (percentile: 87 to 96). It is no
    interval of the error that endless cases would show.
    """
    truth, scores = _parts(predictions, positive)
    values = [calibration.ece(one, truth, BINS) for one in scores]
    if predictions.patient_count < 2:
        return estimate(values)
    edges = np.arange(BINS + 1) / BINS
    gaps = np.zeros((predictions.patient_count, len(scores), BINS))
    for seed, one in enumerate(scores):
        index = np.minimum(np.searchsorted(edges, one, side="right") - 1, BINS - 1)
        np.add.at(gaps[:, seed], (predictions.patients, index), truth - one)
    drawn = (np.abs(sums(gaps)).sum(axis=2) / _sizes(predictions)).mean(axis=1)
    found = percentile(drawn)
    bias = float(drawn.mean()) - float(np.mean(values))
    return estimate(values, Interval(max(0.0, found.low - bias), min(1.0, found.high - bias)))


def calibration_bins(predictions: Predictions, positive: int) -> list[CalibrationBin]:
    """Bins with any case; every case counts once for each seed."""
    truth, scores = _parts(predictions, positive)
    rows = calibration.reliability(scores.ravel(), np.tile(truth, len(scores)), BINS)
    return [
        CalibrationBin(score=row.mean, fraction=row.observed, cases=row.count)
        for row in rows
        if row.mean is not None and row.observed is not None
    ]


def _parts(
    predictions: Predictions, positive: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """The truth `(N,)` and the positive class's probabilities `(seeds, N)`."""
    return predictions.labels == positive, predictions.probabilities[:, :, positive]


def _by_patient(predictions: Predictions, values: NDArray[np.float64]) -> NDArray[np.float64]:
    found = np.zeros((predictions.patient_count, values.shape[1]))
    np.add.at(found, predictions.patients, values)
    return found


def _sizes(predictions: Predictions) -> NDArray[np.float64]:
    """How many cases each draw has, `(draws, 1)`."""
    return sums(_by_patient(predictions, np.ones((len(predictions.labels), 1))))
