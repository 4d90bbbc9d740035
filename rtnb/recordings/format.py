"""The recording format, version 1: a zip that can be read without rtnb.

A recording is one file, a zip with these members in this order. An autosave is a folder with the first three,
and with what is not yet in them: see ``rtnb.recordings.autosave_tail``.

``README.txt``
    What the file is, and how to read it: `README`.
``manifest.json``
    ``format`` (1), ``rtnb`` (version), ``created`` (ISO 8601, UTC), ``model``, ``requested_model`` (the model
    that the caller asked for), ``dialect`` (of the frames: ga or beta), ``endpoint`` (in words), ``engine``
    (the embedded engine that answered; "" for another server), ``billed``, ``time_scaled`` (whether it is of
    a replay at another speed, whose times say nothing about the model), ``session`` (its configuration as the
    server last reported it), ``libraries`` (name → version), ``clocks`` (``wall_ns``: of the first event,
    since 1970), ``prices`` (US dollars per million tokens, by kind, with their date ``as_of``), ``lossy``
    (whether audio is Opus), ``autosave``, ``redacted`` (how many keys were redacted), ``open_turns`` (how
    many turns were not finished), ``end`` (``code``, ``reason`` and ``why`` if the connection was lost, or
    the file was made from one that was cut; else null), ``scrubbed`` (what was removed afterwards, a list of
    phrases), ``tracks`` (see below), ``events`` (how many), ``bytes`` (of all frames as they were on the
    wire), ``frames_sha256`` (of, for each event in order, one byte, 0 from the client or 1 from the server,
    u32 little-endian length of the frame, the frame; null if ``lossy``), ``columns`` (``names`` of the event
    types; ``crc`` and ``stored``: the CRC-32 and the packed length of the ``events.jsonl`` that the columns
    are of), ``files`` (name of each other member → ``bytes`` and ``sha256`` of its content), ``complete``
    (false while it is being written).
    Readers skip what they do not know.
``events.jsonl``
    One line an event, in the order of the log: see ``rtnb.recordings.event_lines``.
``audio/``
    One track for each side and audio format: all its audio end to end, in the order in which it was sent or
    received. In ``tracks``: ``id``, ``side`` (input or output), ``codec`` ("audio/pcm": signed 16 bit,
    little-endian; "audio/pcmu": µ-law; "audio/pcma": A-law), ``rate`` (Hz), ``in_frames`` (false for audio
    that came beside the frames, as over WebRTC), ``bytes`` (of the audio, decoded from base64), ``file`` (to
    be played: FLAC, or Ogg Opus in a lossy recording) and ``raw`` (the bytes themselves, where ``file`` does
    not restore them exactly; else null).
``columns/``
    A cache of what is in ``events.jsonl``, as NumPy arrays: see ``rtnb.recordings.columns``. It may be
    missing, and is not used if it was made of other events.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from ..audio.codecs import Codec, alaw, pcm16, ulaw

__all__ = [
    "EVENTS",
    "MANIFEST",
    "MAX_PIECE",
    "MAX_TRACKS",
    "RAW_SUFFIXES",
    "README",
    "README_NAME",
    "VERSION",
    "Damaged",
    "Lane",
    "Media",
    "TrackInfo",
    "most_audio",
    "most_text",
    "side_of",
    "silence",
]

VERSION = 1
README_NAME = "README.txt"
MANIFEST = "manifest.json"
EVENTS = "events.jsonl"

README = """\
This is a recording of a session with a realtime speech model, made with rtnb.
Everything in it can be read without rtnb, with unzip, jq and any audio player.

manifest.json   what answered, when, with which configuration; the audio tracks
events.jsonl    every event in both directions, one JSON object a line
audio/          what each side said, end to end, without the pauses between
columns/        a cache for speed; it repeats what is in events.jsonl
(The folder of a session that was not saved also has tail-*.bin: its last
events in binary. "rtnb recover" makes a recording of such a folder.)

A line of events.jsonl has:
  t           seconds since the first event, by a monotonic clock
  wall_ns     nanoseconds since 1970, where this clock and t were compared
  direction   "client" (sent) or "server" (received)
  turn        the turn that it belongs to, counted from 0; absent if none
  event       the JSON text that was sent or received, unchanged; or, where it
              is not a JSON object on one line:
  raw         its text, or
  base64      its bytes
  type        the event's type, where "event" does not say it
  redacted    true if an API key in it was made unreadable
  audio       the audio that belongs to it: "bytes" bytes from the byte "start"
              on of the "track" (a sample of audio/pcm has 2 bytes). If it has
              "at", base64 of these bytes was cut out of the frame at this byte:
              put it back to have the frame as it was.

To list the types:        jq -r .event.type events.jsonl | sort | uniq -c
To see the token usage:   jq -c '.event.response.usage | values' events.jsonl

In Python, the exact bytes of an event with audio in a FLAC track:

  import base64, json, soundfile
  samples, rate = soundfile.read("audio/output.flac", dtype="int16")
  line = next(line for line in open("events.jsonl", "rb") if b'"track":"output"' in line)
  audio = json.loads(line)["audio"]
  frame = line.rstrip()[line.index(b'"event":') + 8 : -1]
  sound = samples.tobytes()[audio["start"] : audio["start"] + audio["bytes"]]
  frame = frame[: audio["at"]] + base64.b64encode(sound) + frame[audio["at"] :]
"""

MAX_PIECE = 16 << 20
"""The most bytes of audio that are cut out of one frame; longer base64 stays in it."""

MAX_TRACKS = 256
_MAX_SMALL = 16 << 20
_TEXT_RATIO = 200
_AUDIO_RATIO = 1000


class Damaged(Exception):
    """What is wrong with a part of a recording, as the end of a sentence."""


class Lane(NamedTuple):
    """What shares a track: one side, one audio format, and whether it was in frames."""

    side: str
    codec: str
    rate: int
    in_frames: bool = True

    @property
    def format(self) -> Codec:
        """The codec."""
        base = _CODECS[self.codec]
        return Codec(base.type, self.rate, base.width, base.encode, base.decode)


_CODECS = {codec.type: codec for codec in (pcm16, ulaw, alaw)}
RAW_SUFFIXES = {"audio/pcm": "pcm", "audio/pcmu": "ulaw", "audio/pcma": "alaw"}
"""Of the files with the bytes of a track, by its codec."""


class TrackInfo(Struct, omit_defaults=False):
    """A track as the manifest lists it."""

    id: str
    side: str
    codec: str
    rate: int
    in_frames: bool = True
    bytes: int = 0
    file: str = ""
    raw: str | None = None


class Media(NamedTuple):
    """Audio that came beside the frames: ``t_ns`` since the first event."""

    t_ns: int
    side: str
    codec: Codec
    audio: bytes


def side_of(server: bool) -> str:
    """Return the side of the audio that the server sends, or the client."""
    return "output" if server else "input"


_SILENCE = {"audio/pcmu": b"\xff", "audio/pcma": b"\xd5"}


def silence(codec: str, size: int) -> bytes:
    """Return ``size`` bytes of silence in an audio format."""
    return _SILENCE.get(codec, b"\0") * size


def most_text(stored: int) -> int:
    """Return how many bytes events may unpack to that take ``stored``: real ones do to 10 to 50 times."""
    return max(_MAX_SMALL, _TEXT_RATIO * stored)


def most_audio(stored: int) -> int:
    """Return how many bytes a track may unpack to that takes ``stored``. FLAC packs silence 585 times."""
    return max(_MAX_SMALL, _AUDIO_RATIO * stored)
