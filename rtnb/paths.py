"""Paths that users give, and files that are written as a whole or not at all.

Every public function that takes a path passes it through `user_path`: ``~`` and ``~user`` are expanded, and
what cannot be a path is refused in one short sentence. `opened` and `replacing` read and write the files, and
turn an ``OSError`` into an error that names the path and says what to do. No text here is ever as long as
what it complains about.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from .errors import ArgumentError, RecordingError, RtnbError

__all__ = [
    "check_writable",
    "is_data_uri",
    "opened",
    "replacing",
    "short",
    "unreadable",
    "unwritable",
    "user_path",
]

_SHOWN = 100
"""Characters of a path in an error."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_DATA_URI = re.compile(r"data:[\w.+-]*(?:/[\w.+-]+)?[^,]{0,200},", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/_\s-]+={0,2}\s*")
_BASE64_STARTS = ("UklGR", "UkYyN", "T2dnU", "ZkxhQ", "SUQz", "GkXfo", "UlROQ", "//uQ", "//vQ")
"""How RIFF, RF64, Ogg, FLAC, MP3, WebM and rtnb files begin in base64."""


def user_path(value: object, what: str = "a file", error: type[RtnbError] = ArgumentError) -> Path:
    """Return a user's path, with ``~`` and ``~user`` expanded; the file need not exist.

    ``what`` names in errors what the path is for, such as "a recording" or "RTNB_HOME". An unknown user after
    ``~`` is left as it is, as a shell does. Raises ``error`` for another type, for an empty path, a NUL
    character, a URL, a data: URI, and characters that no file name can have.

    Examples
    --------
    >>> user_path("sea.rtnb")
    PosixPath('sea.rtnb')
    """
    if not isinstance(value, (str, os.PathLike)):
        hint = ": these bytes are not a path" if isinstance(value, (bytes, bytearray, memoryview)) else ""
        raise error(f"{what}: expected a path (str or pathlib.Path), got {type(value).__name__}{hint}")
    text = os.fsdecode(value)
    if not text:
        raise error(f"{what}: the path is empty")
    if is_data_uri(text):
        raise error(f"{what}: expected a path, got a data: URI ({len(text):,} characters)")
    if _URL.match(text):
        raise error(f"{what}: expected a path, got the URL {short(text)}: download it first")
    if "\0" in text:
        raise error(f"{what}: the path {short(text)} contains a NUL character{_hint(text)}")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise error(
            f"{what}: the path {short(text)} contains characters that a file name cannot have"
        ) from None
    return Path(os.path.expanduser(text))


def is_data_uri(text: str) -> bool:
    """Return whether a text is a data: URI, by its start."""
    return _DATA_URI.match(text) is not None


def short(path: object) -> str:
    """Return a path quoted for an error text, with its middle left out where it is long."""
    text = os.fsdecode(path) if isinstance(path, (str, os.PathLike)) else str(path)
    if len(text) > _SHOWN:
        text = f"{text[: _SHOWN // 2]}…{text[-_SHOWN // 2 :]}"
    quoted = repr(text)
    return quoted if len(quoted) <= 2 * _SHOWN else f"{quoted[:_SHOWN]}…'"  # escapes: \U0001f3a4, \x00


def unreadable(path: Path, problem: OSError) -> str:
    """Return the sentence for a file that cannot be opened or read."""
    name = short(path)
    if problem.errno == errno.ENOENT:
        where = "" if path.is_absolute() else f" (the current folder is {_current_folder()})"
        return f"No such file: {name}{_hint(str(path)) or where}"
    if problem.errno == errno.ENAMETOOLONG:
        return (
            f"{name} cannot be read: the path is too long ({len(str(path)):,} characters){_hint(str(path))}"
        )
    if problem.errno == errno.EISDIR or os.path.isdir(path):
        return f"{name} is a directory: expected the path of a file"
    if problem.errno in (errno.EACCES, errno.EPERM):
        return f"{name} cannot be read: permission denied"
    return f"{name} cannot be read: {problem.strerror or problem}"


