"""Decoders on damaged and hostile streams: an error, never the end of the process."""

import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from helpers.dicom_factory import write_series
from pydicom.uid import JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless

from ucadi_flwr.data.decode import Plane, read_planes, serve
from ucadi_flwr.data.dicom import read_volume
from ucadi_flwr.errors import DataError


def plane_of(path: Path) -> Plane:
    header = pydicom.dcmread(path, stop_before_pixels=True)
    return Plane(str(path), header.file_meta.TransferSyntaxUID, header.Rows, header.Columns)


def damage(path: Path, marker: bytes, offset: int, value: bytes) -> None:
    raw = bytearray(path.read_bytes())
    place = raw.rindex(marker) + offset
    raw[place : place + len(value)] = value
    path.write_bytes(raw)


# Offsets from the start of the JPEG stream: sample precision; the Huffman table's marker.
@pytest.mark.parametrize(("offset", "value"), [(6, b"\xff"), (15, b"\0")], ids=["segv", "abort"])
def test_stream_that_kills_its_decoder_is_only_unreadable(
    tmp_path: Path, offset: int, value: bytes
) -> None:
    write_series(tmp_path, rows=32, columns=32, syntax=JPEGLosslessSV1)
    victim = sorted(tmp_path.iterdir())[0]
    damage(victim, b"\xff\xd8\xff\xc3", offset, value)
    code = "import sys, pydicom.pixels.utils as u; u.pixel_array(sys.argv[1])"
    alone = subprocess.run([sys.executable, "-c", code, victim], check=False, capture_output=True)
    assert alone.returncode < 0  # a signal: else this test proves nothing
    with pytest.raises(DataError, match="is cut short or does not decode"):
        read_volume(tmp_path)


@pytest.mark.parametrize("size", [(17, 16), (16, 17), (60000, 60000)])
def test_jpeg_ls_that_claims_another_size_is_not_decoded(
    tmp_path: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_series(tmp_path, rows=16, columns=16, slices=1, syntax=JPEGLSLossless)
    (path,) = tmp_path.iterdir()
    assert next(read_planes([plane_of(path)])).shape == (16, 16)
    damage(path, b"\xff\xf7", 5, struct.pack(">HH", *size))
    monkeypatch.setattr("ucadi_flwr.data.decode.pixel_array", lambda *_, **__: pytest.fail("asked"))
    with pytest.raises(ValueError, match="not as big as the header says"):
        next(read_planes([plane_of(path)]))


def test_jpeg_ls_without_a_frame_ends(tmp_path: Path) -> None:
    write_series(tmp_path, rows=16, columns=16, slices=1, syntax=JPEGLSLossless)
    (path,) = tmp_path.iterdir()
    damage(path, b"\xff\xf7", 0, b"\xff\xe0\x00\x00")
    with pytest.raises(ValueError, match="no frame"):
        next(read_planes([plane_of(path)]))


def test_jpeg_ls_frame_is_found_behind_other_segments(tmp_path: Path) -> None:
    hu = write_series(tmp_path, rows=16, columns=16, slices=1, syntax=JPEGLSLossless)
    (path,) = tmp_path.iterdir()
    image = pydicom.dcmread(path)
    stream = pydicom.encaps.get_frame(image.PixelData, 0, number_of_frames=1)
    decoy = b"\xff\xe0\x00\x0b" + b"\xff\xf7\x00\x0b\x10\x00\x01\x00\x01"  # claims 1 × 1
    image.PixelData = pydicom.encaps.encapsulate([stream[:2] + decoy + stream[2:]])
    image.save_as(path)
    np.testing.assert_array_equal(next(read_planes([plane_of(path)])), hu[0] + 1024)


def test_syntax_outside_the_table_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path)
    for path in tmp_path.iterdir():
        image = pydicom.dcmread(path)
        image.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        image.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"])
        image["PixelData"].VR = "OB"
        image.save_as(path)
    with pytest.raises(DataError, match="does not decode"):
        read_volume(tmp_path)


def test_the_other_process_writes_plain_int32(tmp_path: Path) -> None:
    hu = write_series(tmp_path, slices=1, syntax=JPEGLosslessSV1, rows=16, columns=16)
    (path,) = tmp_path.iterdir()
    plane = plane_of(path)
    out = io.BytesIO()
    serve([[plane.path, plane.syntax, plane.rows, plane.columns]], out)
    assert out.getvalue() == (hu[0].astype("<i4") + 1024).tobytes()


def test_more_than_sixteen_bits_are_refused(tmp_path: Path) -> None:
    deep = np.zeros((6, 8), np.uint32).tobytes()
    write_series(tmp_path, slices=1, BitsAllocated=32, BitsStored=32, HighBit=31, PixelData=deep)
    (path,) = tmp_path.iterdir()
    plane = plane_of(path)
    with pytest.raises(ValueError, match="16 bits"):
        serve([[plane.path, plane.syntax, plane.rows, plane.columns]], io.BytesIO())


def test_stopping_early_ends_the_other_process(tmp_path: Path) -> None:
    write_series(tmp_path, rows=64, columns=64, slices=9, syntax=JPEGLosslessSV1)
    planes = read_planes([plane_of(path) for path in sorted(tmp_path.iterdir())])
    assert next(planes).shape == (64, 64)
    planes.close()  # waits for the process; a leak would warn, and warnings are errors
    with pytest.raises(StopIteration):
        next(planes)
