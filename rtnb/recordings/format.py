"""The recording format, version 1: an append-only file of chunks. An autosave file has no end.

All integers are little-endian. "JSON" is UTF-8 text of one JSON object; readers skip members that they do not
know. This page is the complete specification.

The file
    8 bytes ``RTNB`` 0x01 CR LF 0x00 (the fifth is the format's version), then chunks to the end.

A chunk
    4 bytes kind (capital ASCII letters) · u32 length of the payload · u32 CRC-32 (as in zlib and PNG) of the
    kind, the length and the payload · the payload. A reader skips kinds that it does not know.
    In order: one ``HEAD``; groups of ``SOND`` chunks, each followed by the ``EVNT`` chunk of the events that
    the audio was cut from; one ``TAIL``. A file without ``TAIL`` was cut, or is still being written: all of
    its intact chunks are valid. The writer chooses the size of chunks.

``HEAD``: JSON
    ``format`` (1), ``rtnb`` (version), ``created`` (ISO 8601, UTC), ``model``, ``requested_model``
    (the model that the caller asked for), ``dialect`` ("ga"), ``where`` (the endpoint in words), ``engine``
    (the embedded engine that answered; "" for another server), ``billed``, ``time_scaled`` (whether it is of
    a replay at another speed, whose times say nothing about the model), ``session`` (its configuration as the
    server last reported it), ``libraries`` (name → version), ``clocks``
    (``wall_ns``: of the first event, since 1970), ``prices_as_of``, ``capture`` (``audio``: "lossless" or
    "opus"; ``autosave``: whether this is an autosave file), ``redacted`` (how many keys were redacted),
    ``open_turns`` (how many turns were not finished), ``end`` (``code``, ``reason`` and ``why`` if the
    connection was lost, or the file was made from one that was cut; else null), ``scrubbed`` (what was
    removed afterwards, a list of phrases).

``EVNT``: u32 length of a JSON head · the head · columns · frames
    ``first`` (index of the first event), ``events`` (n), ``cuts`` (m: events with audio cut out), ``walls``
    (d), ``types`` (names of the event types), ``lanes`` (lane → offset in the lane, in bytes, of the first
    audio that this chunk takes from it), ``redacted`` (rows of frames that had a key), ``columns`` and
    ``frames``: how each part is stored, as ``codec`` ("raw", or "lzma": the .xz format), ``stored`` and
    ``bytes`` (its length in the file, and unpacked).
    Columns, unpacked, one after another: i64 × n time in ns since the first event of the recording, each as
    the difference to the event before it (the first to 0) · u16 × n type, as its index in ``types``, + 0x8000
    for a frame from the server · i32 × n turn (−1: none) · u32 × n length of the frame as stored · u32 × m
    row of the event that audio was cut from, ascending, at most one cut an event · u32 × m where in the
    stored frame the base64 stood · u8 × m lane · u32 × m length of the audio · u32 × d row from which on the
    wall clock counts · i64 × d wall clock minus time, in ns.
    What unpacks to more than 16 MiB is stored raw.
    Frames, unpacked: the stored frames end to end. A frame as it was on the wire is the stored one with the
    canonical base64 (RFC 4648, padded, no line breaks) of its audio inserted where it was cut. Base64 that
    is not canonical is never cut.

``SOND``: u32 length of a JSON head · the head · data
    Audio of one lane. A lane is one direction and one audio format; the audio cut from its events is joined
    in it in the order of the events. ``lane`` (0 to 255), ``direction`` ("client", "server"), ``type``
    ("audio/pcm", "audio/pcmu", "audio/pcma"), ``rate`` (Hz), ``offset`` (of this piece in the lane),
    ``bytes`` (its length), ``codec``: "raw"; "lzma" (.xz); "flac" (mono, 16 bit, of the PCM16 samples; the
    rate in it is meaningless; an odd last byte of ``bytes`` is in ``rest``); "tta" (True Audio, TTA1, in the
    same way); "opus" (Ogg Opus of the samples:
    lossy; what is decoded is resampled to ``rate`` and cut, or filled with silence, to ``bytes``).
    The audio of one event never crosses the end of its chunk.

``TAIL``: JSON
    ``events``, ``bytes`` (of all frames as they were on the wire), ``sha256``: of, for each event in order,
    one byte (0 from the client, 1 from the server), u32 length of the frame, the frame; null if the audio is
    lossy. ``sha256_stored``: the same of the stored frames. ``complete`` (true).
"""

from __future__ import annotations

import io
import lzma
import struct
import zlib
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from ..audio.codecs import from_pcm16, to_pcm16
from ..audio.files import decode, encode
from ..errors import AudioError
from ..protocol.entries import SERVER, Columns

