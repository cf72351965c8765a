"""readers.csv: the happy path and every refusal."""

from pathlib import Path

import numpy as np
import pytest

from ucadi_flwr.errors import DataError
from ucadi_flwr.results import readers as module
from ucadi_flwr.results.readers import read_readers

CASES = ["s1", "s2", "s3", "s4"]
CLASSES = ["healthy", "covid-19", "other"]


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "readers.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(path: Path, cases: list[str] = CASES) -> dict[str, np.ndarray]:
    return read_readers(path, cases, CLASSES, positive=1)


GOOD = """case,reader,call
s1,R2,covid-19
s2,R2,healthy
s4,R2,yes
s3,R2,other
s1,R1,YES
s2,R1,no
s3,R1,No
s4,R1,healthy
"""


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "\ufeff" + GOOD.replace("\n", "\r\n"),
        GOOD.replace("s2,R2,healthy", '\n , ,\n "s2" ,R2, healthy').replace(' "s2" ', " s2 "),
        "\n".join(",".join(reversed(line.split(","))) for line in GOOD.splitlines()),
        GOOD.replace("case,reader,call", "Case, READER,call "),
    ],
    ids=["plain", "BOM and CRLF", "blank lines and spaces", "other order", "header's case"],
)
def test_calls_come_in_the_order_of_the_cases(tmp_path: Path, text: str) -> None:
    calls = read(write(tmp_path, text))
    assert list(calls) == ["R1", "R2"]
    assert calls["R1"].tolist() == [True, False, False, False]
    assert calls["R2"].tolist() == [True, False, False, True]
    assert calls["R1"].dtype == np.bool_


def test_a_class_called_no_is_that_class(tmp_path: Path) -> None:
    path = write(tmp_path, "case,reader,call\ns1,R,no\ns2,R,yes\n")
    calls = read_readers(path, ["s1", "s2"], ["yes", "no"], positive=1)
    assert calls["R"].tolist() == [True, False]
    path = write(tmp_path, "case,reader,call\ns1,R,NO\ns2,R,yes\n")
    with pytest.raises(DataError, match="unknown call: line 2 \\('NO'\\)"):
        read_readers(path, ["s1", "s2"], ["yes", "no"], positive=1)


EVERY_CALL = "\n".join(f"s{i},R1,yes" for i in (1, 2, 3, 4))
REFUSALS = {
    "empty": ("", "line 1: columns are none; name them case, reader, call"),
    "no rows": ("case,reader,call\n\n", "has no rows; add one per case and reader"),
    "columns": ("case;reader;call\ns1;R;yes", "line 1: columns are 'case;reader;call'; name"),
    "a column more": ("case,reader,call,name\n", "columns are 'case', 'reader', 'call', 'name'"),
    "a column twice": ("case,call,call\n", "columns are 'case', 'call', 'call'"),
    "fields": (
        f"case,reader,call\n{EVERY_CALL}\ns1,R2\n",
        "more or fewer values than columns: line 6 \\(2 values\\); give 3 a row",
    ),
    "quotes": ('case,reader,call\ns1,"R"1,yes\n', "line 2 is not CSV"),
    "unknown case": (
        f"case,reader,call\n{EVERY_CALL}\ns5,R1,yes\ns6,R1,yes\ns7,R1,no\ns8,R1,no\ns9,R1,no\n",
        r"no such test case: line 6 \('s5'\), line 7 \('s6'\), line 8 \('s7'\) and 2 more; "
        "readers are compared on exactly the model's 4 test cases",
    ),
    "missing case": (
        f"case,reader,call\n{EVERY_CALL}\ns2,R2,no\ns3,R2,no\n",
        "reader 'R2' has not called all 4 test cases: 's1', 's4'; add them, or leave",
    ),
    "twice": (
        f"case,reader,call\n{EVERY_CALL}\ns2,R1,no\n",
        r"a reader calls a case twice: line 6 \('R1, s2'\); keep one call",
    ),
    "unknown call": (
        "case,reader,call\ns1,R1,maybe\n",
        r"unknown call: line 2 \('maybe'\); calls are healthy, covid-19, other, yes or no",
    ),
    "class in another case": ("case,reader,call\ns1,R1,Healthy\n", "unknown call: line 2"),
    "no call": ("case,reader,call\ns1,R1,\n", "call is not one plain line: line 2;"),
    "no reader": ("case,reader,call\ns1,,yes\n", "not one plain line: line 2"),
    "a line break": ('case,reader,call\n"s\n1",R1,yes\n', r"plain line: line 2 \('s\\n1'\); write"),
    "an escape": ("case,reader,call\ns1,\x1b[31mR1,yes\n", r"line 2 \('\\x1b\[31mR1'\)"),
    "long": (f"case,reader,call\ns1,{'R' * 2000},yes\n", f"line 2 \\('{'R' * 40}…'\\)"),
    "very long": (f"case,reader,call\ns1,{'R' * 200_000},yes\n", "line 2 is not CSV"),
    "Latin-1": ("case,reader,call\ns1,Zoë,yes\n".encode("latin-1"), "not UTF-8 at byte 22; save"),
    "UTF-16": ("case,reader,call\n".encode("utf-16"), "not UTF-8 at byte 0"),
}


@pytest.mark.parametrize(("text", "message"), REFUSALS.values(), ids=REFUSALS)
def test_what_is_no_reading_is_refused_in_one_line(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(write(tmp_path, text))
    assert "\n" not in str(caught.value)
    assert "readers.csv" in str(caught.value)


def test_a_file_that_is_too_large_or_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="cannot be read \\(No such file"):
        read(tmp_path / "readers.csv")
    with pytest.raises(DataError, match="cannot be read \\(Is a directory"):
        read(tmp_path)
    monkeypatch.setattr(module, "READERS_BYTES", len(GOOD) - 1)
    with pytest.raises(DataError, match=f"{len(GOOD)} bytes, at most {len(GOOD) - 1}"):
        read(write(tmp_path, GOOD))


def test_two_cases_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two test cases have one name"):
        read(write(tmp_path, GOOD), ["s1", "s1"])
    with pytest.raises(ValueError, match="class 3 of 3"):
        read_readers(write(tmp_path, GOOD), CASES, CLASSES, positive=3)
