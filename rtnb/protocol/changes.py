"""What happens in a session, as typed values: changes from the server, commands from the client.

A dialect (``protocol.dialects``) turns each frame into a few of these, and these into frames. Everything else
reads only them, so that a server which deviates from the protocol is dealt with in one place.

Changes are what a server reports; commands are what a client asks for. Both are plain values: no field names
the wire, ids are strings, and a field that a frame lacked has the default given here. Objects that the wire
nests (a session, an item, a response) come parsed, with the object itself in ``raw``, in GA's shape whatever
dialect it came in, so that nothing of an unknown field is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct, field

from .events import Event
from .log_storage import Sound
from .usage import Usage

__all__ = [
    "PIECES",
    "UNSTATED",
    "AddItem",
    "AppendAudio",
    "ArgumentsDelta",
    "AudioDelta",
    "AudioDone",
    "Cancel",
    "Change",
    "Clear",
    "ClearOutput",
    "Command",
    "Commit",
    "Configure",
    "Content",
    "ConversationStarted",
    "DeleteItem",
    "ErrorData",
    "Failed",
    "InputCleared",
    "InputCommitted",
    "InputTimedOut",
    "InputTranscript",
    "InputTranscriptDelta",
    "InputTranscriptFailed",
    "ItemAdded",
    "ItemData",
    "ItemDeleted",
    "ItemDone",
    "ItemRetrieved",
    "Limits",
    "Listener",
    "Other",
    "OutputItemAdded",
    "OutputItemDone",
    "PartAdded",
    "PartDone",
    "Playback",
    "Respond",
    "ResponseEnded",
    "ResponseStarted",
    "RetrieveItem",
    "SessionChanged",
    "SessionStarted",
    "SpeechStarted",
    "SpeechStopped",
    "TextDelta",
    "TextDone",
    "ToolCall",
    "Truncate",
    "Truncated",
    "Unknown",
    "UsageReported",
]

Kind = Literal["text", "audio", "image"]

UNSTATED = "\0unstated"
"""The ``previous_item_id`` of a frame that names none; None means the first place."""


class Content(Struct):
    """One content part of an item: ``text`` is what it says, of audio its transcript.

    It is None for audio whose transcript was deleted.
    """

    kind: str
    text: str | None = ""
    audio: Sound | None = None
    encoded: str = ""
    """The base64 that ``audio`` was decoded from."""
    image_url: str | None = None


class ItemData(Struct):
    """An item as one frame shows it. What the frame left out is "", None or empty."""

    id: str = ""
    type: str = ""
    role: str = ""
    status: str = ""
    phase: str = ""
    """``commentary`` for a preamble, ``final_answer`` for the answer; only some models say."""
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    output: str | None = None
    contents: list[Content] = field(default_factory=list)
    raw: Event = field(default_factory=dict)


class ErrorData(Struct, frozen=True):
    """What a server says went wrong. ``event_id`` is the client's event that caused it, if it says."""

    message: str = ""
    type: str | None = None
    code: str | None = None
    param: str | None = None
    event_id: str | None = None


class Change(Struct, frozen=True):
    """Something that the server reports."""


class SessionStarted(Change, frozen=True):
    """The session is open. ``config`` is its configuration in GA's shape."""

    config: Event


class SessionChanged(Change, frozen=True):
    """The configuration changed. ``config`` is all of it, in GA's shape."""

    config: Event


class ConversationStarted(Change, frozen=True):
    """A conversation began; some servers say only this when a session opens."""

    id: str = ""


class SpeechStarted(Change, frozen=True):
    """The server detected the start of speech, ``ms`` into all input; None where it does not say."""

    item_id: str
    ms: float | None = None


class SpeechStopped(Change, frozen=True):
    """The server detected the end of speech, ``ms`` milliseconds into all input."""

    item_id: str
    ms: float | None = None


class InputTimedOut(Change, frozen=True):
    """The user was silent for as long as the session allows; the server goes on without input."""

    item_id: str
    start_ms: float | None = None
    end_ms: float | None = None


class InputCommitted(Change, frozen=True):
    """The input became an item."""

    item_id: str
    previous_item_id: str | None = UNSTATED


class InputCleared(Change, frozen=True):
    """The input buffer was emptied."""


class InputTranscriptDelta(Change, frozen=True):
    """A piece of what the user said."""

    item_id: str
    text: str
    content_index: int = 0


class InputTranscript(Change, frozen=True):
    """What the user said, complete. ``usage`` is the wire's own, which differs by model."""

    item_id: str
    text: str
    content_index: int = 0
    usage: Event = field(default_factory=dict)


class InputTranscriptFailed(Change, frozen=True):
    """The user's speech could not be transcribed."""

    item_id: str
    error: ErrorData
    content_index: int = 0


class ItemAdded(Change, frozen=True):
    """An item joined the conversation after ``previous_item_id``."""

    item: ItemData
    previous_item_id: str | None = UNSTATED


class ItemDone(Change, frozen=True):
    """An item of the conversation is complete."""

    item: ItemData
    previous_item_id: str | None = UNSTATED


class ItemRetrieved(Change, frozen=True):
    """The answer to `RetrieveItem`."""

    item: ItemData


class ItemDeleted(Change, frozen=True):
    """An item left the conversation."""

    item_id: str


class Truncated(Change, frozen=True):
    """An item was cut to what was played, in milliseconds."""

    item_id: str
    ms: int


class ResponseStarted(Change, frozen=True):
    """A response began."""

    id: str
    metadata: dict[str, Any] | None = None
    max_output_tokens: int | None = None
    format: Event | None = None
    """The format of its audio, where it differs from the session's."""
    raw: Event = field(default_factory=dict)


