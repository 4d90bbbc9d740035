"""Reading ``events.jsonl``: by the columns of the file where these are of it, else line by line."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from itertools import accumulate, pairwise
from typing import Any

from ..protocol.events import as_object
from .audio_tracks import Temporary
from .autosave_tail import tail_lines
from .columns import FOLDER, ColumnsBuilder, EventColumns
from .event_lines import frames_of, parse
from .format import EVENTS, Damaged, TrackInfo, most_text
from .zip_files import Member, inflate

__all__ = ["EventsFile"]

_BLOCK = 256 << 10
_MIN_LINE = 40  # bytes: the least that an event takes
_MAX_OTHERS = 1000
_CACHED = 6  # blocks whose frames stay unpacked
_FLUSH = b"\x00\x00\xff\xff"  # RFC 1951, 3.2.4: what a flush ends with

Damage = Callable[[str], None]


class EventsFile:
    """The events of a recording: their columns, and their frames block by block.

    ``damage`` is called for what is wrong, with the end of a sentence: it raises, or notes what is left out.
    Raises Damaged for more than it can hold.
    """

    def __init__(
        self,
        members: Mapping[str, Member],
        manifest: Mapping[str, Any],
        tracks: Sequence[TrackInfo],
        damage: Damage,
        *,
        repair: bool,
    ) -> None:
        self._member = member = members[EVENTS]
        self._others = members
        if member.size > most_text(member.stored):
            raise Damaged(f"unpacks to {member.size:,} bytes of events: it is made to exhaust the memory")
        self._tracks = {info.id: (number, info.bytes) for number, info in enumerate(tracks)}
        self._damage = damage
        self._repair = repair
        self._frames: OrderedDict[int, bytes] = OrderedDict()
        self._plain: Temporary | None = None  # the lines, if they were read one by one
        known = _columns(members, manifest, tracks)
        if known is not None and not repair:
            self.columns = known
        else:
            self.columns = self._read_lines(known)
        blocks = self.columns.arrays["blocks"]
        sizes = blocks[:, 1 if self._plain is None and self._member.deflated else 2].tolist()
        self._starts = list(accumulate(sizes, initial=0))
        self._blocks: list[tuple[int, int, int, int]] = [tuple(row) for row in blocks.tolist()]
        self._rows = list(pairwise(accumulate((rows for rows, *_ in self._blocks), initial=0)))

    def __len__(self) -> int:
        return len(self._blocks)

    # By its columns.

    def block(self, number: int) -> bytes:
        """Return the stored frames of a block, end to end. Raises Damaged."""
        frames = self._frames.get(number)
        if frames is None:
            lengths = self.columns.arrays["lengths"][slice(*self._rows[number])].tolist()
            try:
                frames = frames_of(self._text(number), lengths)
            except Damaged as error:
                first, end = self._rows[number]
                raise Damaged(f"has the events {first:,} to {end - 1:,} in a part that {error}") from None
            self._frames[number] = frames
            if len(self._frames) > _CACHED:
                self._frames.popitem(last=False)
        else:
            self._frames.move_to_end(number)
        return frames

    def _text(self, number: int) -> bytes:
        _, _, size, crc = self._blocks[number]
        at = self._starts[number]
        if self._plain is not None:
            self._plain.seek(at)
            return self._plain.read(size)
        with self._member.section(at, self._starts[number + 1] - at) as file:
            text = file.read()
        try:
            if self._member.deflated:
                text = inflate(text, size)
            if len(text) != size or zlib.crc32(text) != crc:
                raise Damaged("differs from what was written")
        except Damaged:
            if not self._member.is_intact():
                raise
            self._unpack()  # by chance, another program has packed it as long
            return self._text(number)
        return text

    def _unpack(self) -> None:
        """Unpack all lines, which then need not be unpacked block by block."""
        self._plain = Temporary()
        for text in self._member.content():
            self._plain.write(text)
        self._starts = list(accumulate((size for *_, size, _ in self._blocks), initial=0))

    # Line by line.

    def _read_lines(self, known: EventColumns | None) -> EventColumns:
        """Read all lines; where a part is damaged, those that are intact."""
        self._plain = out = Temporary()
        builder = ColumnsBuilder()
        held: list[bytes] = []
        size = others = left_out = 0

        def end_block() -> None:
            nonlocal size
            text = b"".join(held)
            out.write(text)
            builder.end_block(len(text), len(text), 0)
            held.clear()
            size = 0

        for number, line in enumerate(_lines(self._texts(known)), 1):
            if not line.endswith(b"\n") and (not self._member.whole or self._member.crc is None):
                break  # it was cut
            try:
                self._take(builder, line)
            except Damaged as error:
                others += 1
                if others > _MAX_OTHERS:
                    raise Damaged(f"has more than {_MAX_OTHERS:,} lines that are not events") from None
                if line.strip():
                    self._damage(f"has a line {number:,} that {error}")
                    left_out += 1
                continue
            held.append(line)
            size += len(line)
            if size >= _BLOCK:
                end_block()
        for line in tail_lines(self._others, len(builder) + left_out):
            with suppress(Damaged):
                self._take(builder, line)
                held.append(line)
        if held:
            end_block()
        return builder.build()

    def _take(self, builder: ColumnsBuilder, text: bytes) -> None:
        line = parse(text)
        server, audio = line.direction == "server", line.audio
        track, end = self._tracks.get(audio.track, (-1, -1)) if audio is not None else (-1, -1)
        if audio is not None and audio.start + audio.bytes > end:
            raise Damaged("has audio that no track has")
        if line.frame is None:
            assert audio is not None
            builder.media(line.t_ns, track, audio.start, audio.bytes)
            return
        is_cut = audio is not None and audio.at is not None
        gap = builder.gap(track, audio.start, audio.bytes) if audio is not None and is_cut else 0
        builder.event(line.type, server, line.turn, line.t_ns, len(line.frame))
        if audio is not None and audio.at is not None:
            builder.cut(track, gap, audio.bytes, audio.at)
        if line.wall_ns is not None or len(builder) == 1:
            builder.wall(line.wall_ns if line.wall_ns is not None else line.t_ns)
        if line.redacted:
            builder.redacted()

    def _texts(self, known: EventColumns | None) -> Iterator[bytes]:
        """Yield the lines in pieces, without what cannot be unpacked."""
        member, crc, size = self._member, 0, 0
        if known is not None and not member.is_intact():
            yield from self._intact_blocks(known)
            return
        texts = _salvaged(member, self._damage) if self._repair and member.deflated else member.content()
        try:
            for text in texts:
                crc = zlib.crc32(text, crc)
                size += len(text)
                if size > member.size:
                    raise Damaged("unpack to more than the zip declares")
                yield text
        except Damaged as error:
            self._damage(f"has events that {error}")
            return
        if member.whole and member.crc not in (None, crc):
            self._damage("has events that differ from what was written")

    def _intact_blocks(self, known: EventColumns) -> Iterator[bytes]:
        member, row, at = self._member, 0, 0
        for rows, stored, size, crc in known.arrays["blocks"].tolist():
            length = stored if member.deflated else size
            with member.section(at, length) as file:
                text = file.read()
            at += length
            try:
                if member.deflated:
                    text = inflate(text, size)
                if zlib.crc32(text) != crc:
                    raise Damaged("differs from what was written")
                yield text
            except Damaged as error:
                self._damage(f"has the events {row:,} to {row + rows - 1:,} in a part that {error}")
            row += rows


def _columns(
    members: Mapping[str, Member], manifest: Mapping[str, Any], tracks: Sequence[TrackInfo]
) -> EventColumns | None:
    """Return the columns of a file; None if it has none, or they are damaged or of other events."""
    events, about = members[EVENTS], as_object(manifest.get("columns"))
    if not about or not events.whole or about.get("crc") != events.crc:
        return None
    listed = as_object(manifest.get("files"))
    stored = {name: member for name, member in members.items() if name.startswith(FOLDER)}
    most = most_text(sum(member.stored for member in stored.values()))
    files = {}
    if stored.keys() != {name for name in listed if name.startswith(FOLDER)}:
        return None
    try:
        for name, member in stored.items():
            most -= member.size
            data = member.read(max(most + member.size, 0))
            if sha256(data).hexdigest() != as_object(listed.get(name)).get("sha256"):
                return None
            files[name] = data
        columns = EventColumns.read(about.get("names"), files)
    except Damaged:
        return None
    arrays = columns.arrays
    packed, size = (int(arrays["blocks"][:, column].sum()) for column in (1, 2))
    count, numbers = len(arrays["kinds"]), arrays["cut_tracks"]
    fits = size == events.size and count * _MIN_LINE <= size
    fits &= not events.deflated or packed <= events.stored == about.get("stored")  # else packed by others
    fits &= not len(numbers) or int(numbers.max()) < len(tracks)
    media = arrays["media"]
    fits &= not len(media) or (int(media.min()) >= 0 and int(media[:, 1].max()) < len(tracks))
    return columns if fits else None


def _lines(texts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield each line with its end; the last one may have none."""
    rest: list[bytes] = []
    for text in texts:
        *whole, last = text.split(b"\n")
        for line in whole:
            yield b"".join((*rest, line, b"\n"))
            rest = []
        if last:
            rest.append(last)
    if rest:
        yield b"".join(rest)


def _salvaged(member: Member, damage: Damage) -> Iterator[bytes]:
    """Yield what the parts of a deflated file unpack to; each ends where its writer flushed."""
    with member.section() as file:
        data = file.read()
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    at = 0
    while at < len(data):
        end = data.find(_FLUSH, at) + len(_FLUSH)
        end = len(data) if end < len(_FLUSH) else end
        rest = data[at:end]
        try:
            while rest and not unpacker.eof:
                yield unpacker.decompress(rest, 1 << 20)
                rest = unpacker.unconsumed_tail
        except zlib.error as error:
            damage(f"has events from byte {at:,} to {end:,} that cannot be unpacked ({error})")
            yield b"\n"  # ends the line that it started
            unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        at = end