__all__ = [
    "CHUNK",
    "KINDS",
    "MAGIC",
    "MAX_BYTES",
    "VERSION",
    "Copies",
    "Damaged",
    "Lane",
    "chunk",
    "events",
    "head_of",
    "intact",
    "pack",
    "packed",
    "read_columns",
    "read_frames",
    "silence",
    "unpack",
    "unpacked",
]

VERSION = 1
MAGIC = b"RTNB" + bytes([VERSION]) + b"\r\n\0"
CHUNK = struct.Struct("<4sII")
KINDS = (b"HEAD", b"SOND", b"EVNT", b"TAIL")

MAX_BYTES = 16 << 20
"""The most bytes that a packed part unpacks to; larger ones are stored raw. So a small file cannot take much
memory, and nor can the few parts that a reader keeps unpacked."""

_PRESET = 2  # a third of the time of the default 6, and within 3 % of its size on frames


class Damaged(Exception):
    """What is wrong with a chunk, as the end of a sentence."""


def chunk(kind: bytes, payload: bytes) -> bytes:
    """Return the bytes of a chunk."""
    start = kind + struct.pack("<I", len(payload))
    return start + struct.pack("<I", zlib.crc32(payload, zlib.crc32(start))) + payload


def intact(kind: bytes, crc: int, payload: bytes) -> bool:
    """Return whether the checksum of a chunk is right."""
    return zlib.crc32(payload, zlib.crc32(kind + struct.pack("<I", len(payload)))) == crc


def pack(data: bytes, compress: bool) -> tuple[str, bytes]:
    """Return the codec and the stored bytes."""
    if compress and len(data) <= MAX_BYTES:
        packed = lzma.compress(data, check=lzma.CHECK_NONE, preset=_PRESET)
        if len(packed) < len(data):
            return "lzma", packed
    return "raw", data


def unpack(codec: object, data: bytes, size: int) -> bytes:
    """Return the unpacked data: ``size`` bytes. Raises Damaged."""
    if codec == "lzma" and 0 <= size <= MAX_BYTES:
        try:
            data = lzma.LZMADecompressor().decompress(data, max_length=size + 1)
        except lzma.LZMAError:
            raise Damaged("cannot be unpacked") from None
    elif codec != "raw":
        raise Damaged(f"uses the unknown codec {codec!r:.20}")
    if len(data) != size:
        raise Damaged(f"has {len(data):,} bytes, expected {size:,}")
    return data


def head_of(payload: bytes) -> tuple[dict[str, Any], int]:
    """Return a chunk's JSON head, and the offset of the rest. Raises Damaged."""
    if len(payload) < 4:
        raise Damaged("is too short")
    end = 4 + int.from_bytes(payload[:4], "little")
    try:
        head = orjson.loads(payload[4:end]) if end <= len(payload) else None
    except orjson.JSONDecodeError:
        head = None
    if not isinstance(head, dict):
        raise Damaged("has no head")
    return head, end


def with_head(head: Mapping[str, Any], *parts: bytes) -> bytes:
    """Return a payload that starts with a JSON head."""
    text = orjson.dumps(head)
    return b"".join((struct.pack("<I", len(text)), text, *parts))


def events(
    piece: Columns,
    sound_lanes: NDArray[np.uint8],
    lanes: Mapping[int, int],
    redacted: list[int],
    compress: bool,
) -> bytes:
    """Return the payload of an ``EVNT`` chunk. ``lanes`` maps each lane to the offset of its first audio."""
    types = piece.kinds & np.uint16(SERVER - 1)
    used, indices = np.unique(types, return_inverse=True)
    parts = (
        np.diff(piece.times, prepend=np.int64(0)).astype("<i8"),
        (indices.astype(np.uint16) | (piece.kinds & np.uint16(SERVER))).astype("<u2"),
        piece.turns.astype("<i4"),
        piece.lengths.astype("<u4"),
        piece.sound_rows.astype("<u4"),
        piece.sound_cuts.astype("<u4"),
        sound_lanes.astype("u1"),
        piece.sound_lengths.astype("<u4"),
        piece.wall_rows.astype("<u4"),
        piece.walls.astype("<i8"),
    )
    columns = b"".join(part.tobytes() for part in parts)
    packed_columns, packed_frames = pack(columns, compress), pack(piece.frames, compress)
    head = {
        "first": piece.first,
        "events": len(piece),
        "cuts": len(piece.sound_rows),
        "walls": len(piece.walls),
        "types": [piece.names[code] for code in used.tolist()],
        "lanes": {str(lane): offset for lane, offset in lanes.items()},
        "redacted": redacted,
        "columns": _sizes(packed_columns, columns),
        "frames": _sizes(packed_frames, piece.frames),
    }
    return with_head(head, packed_columns[1], packed_frames[1])