def unwritable(path: Path, problem: OSError) -> str:
    """Return the sentence for a file that cannot be written."""
    why = problem.strerror or str(problem)
    if problem.errno in (errno.ENOENT, errno.ENOTDIR):
        why = f"there is no folder {short(path.parent)}; create it first"
    elif problem.errno in (errno.ENOSPC, errno.EDQUOT):
        why = "the disk is full; free some space or choose another folder"
    elif problem.errno == errno.EFBIG:
        why = "the file is larger than this system allows"
    elif problem.errno == errno.ENAMETOOLONG:
        why = f"the name is too long ({len(path.name):,} characters); choose a shorter one"
    elif problem.errno == errno.EISDIR:
        why = "it is a directory; add a file name"
    elif problem.errno in (errno.EACCES, errno.EPERM):
        why = "permission denied; choose another folder"
    return f"{short(path)} cannot be written: {why}"


def _current_folder() -> str:
    try:
        return short(os.getcwd())
    except OSError:  # it was removed
        return "gone"


def _hint(text: str) -> str:
    """Return what a text looks like that was taken for a path, and what to do; "" for what may be one."""
    start = text[:400]
    if "\0" in start:
        return ": it looks like the contents of a file; pass them as bytes"
    mixed = all(any(map(kind, start)) for kind in (str.isupper, str.islower, str.isdigit))
    if _BASE64.fullmatch(start) and (
        (len(text) >= 40 and start.startswith(_BASE64_STARTS)) or (len(text) >= 200 and mixed)
    ):
        return ": it looks like base64; decode it with base64.b64decode and pass the bytes"
    if "\n" in start or len(text) > 4096:
        return ": it looks like text, not like a path"
    return ""


def opened(path: Path, error: type[RtnbError] = RecordingError) -> BinaryIO:
    """Open a file to read it as bytes. Raises ``error``."""
    try:
        return open(path, "rb")
    except OSError as problem:
        raise error(unreadable(path, problem)) from None


def check_writable(path: Path, error: type[RtnbError] = RecordingError) -> None:
    """Raise ``error`` if a file cannot be written there, as far as can be known before any work is done."""
    try:
        _mode(Path(os.path.realpath(path)))
    except OSError as problem:
        raise error(unwritable(path, problem)) from None


def _mode(target: Path) -> int | None:
    """Return the mode of the file that is there, None for a new one. Raises OSError if it is not writable."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        if not os.path.isdir(target.parent):
            raise
        if not os.access(target.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return mode


@contextmanager
def replacing(path: Path, error: type[RtnbError] = RecordingError) -> Iterator[BinaryIO]:
    """Open a new file for writing that takes the place of ``path`` when the block ends without an exception.

    Until then, and after any exception, a file that was there stays as it was and no other file is left: the
    new one is written under another name in the same folder, and renamed when it is safely on the disk. A
    symbolic link stays a link. What is not a regular file, such as ``/dev/stdout``, is written directly.

    Raises ``error`` if the file cannot be written.
    """
    target = Path(os.path.realpath(path))
    part = target.with_name(f".rtnb-{secrets.token_hex(8)}.part")
    try:
        mode = _mode(target)
        direct = mode is not None and not stat.S_ISREG(mode)
        file = open(target, "wb") if direct else open(part, "xb")  # noqa: SIM115 (closed below)
        try:
            yield file
            file.flush()
            if not direct:
                os.fsync(file.fileno())
        except BaseException:
            with suppress(OSError):  # closing writes what is left, which fails on a full disk as well
                file.close()
            raise
        file.close()
        if not direct:
            if mode is not None:
                os.chmod(part, stat.S_IMODE(mode))
            os.replace(part, target)
    except OSError as problem:
        if isinstance(problem, RtnbError):
            raise
        raise error(unwritable(path, problem)) from None
    finally:
        with suppress(OSError):
            os.unlink(part)
