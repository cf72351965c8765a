"""The stored pixel values of DICOM files, one decoder per transfer syntax: a closed table.

Which decoder matters for safety, as files are untrusted and sometimes merely damaged:

- GDCM is the one that reads JPEG lossless, and a damaged stream makes it abort the whole
  process (an uncaught C++ exception). So it works in a process of its own, one per series;
  when that one dies, the series is unreadable and nothing else happens.
- JPEG-LS goes to pyjpegls and JPEG 2000 to Pillow, which raise instead. JPEG-LS allocates by
  the size that the stream claims, so that is compared with the header first.
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
_WIRE = np.dtype("<i4")


@dataclass(frozen=True, slots=True)
class Plane:
    """A file to decode, and what its header says of it."""

    path: str
    syntax: str
    rows: int
    columns: int


def read_planes(planes: Sequence[Plane]) -> Generator[NDArray[Any], None, None]:
    """Yield the stored values (rows, columns) of each file in turn; close it when done early.

    A file that is cut short, damaged, or not as big as its header says raises: what, is up to
    the decoder.
    """
    if any(_PLUGINS.get(plane.syntax) == "gdcm" for plane in planes):
        yield from _read_apart(planes)
    else:
        for plane in planes:
            yield _decode(plane)


def _read_apart(planes: Sequence[Plane]) -> Generator[NDArray[Any], None, None]:
    """Decode in another process, which may die of it."""
    command = [sys.executable, "-P", __file__]
    pipe = subprocess.PIPE
    with subprocess.Popen(  # noqa: S603 - this very file, by this very interpreter
        command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
    ) as child:
        try:
            assert child.stdin is not None  # noqa: S101 - for mypy: both are pipes
            assert child.stdout is not None  # noqa: S101
            child.stdin.write(json.dumps([astuple(plane) for plane in planes]).encode())
            child.stdin.close()
            for plane in planes:
                size = plane.rows * plane.columns * _WIRE.itemsize
                raw = child.stdout.read(size)
                if len(raw) != size:
                    raise ValueError("the decoder gave up")
                yield np.frombuffer(raw, _WIRE).reshape(plane.rows, plane.columns)
        finally:
            child.kill()


def serve(jobs: Iterable[Sequence[Any]], out: BinaryIO) -> None:
    """Write the stored values of each file as int32, little-endian: the other process's work."""
    for job in jobs:
        stored = _decode(Plane(*job))
        if stored.dtype.itemsize > 2:
            raise ValueError("more than 16 bits a pixel")
        out.write(stored.astype(_WIRE).tobytes())


def _decode(plane: Plane) -> NDArray[Any]:
    plugin = _PLUGINS[plane.syntax]
    image = pydicom.dcmread(plane.path)
    if plugin == "pyjpegls":
        _check_claim(get_frame(image.PixelData, 0, number_of_frames=1), plane)
    stored = pixel_array(image, decoding_plugin=plugin)
    if stored.shape != (plane.rows, plane.columns):
        raise ValueError("not as many pixels as the header says")
    return stored


def _check_claim(stream: bytes, plane: Plane) -> None:
    """Refuse a JPEG-LS stream whose own size is not the header's, before memory is given."""
    place = 2  # after the start-of-image marker; then segments: marker, length, content
    while stream[place : place + 2] != _JPEG_LS_FRAME:
        length = int.from_bytes(stream[place + 2 : place + 4], "big")
        if length < 2:
            raise ValueError("no frame in the JPEG-LS stream")
        place += 2 + length
    claim = (stream[place + 5 : place + 7], stream[place + 7 : place + 9])
    if tuple(int.from_bytes(number, "big") for number in claim) != (plane.rows, plane.columns):
        raise ValueError("the JPEG-LS stream is not as big as the header says")


if __name__ == "__main__":
    serve(json.load(sys.stdin), sys.stdout.buffer)
