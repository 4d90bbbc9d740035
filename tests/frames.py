"""Wire events of a small conversation, for the tests of what is folded from them."""

from base64 import b64encode
from itertools import count

import numpy as np
import orjson

from rtnb.protocol.state import SessionState

MS = 1_000_000
WALL = 1_700_000_000_000 * MS
MS_BYTES = 48  # PCM16 at 24 kHz


def b64(data):
    return b64encode(data).decode()


def tone(ms, hz=440.0, level=8000):
    """Return PCM16 at 24 kHz, no two samples of which are likely to be mistaken for others."""
    n = ms * 24
    return (level * np.sin(2 * np.pi * hz * np.arange(n) / 24_000)).astype("<i2").tobytes()


class Wire:
    """A record and a clock: each event is 10 ms after the one before."""

    def __init__(self):
        self.state = SessionState()
        self.now = 0
        self.frames = []

    def say(self, direction, type, **fields):
        event = {"type": type, **fields}
        frame = orjson.dumps(event)
        self.frames.append((frame, direction, self.now))
        turn = self.state.append(frame, direction, mono_ns=self.now * MS, wall_ns=WALL + self.now * MS).turn
        self.now += 10
        return turn

    def client(self, type, **fields):
        return self.say("client", type, **fields)

    def server(self, type, **fields):
        return self.say("server", type, **fields)

    @property
    def conversation(self):
        return self.state.conversation

    @property
    def turns(self):
        return self.state.turns.all

    @property
    def problems(self):
        return [problem for _, problem in self.state.problems]

    # What both sides say in the usual order.

    def session(self, detection=None, kind="session.created", form=None, **more):
        form = form or {"type": "audio/pcm", "rate": 24000}
        sound = {"input": {"format": form, "turn_detection": detection}, "output": {"format": form}}
        sound["input"].update(more)
        session = {"type": "realtime", "model": "gpt-4o-realtime-preview", "audio": sound}
        return self.server(kind, session=session)

    def append(self, data):
        return self.client("input_audio_buffer.append", audio=b64(data))

    def committed(self, id, previous=None):
        turn = self.server("input_audio_buffer.committed", item_id=id, previous_item_id=previous)
        item = {"id": id, "type": "message", "role": "user", "status": "completed"}
        item["content"] = [{"type": "input_audio", "transcript": None}]
        self.item(item, previous)
        return turn

    def item(self, item, previous=None):
        self.server("conversation.item.added", previous_item_id=previous, item=item)
        return self.server("conversation.item.done", previous_item_id=previous, item=item)

    def text(self, id, text, previous=None, role="user"):
        """The client creates a message and the server takes it."""
        kind = "output_text" if role == "assistant" else "input_text"
        item = {"id": id, "type": "message", "role": role, "content": [{"type": kind, "text": text}]}
        turn = self.client("conversation.item.create", event_id=f"event_{id}", item=item)
        self.item({**item, "status": "completed"}, previous)
        return turn

    def ask(self, event_id=None, **response):
        fields = {"event_id": event_id} if event_id else {}
        return self.client("response.create", **fields, **({"response": response} if response else {}))

    def begin(self, id="resp_1", item="item_a", previous=None, *, metadata=None, placed=True, **shape):
        """A response begins, and its item."""
        response = {"id": id, "status": "in_progress", "metadata": metadata, "output": []}
        turn = self.server("response.created", response=response)
        shell = {"id": item, "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        shell.update(shape)
        self.server("response.output_item.added", response_id=id, output_index=0, item=shell)
        if placed:
            self.server("conversation.item.added", previous_item_id=previous, item=shell)
        return turn

    def end(self, id="resp_1", *items, status="completed", details=None, usage=None):
        response = {"id": id, "status": status, "status_details": details, "usage": usage, "output": [*items]}
        return self.server("response.done", response=response)

    def delta(self, kind, value, response="resp_1", item="item_a", index=0):
        return self.server(
            f"response.{kind}.delta",
            response_id=response,
            item_id=item,
            output_index=0,
            content_index=index,
            delta=b64(value) if isinstance(value, bytes) else value,
        )

    def speak(self, sound, words="", response="resp_1", item="item_a"):
        """The answer's sound, with its words."""
        part = {"type": "audio", "transcript": ""}
        where = {"response_id": response, "item_id": item, "output_index": 0, "content_index": 0}
        self.server("response.content_part.added", **where, part=part)
        if words:
            self.delta("output_audio_transcript", words, response, item)
        for start in range(0, len(sound), 4800):
            self.delta("output_audio", sound[start : start + 4800], response, item)

    def call(
        self, response="resp_1", item="item_f", call_id="call_1", name="weather", arguments='{"city":"Rome"}'
    ):
        """The model calls a function, in a response of its own."""
        turn = self.begin(
            response, item, type="function_call", role=None, call_id=call_id, name=name, arguments=""
        )
        where = {"response_id": response, "item_id": item, "output_index": 0, "call_id": call_id}
        for start in range(0, len(arguments), 5):
            self.server("response.function_call_arguments.delta", **where, delta=arguments[start : start + 5])
        self.server("response.function_call_arguments.done", **where, name=name, arguments=arguments)
        self.end(response)
        return turn


def full():
    """Return a wire with a bit of everything, all of it as the protocol has it."""
    wire, ids = Wire(), count(1)
    wire.session()
    wire.client(
        "session.update", event_id="event_1", session={"type": "realtime", "instructions": "Be short."}
    )
    wire.session(kind="session.updated")
    wire.text("item_u1", "Hello")
    wire.ask()
    wire.begin("resp_1", "item_a1", "item_u1")
    wire.delta("output_text", "Good ", "resp_1", "item_a1")
    wire.delta("output_text", "day.", "resp_1", "item_a1")
    where = {"response_id": "resp_1", "item_id": "item_a1", "output_index": 0, "content_index": 0}
    wire.server("response.output_text.done", **where, text="Good day.")
    wire.server("response.content_part.done", **where, part={"type": "text", "text": "Good day."})
    wire.end("resp_1", usage=usage(12, 4))
    wire.server(
        "rate_limits.updated",
        rate_limits=[{"name": "tokens", "limit": 100, "remaining": 60, "reset_seconds": 2}],
    )
    wire.append(tone(200))
    wire.client("input_audio_buffer.commit", event_id="event_2")
    wire.ask("event_3")
    wire.committed("item_u2", "item_a1")
    wire.call("resp_2", "item_f1")
    output = {"id": "item_o1", "type": "function_call_output", "call_id": "call_1", "output": "sunny"}
    wire.client("conversation.item.create", event_id="event_4", item=output)
    wire.item(output, "item_f1")
    wire.ask()
    wire.begin("resp_3", "item_a2", "item_o1")
    wire.speak(tone(500), "It is sunny.", "resp_3", "item_a2")
    where = {"response_id": "resp_3", "item_id": "item_a2", "output_index": 0, "content_index": 0}
    wire.server("response.output_audio.done", **where)
    wire.server("response.output_audio_transcript.done", **where, transcript="It is sunny.")
    wire.end("resp_3", usage=usage(30, 20))
    wire.server(
        "conversation.item.input_audio_transcription.completed",
        item_id="item_u2",
        content_index=0,
        transcript="How is the weather?",
        usage={"type": "duration", "seconds": 0.2},
    )
    wire.client(
        "conversation.item.truncate", event_id="event_5", item_id="item_a2", content_index=0, audio_end_ms=300
    )
    wire.server("conversation.item.truncated", item_id="item_a2", content_index=0, audio_end_ms=300)
    wire.session({"type": "server_vad"}, "session.updated")
    wire.append(tone(400))
    wire.server("input_audio_buffer.speech_started", item_id="item_u3", audio_start_ms=250)
    wire.server("input_audio_buffer.speech_stopped", item_id="item_u3", audio_end_ms=500)
    wire.committed("item_u3", "item_a2")
    wire.begin("resp_4", "item_a3", "item_u3")
    wire.client("response.cancel", event_id="event_6", response_id="resp_4")
    wire.end("resp_4", status="cancelled", details={"type": "cancelled", "reason": "client_cancelled"})
    wire.client("conversation.item.delete", event_id="event_7", item_id="item_u1")
    wire.server("conversation.item.deleted", item_id="item_u1")
    wire.server(
        "error", error={"type": "invalid_request_error", "message": "no", "code": None, "event_id": None}
    )
    wire.server(f"something.new.{next(ids)}", item_id="item_a2")
    return wire


def usage(given, made):
    return {
        "total_tokens": given + made,
        "input_tokens": given,
        "output_tokens": made,
        "input_token_details": {"text_tokens": given, "audio_tokens": 0, "cached_tokens": 0},
        "output_token_details": {"text_tokens": made, "audio_tokens": 0},
    }