def _sizes(packed: tuple[str, bytes], data: bytes) -> dict[str, Any]:
    return {"codec": packed[0], "stored": len(packed[1]), "bytes": len(data)}


def read_columns(payload: bytes) -> tuple[dict[str, Any], Columns, NDArray[np.uint8]]:
    """Return the head of an ``EVNT`` chunk, its columns without frames, and the lanes. Raises Damaged."""
    head, start = head_of(payload)
    try:
        n, m, d = (_count(head[name]) for name in ("events", "cuts", "walls"))
        part, names = head["columns"], head["types"]
        stored = payload[start : start + _count(part["stored"])]
        data = unpack(part["codec"], stored, _count(part["bytes"]))
        if len(data) != n * 18 + m * 13 + d * 12 or not n:
            raise Damaged("has columns of other lengths than its head declares")
        if not all(isinstance(name, str) for name in names) or not isinstance(head["lanes"], dict):
            raise Damaged("has no list of types")
        read, at = [], 0
        for form, count in zip(("<i8", "<u2", "<i4", "<u4", "<u4", "<u4", "u1", "<u4", "<u4", "<i8"),
                               (n, n, n, n, m, m, m, m, d, d), strict=True):  # fmt: skip
            read.append(np.frombuffer(data, form, count, at))
            at += count * np.dtype(form).itemsize
        part = head["frames"]
        frames, _, codec = _count(part["bytes"]), _count(part["stored"]), part["codec"]
        if codec not in ("raw", "lzma"):
            raise Damaged(f"uses the unknown codec {codec!r:.20}")
        first = _count(head["first"])
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(f"has an invalid head ({error})") from None
    times, kinds, turns, lengths, rows, cuts, lanes, sizes, wall_rows, walls = read
    if int(lengths.sum(dtype=np.uint64)) != frames:
        raise Damaged("has frames of other lengths than its columns declare")
    piece = Columns(
        first=first,
        names=names,
        kinds=kinds.astype(np.uint16),
        turns=turns.astype(np.int32),
        times=np.cumsum(times, dtype=np.int64),
        lengths=lengths.astype(np.uint32),
        sound_rows=rows.astype(np.uint32),
        sound_cuts=cuts.astype(np.uint32),
        sound_lengths=sizes.astype(np.uint32),
        wall_rows=wall_rows.astype(np.uint32),
        walls=walls.astype(np.int64),
    )
    _check(piece)
    return head, piece, lanes


