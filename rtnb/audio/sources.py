"""Where a sound file comes from: a path, a data: URI, bytes or an open file; read without its name."""

from __future__ import annotations

import inspect
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO
from urllib.parse import unquote_to_bytes

from pybase64 import b64decode

from rtnb.audio.samples import short
from rtnb.errors import AudioError
from rtnb.paths import is_data_uri, opened, user_path
from rtnb.paths import short as short_path

__all__ = ["Source", "UnnamedFile", "opened_source"]

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO

_MAX_DATA_URI = 500_000_000


class UnnamedFile(io.RawIOBase):
    """An open file without a name, so that no library guesses a format from it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Return at most ``size`` bytes; all that are left for −1."""
        return self._file.read(size)

    def readinto(self, buffer: Any, /) -> int:
        """Read into a buffer, and return how many bytes."""
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, start: int = 0, /) -> int:
        """Set the position, if it is possible, and return it."""
        # libsndfile seeks before the start of some damaged files, and its callbacks must not raise.
        with suppress(OSError, ValueError, OverflowError):
            self._file.seek(offset, start)
        return self._file.tell()

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()


@contextmanager
def opened_source(source: Source) -> Iterator[tuple[UnnamedFile, str]]:
    """Open a source for reading, and yield it with the name that it has in errors."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        yield UnnamedFile(io.BytesIO(bytes(source))), "the audio data"
    elif isinstance(source, str) and is_data_uri(source):
        yield UnnamedFile(io.BytesIO(_from_data_uri(source))), "the data: URI"
    elif isinstance(source, (str, os.PathLike)):
        path = user_path(source, "a sound file", AudioError)
        with opened(path, AudioError) as file:
            yield UnnamedFile(file if file.seekable() else io.BytesIO(_read_all(file)[0])), short_path(path)
    elif hasattr(source, "read"):
        data, name = _read_all(source)
        yield UnnamedFile(io.BytesIO(data)), name
    else:
        raise AudioError(
            f"audio is read from a path, bytes or an open binary file; got {type(source).__name__}"
        )


def _from_data_uri(uri: str) -> bytes:
    """Return the bytes of a data: URI, in base64 or percent-encoded."""
    if len(uri) > _MAX_DATA_URI:
        raise AudioError(
            f"the data: URI has {len(uri):,} characters and may have {_MAX_DATA_URI:,}: "
            "write the audio to a file and pass its path"
        )
    head, _, data = uri.partition(",")
    content = unquote_to_bytes(data)
    if not head.lower().endswith(";base64"):
        return content
    try:
        return b64decode(b"".join(content.split()), validate=True)
    except ValueError:
        raise AudioError(
            f"the data: URI ({len(uri):,} characters) has invalid base64: copy it again"
        ) from None


def _read_all(file: Any) -> tuple[bytes, str]:
    """Return what an open file holds from its position on, and its name in errors."""
    if isinstance(file, io.TextIOBase):
        raise AudioError('the open file is in text mode: open it with mode "rb"')
    if getattr(file, "closed", False) is True:
        raise AudioError("the open file is closed: open it again")
    try:
        position = int(file.tell())
    except (AttributeError, OSError, TypeError, ValueError):  # a stream
        position = None
    try:
        data = file.read()
    except io.UnsupportedOperation:
        raise AudioError('the open file was not opened for reading: open it with mode "rb"') from None
    except (OSError, ValueError) as error:
        raise AudioError(f"the open file cannot be read: {short(str(error))}") from error
    if isinstance(data, str):
        raise AudioError('the open file is in text mode: open it with mode "rb"')
    if not isinstance(data, (bytes, bytearray, memoryview)):
        if inspect.iscoroutine(data):
            data.close()
        raise AudioError(f"read() of the open file must return bytes; got {type(data).__name__}")
    if not data and position:
        raise AudioError("the open file is at its end: call seek(0) before reading")
    if not data and position is None:
        raise AudioError("the open file returned no data: it is empty, or a stream that was read before")
    start = f", read from byte {position:,} (its start is at seek(0))," if position else ""
    return bytes(data), f"the open file{start}"
