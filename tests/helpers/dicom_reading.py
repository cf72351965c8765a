"""Read the DICOM series that a test wrote."""

from pathlib import Path

import pytest

from ucadi_flwr.data.dicom import Volume, decode_series, find_series
from ucadi_flwr.data.series import ExclusionError, inspect_series


def read_single_series(folder: Path, min_slices: int = 2) -> Volume:
    (series,) = find_series(folder).series
    return decode_series(series, inspect_series(series, min_slices))


def exclusion(folder: Path, min_slices: int = 2) -> ExclusionError:
    with pytest.raises(ExclusionError) as caught:
        read_single_series(folder, min_slices)
    assert str(caught.value) == f"{caught.value.reason}: {caught.value.detail}"
    assert "\n" not in str(caught.value)
    return caught.value