def _count(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value <= 1 << 48:
        raise ValueError(f"expected a count, got {value!r:.40}")
    return value


def _check(piece: Columns) -> None:
    """Raise Damaged for columns that contradict one another."""
    types = piece.kinds & np.uint16(SERVER - 1)
    rows, walls = piece.sound_rows.astype(np.int64), piece.wall_rows.astype(np.int64)
    consistent = (
        int(types.max()) < len(piece.names)
        and all((np.diff(column) > 0).all() and (column < len(piece)).all() for column in (rows, walls))
        and len(walls) > 0
        and int(walls[0]) == 0
        and bool((piece.sound_cuts <= piece.lengths[rows]).all())
    )
    if not consistent:
        raise Damaged("has columns that contradict one another")


def read_frames(payload: bytes) -> bytes:
    """Return the stored frames of an ``EVNT`` chunk whose columns were read. Raises Damaged."""
    head, start = head_of(payload)
    start += head["columns"]["stored"]
    part = head["frames"]
    return unpack(part["codec"], payload[start : start + part["stored"]], part["bytes"])


_MIN_PACKED = 4096  # bytes; below that a FLAC header costs more than it saves
_RATE = 24_000  # in the header of a stream whose rate is not used
_FLAC_RATES = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_SILENCE = {"audio/pcmu": b"\xff", "audio/pcma": b"\xd5"}


class Lane(NamedTuple):
    """One direction and one audio format."""

    direction: str
    type: str
    rate: int


Copies = Mapping[tuple[int, bytes], bytes]
"""Audio that is stored as Opus, by its rate and the SHA-256 of the decoded samples.

Encoding it again would change it again, so a recording made from one in Opus copies it.
"""


def silence(type: str, size: int) -> bytes:
    """Return ``size`` bytes of silence in an audio format."""
    return _SILENCE.get(type, b"\0") * size


def packed(
    number: int,
    lane: Lane,
    offset: int,
    data: bytes,
    *,
    compress: bool,
    opus: bool,
    copies: Copies | None = None,
) -> bytes:
    """Return the payload of a ``SOND`` chunk. With ``copies``, nothing else becomes Opus."""
    codec, stored, rest = "raw", data, []
    copy = copies.get((lane.rate, sha256(data).digest())) if copies else None
    if copy is not None:
        codec, stored = "opus", copy
    elif compress and lane.type == "audio/pcm" and _MIN_PACKED <= len(data) <= MAX_BYTES:
        even = len(data) // 2 * 2
        if opus and copies is None:
            codec, stored = "opus", encode(from_pcm16(data[:even]), lane.rate, "opus")
        else:
            options = {"flac": _flac(data[:even], lane.rate), "tta": _tta(data[:even])}
            best = min(options, key=lambda name: len(options[name]))
            if len(options[best]) < len(data):
                codec, stored, rest = best, options[best], list(data[even:])
    elif compress:
        codec, stored = pack(data, True)
    head = {
        "lane": number,
        **lane._asdict(),
        "offset": offset,
        "bytes": len(data),
        "codec": codec,
        "rest": rest,
    }
    return with_head(head, stored)


def _flac(data: bytes, rate: int) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    # FLAC's highest level: 2 % smaller, and as fast to read.
    with soundfile.SoundFile(
        buffer,
        "w",
        rate if rate in _FLAC_RATES else _RATE,
        1,
        "PCM_16",
        format="FLAC",
        compression_level=1.0,
    ) as file:
        file.write(np.frombuffer(data, "<i2"))
    return buffer.getvalue()


def unpacked(payload: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the head of a ``SOND`` chunk and its audio. Raises Damaged."""
    head, start = head_of(payload)
    try:
        size, codec, stored = head["bytes"], head["codec"], payload[start:]
        if codec != "raw" and not 0 <= size <= MAX_BYTES:
            raise ValueError(f"{size:,} bytes, expected at most {MAX_BYTES:,}")
        if codec in ("flac", "tta"):
            data = (_unflac if codec == "flac" else _untta)(stored, size // 2) + bytes(head["rest"])
        elif codec == "opus":
            seconds = size / 2 / head["rate"]
            samples, _, note = decode(stored, rate=head["rate"], seconds=seconds)
            if note:
                raise ValueError(note)
            data = to_pcm16(samples)[:size]
            data += silence(head["type"], size - len(data))
        else:
            return head, unpack(codec, stored, size)
    except (AudioError, ArithmeticError, KeyError, TypeError, ValueError, OSError) as error:
        raise Damaged(f"has audio that cannot be unpacked ({error})") from None
    if len(data) != size:
        raise Damaged(f"has {len(data):,} bytes of audio, expected {size:,}")
    return head, data


def _unflac(stored: bytes, count: int) -> bytes:
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(stored)) as file:
            if (file.frames, file.channels) != (count, 1):  # before memory is allocated for what it declares
                raise ValueError(f"{file.frames:,} samples, expected {count:,}")
            samples = file.read(dtype="int16")
    except soundfile.SoundFileError as error:
        raise ValueError(str(error)) from None
    return bytes(samples.astype("<i2", copy=False).tobytes())


def _tta(data: bytes) -> bytes:
    """Pack PCM16 as True Audio: 3 % smaller than FLAC on synthetic voices, and as fast."""
    import av

    samples, buffer = np.frombuffer(data, "<i2"), io.BytesIO()
    with av.open(buffer, mode="w", format="tta", options={"fflags": "+bitexact"}) as out:
        stream = out.add_stream("tta", rate=_RATE)
        stream.codec_context.layout = "mono"
        stream.codec_context.format = "s16"
        for start in range(0, len(samples), _RATE):
            piece = np.ascontiguousarray(samples[None, start : start + _RATE])
            frame = av.AudioFrame.from_ndarray(piece, format="s16", layout="mono")
            frame.sample_rate, frame.pts = _RATE, start
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return buffer.getvalue()


def _untta(stored: bytes, count: int) -> bytes:
    import av

    parts, total = [], 0
    try:
        with av.open(io.BytesIO(stored), mode="r", format="tta") as file:
            for frame in file.decode(audio=0):
                parts.append(frame.to_ndarray().reshape(-1).astype("<i2", copy=False).tobytes())
                total += frame.samples
                if total > count:
                    raise ValueError(f"more than the expected {count:,} samples")
    except (av.FFmpegError, IndexError, MemoryError) as error:
        raise ValueError(str(error)) from None
    return b"".join(parts)
