"""Decoders on damaged and hostile streams: an error, never a crash of this process."""

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

from ucadi_flwr.data.decode import EncodedSlice, decode_slices, write_decoded
from ucadi_flwr.data.dicom import read_volume
from ucadi_flwr.errors import DataError


def encoded_slice(path: Path) -> EncodedSlice:
    header = pydicom.dcmread(path, stop_before_pixels=True)
    return EncodedSlice(str(path), header.file_meta.TransferSyntaxUID, header.Rows, header.Columns)


def damage(path: Path, marker: bytes, offset: int, value: bytes) -> None:
    raw = bytearray(path.read_bytes())
    start = raw.rindex(marker) + offset
    raw[start : start + len(value)] = value
    path.write_bytes(raw)


# Offsets from the start of the JPEG stream: sample precision; the Huffman table's marker.
@pytest.mark.parametrize(("offset", "value"), [(6, b"\xff"), (15, b"\0")], ids=["segv", "abort"])
def test_a_stream_that_kills_its_decoder_is_only_unreadable(
    tmp_path: Path, offset: int, value: bytes
) -> None:
    write_series(tmp_path, rows=32, columns=32, syntax=JPEGLosslessSV1)
    damaged = sorted(tmp_path.iterdir())[0]
    damage(damaged, b"\xff\xd8\xff\xc3", offset, value)
    code = "import sys, pydicom.pixels.utils as u; u.pixel_array(sys.argv[1])"
    alone = subprocess.run([sys.executable, "-c", code, damaged], check=False, capture_output=True)
    assert alone.returncode < 0  # a signal: else this test proves nothing
    with pytest.raises(DataError, match="is cut short or does not decode"):
        read_volume(tmp_path)


@pytest.mark.parametrize("size", [(17, 16), (16, 17), (60000, 60000)])
def test_jpeg_ls_that_declares_another_size_is_not_decoded(
    tmp_path: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_series(tmp_path, rows=16, columns=16, slices=1, syntax=JPEGLSLossless)
    (path,) = tmp_path.iterdir()
    assert next(decode_slices([encoded_slice(path)])).shape == (16, 16)
    damage(path, b"\xff\xf7", 5, struct.pack(">HH", *size))
    monkeypatch.setattr(
        "ucadi_flwr.data.decode.pixel_array", lambda *_, **__: pytest.fail("called")
    )
    with pytest.raises(ValueError, match="size of the JPEG-LS stream differs from the header"):
        next(decode_slices([encoded_slice(path)]))


def test_jpeg_ls_without_a_frame_ends(tmp_path: Path) -> None:
    write_series(tmp_path, rows=16, columns=16, slices=1, syntax=JPEGLSLossless)
    (path,) = tmp_path.iterdir()
    damage(path, b"\xff\xf7", 0, b"\xff\xe0\x00\x00")
    with pytest.raises(ValueError, match="no frame"):
        next(decode_slices([encoded_slice(path)]))


def test_jpeg_ls_frame_is_found_after_other_segments(tmp_path: Path) -> None:
    hu = write_series(tmp_path, rows=16, columns=16, slices=1, syntax=JPEGLSLossless)
    (path,) = tmp_path.iterdir()
    image = pydicom.dcmread(path)
    stream = pydicom.encaps.get_frame(image.PixelData, 0, number_of_frames=1)
    decoy = b"\xff\xe0\x00\x0b" + b"\xff\xf7\x00\x0b\x10\x00\x01\x00\x01"  # claims 1 × 1
    image.PixelData = pydicom.encaps.encapsulate([stream[:2] + decoy + stream[2:]])
    image.save_as(path)
    np.testing.assert_array_equal(next(decode_slices([encoded_slice(path)])), hu[0] + 1024)


def test_an_unknown_transfer_syntax_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path)
    for path in tmp_path.iterdir():
        image = pydicom.dcmread(path)
        image.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        image.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"])
        image["PixelData"].VR = "OB"
        image.save_as(path)
    with pytest.raises(DataError, match="does not decode"):
        read_volume(tmp_path)


def test_the_other_process_writes_int32(tmp_path: Path) -> None:
    hu = write_series(tmp_path, slices=1, syntax=JPEGLosslessSV1, rows=16, columns=16)
    (path,) = tmp_path.iterdir()
    encoded = encoded_slice(path)
    out = io.BytesIO()
    write_decoded([[encoded.path, encoded.syntax, encoded.rows, encoded.columns]], out)
    assert out.getvalue() == (hu[0].astype("<i4") + 1024).tobytes()


def test_more_than_sixteen_bits_are_refused(tmp_path: Path) -> None:
    deep = np.zeros((6, 8), np.uint32).tobytes()
    write_series(tmp_path, slices=1, BitsAllocated=32, BitsStored=32, HighBit=31, PixelData=deep)
    (path,) = tmp_path.iterdir()
    encoded = encoded_slice(path)
    with pytest.raises(ValueError, match="16 bits"):
        write_decoded([[encoded.path, encoded.syntax, encoded.rows, encoded.columns]], io.BytesIO())


def test_closing_early_ends_the_other_process(tmp_path: Path) -> None:
    write_series(tmp_path, rows=64, columns=64, slices=9, syntax=JPEGLosslessSV1)
    decoded = decode_slices([encoded_slice(path) for path in sorted(tmp_path.iterdir())])
    assert next(decoded).shape == (64, 64)
    decoded.close()  # waits for the process; a leak would warn, and warnings are errors
    with pytest.raises(StopIteration):
        next(decoded)