class OutputItemAdded(Change, frozen=True):
    """A response produces an item."""

    response_id: str
    item: ItemData
    output_index: int = 0


class OutputItemDone(Change, frozen=True):
    """A response has finished an item."""

    response_id: str
    item: ItemData
    output_index: int = 0


class PartAdded(Change, frozen=True):
    """An item gets a content part."""

    response_id: str
    item_id: str
    content: Content
    content_index: int = 0
    output_index: int = 0


class PartDone(Change, frozen=True):
    """A content part is complete."""

    response_id: str
    item_id: str
    content: Content
    content_index: int = 0
    output_index: int = 0


class TextDelta(Change, frozen=True, gc=False):
    """A piece of the answer's text; ``kind`` is "text", or "audio" for a transcript of what is spoken."""

    response_id: str
    item_id: str
    text: str
    kind: str = "text"
    content_index: int = 0
    output_index: int = 0


class TextDone(Change, frozen=True):
    """The text, or transcript, of a part, complete."""

    response_id: str
    item_id: str
    text: str
    kind: str = "text"
    content_index: int = 0
    output_index: int = 0


class AudioDelta(Change, frozen=True, gc=False):
    """A piece of the answer's audio, in the format of its response; ``encoded`` is the base64 of it."""

    response_id: str
    item_id: str
    audio: Sound
    encoded: str = ""
    content_index: int = 0
    output_index: int = 0


PIECES = frozenset({TextDelta, AudioDelta})
"""The pieces of an answer: nearly all that a session receives."""


class AudioDone(Change, frozen=True):
    """The audio of a part is complete."""

    response_id: str
    item_id: str
    content_index: int = 0
    output_index: int = 0


class ArgumentsDelta(Change, frozen=True):
    """A piece of a function call's arguments."""

    response_id: str
    item_id: str
    text: str
    call_id: str = ""
    output_index: int = 0


class ToolCall(Change, frozen=True):
    """A function call, complete: the model's ``arguments`` are JSON text."""

    response_id: str
    item_id: str
    arguments: str
    call_id: str = ""
    name: str = ""
    output_index: int = 0


class ResponseEnded(Change, frozen=True):
    """A response ended, whatever else is odd in the frame that says so.

    ``usage`` is None where it is unknown or unusable; ``problems`` says what could not be read.
    """

    id: str
    status: str = "completed"
    reason: str | None = None
    error: ErrorData | None = None
    usage: Usage | None = None
    items: list[ItemData] = field(default_factory=list)
    metadata: dict[str, Any] | None = None
    problems: tuple[str, ...] = ()
    raw: Event = field(default_factory=dict)


class Playback(Change, frozen=True):
    """The server's own player ``started``, ``stopped`` or was ``cleared`` (WebRTC and SIP only)."""

    response_id: str
    state: str


class Limits(Change, frozen=True):
    """The rate limits, by name."""

    limits: dict[str, Event]


class UsageReported(Change, frozen=True):
    """Usage that belongs to no response: a service that counts by the minute reports it cumulatively."""

    usage: Event


class Failed(Change, frozen=True):
    """The server reports an error. It is not fatal by itself."""

    error: ErrorData


class Unknown(Change, frozen=True):
    """A frame of a type that the dialect does not know. It stays in the log and changes nothing."""

    type: str
    response_id: str = ""
    item_id: str = ""


class Command(Struct, frozen=True):
    """Something that the client asks for. ``event_id`` is its own, by which an error can name it."""


class Configure(Command, frozen=True):
    """Change the session. ``config`` is in GA's shape and names only what changes."""

    config: Event
    event_id: str = ""


class AppendAudio(Command, frozen=True):
    """Add to the input buffer, in the session's input format."""

    audio: Sound
    encoded: str = ""
    event_id: str = ""


class Commit(Command, frozen=True):
    """Make an item of the input buffer."""

    event_id: str = ""


class Clear(Command, frozen=True):
    """Empty the input buffer."""

    event_id: str = ""


class ClearOutput(Command, frozen=True):
    """Empty the server's player (WebRTC and SIP only)."""

    event_id: str = ""


class AddItem(Command, frozen=True):
    """Put an item into the conversation; at its end unless ``previous_item_id`` says otherwise."""

    item: ItemData
    previous_item_id: str | None = UNSTATED
    event_id: str = ""


class DeleteItem(Command, frozen=True):
    """Take an item out of the conversation."""

    item_id: str
    event_id: str = ""


class RetrieveItem(Command, frozen=True):
    """Ask for an item as the server has it."""

    item_id: str
    event_id: str = ""


class Truncate(Command, frozen=True):
    """Cut an item's audio to the milliseconds that were played."""

    item_id: str
    ms: int
    content_index: int = 0
    event_id: str = ""


class Respond(Command, frozen=True):
    """Ask for a response. ``options`` is in GA's shape; ``input`` the items that replace the conversation."""

    options: Event = field(default_factory=dict)
    input: list[ItemData] | None = None
    event_id: str = ""

    @property
    def out_of_band(self) -> bool:
        """Whether the response stays out of the conversation."""
        return self.options.get("conversation") == "none"


class Cancel(Command, frozen=True):
    """End a response early: the one named, or the one that runs."""

    response_id: str = ""
    event_id: str = ""


class Other(Command, frozen=True):
    """A client's frame of a type that the dialect does not know."""

    type: str
    event_id: str = ""


Listener = Callable[["Change | Command", int], None]
"""Called with each change and command, and the number of its turn (``NO_TURN`` for none)."""
