"""Decode the stored pixel values of DICOM files, with one fixed decoder for each transfer syntax.

The files are untrusted, and some are damaged, so the choice of the decoder matters for safety:

- Only GDCM reads JPEG lossless. A damaged stream makes it abort the whole process (an uncaught C++
  exception). It therefore runs in a separate process, one for each series. If that process dies,
  only this series is unreadable.
- pyjpegls reads JPEG-LS, and Pillow reads JPEG 2000. Both raise exceptions instead. pyjpegls
  allocates memory for the size that the stream declares, so that size is first compared with the
  header.
"""

import json
import subprocess
import sys
from collections.abc import Generator, Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import Any, BinaryIO

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.encaps import get_frame
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    JPEG2000,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

_PLUGINS: dict[str, str] = {
    ImplicitVRLittleEndian: "",
    ExplicitVRLittleEndian: "",
    ExplicitVRBigEndian: "",
    RLELossless: "pydicom",
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
    JPEG2000Lossless: "pillow",
    JPEG2000: "pillow",
    JPEGLossless: "gdcm",
    JPEGLosslessSV1: "gdcm",
}
_JPEG_LS_FRAME = b"\xff\xf7"  # ISO 14495-1 C.2.2: marker, length, precision, rows, columns
_PIPE_DTYPE = np.dtype("<i4")  # of pixels from the other process


@dataclass(frozen=True, slots=True)
class EncodedSlice:
    """A file to decode: its path, and its transfer syntax and size from the header."""

    path: str
    syntax: str
    rows: int
    columns: int


def decode_slices(slices: Sequence[EncodedSlice]) -> Generator[NDArray[Any], None, None]:
    """Yield the stored values of each file in turn, (rows, columns), integers.

    Close the generator if not all files are needed.

    Raises:
        Exception: a file is cut short, damaged, or does not have the size in its header. The type
            depends on the decoder.
    """
    if any(_PLUGINS.get(encoded.syntax) == "gdcm" for encoded in slices):
        yield from _decode_in_subprocess(slices)
    else:
        for encoded in slices:
            yield _decode(encoded)


def _decode_in_subprocess(slices: Sequence[EncodedSlice]) -> Generator[NDArray[Any], None, None]:
    """Decode in another process, which a damaged file may kill."""
    command = [sys.executable, "-P", __file__]
    pipe = subprocess.PIPE
    with subprocess.Popen(  # noqa: S603 - this very file, by this very interpreter
        command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
    ) as child:
        try:
            assert child.stdin is not None  # noqa: S101 - for mypy: both are pipes
            assert child.stdout is not None  # noqa: S101
            child.stdin.write(json.dumps([astuple(encoded) for encoded in slices]).encode())
            child.stdin.close()
            for encoded in slices:
                size = encoded.rows * encoded.columns * _PIPE_DTYPE.itemsize
                raw = child.stdout.read(size)
                if len(raw) != size:
                    raise ValueError("the decoding process ended early")
                yield np.frombuffer(raw, _PIPE_DTYPE).reshape(encoded.rows, encoded.columns)
        finally:
            child.kill()


def write_decoded(jobs: Iterable[Sequence[Any]], out: BinaryIO) -> None:
    """Decode files and write their stored values: what the other process does.

    Args:
        jobs: the fields of :class:`EncodedSlice`, for each file.
        out: receives the values of each file as int32, little-endian, row by row.

    Raises:
        ValueError: a file has more than 16 bits per pixel, or does not have the size in its header.
    """
    for job in jobs:
        stored = _decode(EncodedSlice(*job))
        if stored.dtype.itemsize > 2:
            raise ValueError("more than 16 bits per pixel")
        out.write(stored.astype(_PIPE_DTYPE).tobytes())


def _decode(encoded: EncodedSlice) -> NDArray[Any]:
    plugin = _PLUGINS[encoded.syntax]
    image = pydicom.dcmread(encoded.path)
    if plugin == "pyjpegls":
        _check_declared_size(get_frame(image.PixelData, 0, number_of_frames=1), encoded)
    stored = pixel_array(image, decoding_plugin=plugin)
    if stored.shape != (encoded.rows, encoded.columns):
        raise ValueError("the number of pixels differs from the header")
    return stored


def _check_declared_size(stream: bytes, encoded: EncodedSlice) -> None:
    """Refuse a JPEG-LS stream whose size differs from the header's, before memory is allocated."""
    start = 2  # after the start-of-image marker; then segments: marker, length, content
    while stream[start : start + 2] != _JPEG_LS_FRAME:
        length = int.from_bytes(stream[start + 2 : start + 4], "big")
        if length < 2:
            raise ValueError("no frame in the JPEG-LS stream")
        start += 2 + length
    declared = (stream[start + 5 : start + 7], stream[start + 7 : start + 9])
    rows, columns = (int.from_bytes(number, "big") for number in declared)
    if (rows, columns) != (encoded.rows, encoded.columns):
        raise ValueError("the size of the JPEG-LS stream differs from the header")


if __name__ == "__main__":
    write_decoded(json.load(sys.stdin), sys.stdout.buffer)
