"""Calibration of the positive class's probability, over seeds: Brier score, ECE and its bins."""

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.comparison.cases import Predictions
from ucadi_flwr.comparison.resampling import percentile, sums
from ucadi_flwr.comparison.seeds import estimate
from ucadi_flwr.evaluation import calibration
from ucadi_flwr.evaluation.intervals import Interval
from ucadi_flwr.results.analysis import CalibrationBin, Estimate

CALIBRATION_BINS = 10


def brier(predictions: Predictions, positive: int) -> Estimate:
    """Mean over seeds of the mean (p − y)², with the percentile interval over patients."""
    truth, scores = _parts(predictions, positive)
    values = [calibration.brier(of_seed, truth) for of_seed in scores]
    if predictions.patient_count < 2:
        return estimate(values)
    squares = (scores - truth).T ** 2  # (N, seeds)
    drawn = sums(_by_patient(predictions, squares)) / _sizes(predictions)
    return estimate(values, percentile(drawn.mean(axis=1)))


def ece(predictions: Predictions, positive: int) -> Estimate:
    """Mean over seeds of the expected calibration error over ten bins, with an interval.

    Σ count/N |observed − mean| is above 0 by chance, and further above 0 in a draw from the cases:
    with 200 cases of a calibrated model, the percentile interval did not contain the value that it
    belongs to in 14 % of samples. So the bias of the draws (their mean minus the value) is
    subtracted from both ends. In simulations (800 samples each of 50, 200 and 800 cases), this
    interval always contained the value, and the mean value of other samples of the same size in 93
    to 99 % of them (percentile interval: 87 to 96). It is not an interval for the calibration error
    on an unlimited number of cases.
    """
    truth, scores = _parts(predictions, positive)
    values = [calibration.ece(of_seed, truth, CALIBRATION_BINS) for of_seed in scores]
    if predictions.patient_count < 2:
        return estimate(values)
    edges = np.arange(CALIBRATION_BINS + 1) / CALIBRATION_BINS
    gaps = np.zeros((predictions.patient_count, len(scores), CALIBRATION_BINS))
    for seed, of_seed in enumerate(scores):
        index = np.minimum(np.searchsorted(edges, of_seed, side="right") - 1, CALIBRATION_BINS - 1)
        np.add.at(gaps[:, seed], (predictions.patients, index), truth - of_seed)
    drawn = (np.abs(sums(gaps)).sum(axis=2) / _sizes(predictions)).mean(axis=1)
    limits = percentile(drawn)
    bias = float(drawn.mean()) - float(np.mean(values))
    return estimate(values, Interval(max(0.0, limits.low - bias), min(1.0, limits.high - bias)))


def calibration_bins(predictions: Predictions, positive: int) -> list[CalibrationBin]:
    """The bins that are not empty; every case counts once for each seed."""
    truth, scores = _parts(predictions, positive)
    rows = calibration.reliability(scores.ravel(), np.tile(truth, len(scores)), CALIBRATION_BINS)
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
    """Sums over the cases of each patient, `(patients, …)`, of values of cases, `(N, …)`."""
    sums_of_patients = np.zeros((predictions.patient_count, values.shape[1]))
    np.add.at(sums_of_patients, predictions.patients, values)
    return sums_of_patients


def _sizes(predictions: Predictions) -> NDArray[np.float64]:
    """The number of cases of each draw, `(draws, 1)`."""
    return sums(_by_patient(predictions, np.ones((len(predictions.labels), 1))))
