"""Names and texts of others in reprs and errors: no control code or bidirectional control gets through."""

from __future__ import annotations

import unicodedata

import orjson
import pytest
from frames import Wire
from hypothesis import given
from hypothesis import strategies as st

from rtnb import errors
from rtnb.analysis.turn import TurnView, service_error
from rtnb.endpoints.endpoint import resolve
from rtnb.protocol.changes import ErrorData
from rtnb.protocol.models import Model
from rtnb.protocol.state import SessionState
from rtnb.protocol.usage import Usage
from rtnb.redaction import clean_name, clean_text, plain
from rtnb.session.connection import close_error
from rtnb.structs import FieldError

BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
CONTROLS = "".join(map(chr, [*range(32), *range(127, 160)]))
HOSTILE = st.text(st.sampled_from(BIDI + CONTROLS + "\ud800\udfffaé漢 "), min_size=1, max_size=12)


def bad(text: str, allowed: str = "\n\t") -> set[str]:
    """Return the characters of a text that change how the text around them is shown."""
    return {sign for sign in text if sign in BIDI or unicodedata.category(sign) in ("Cc", "Cs")} - set(
        allowed
    )


@given(HOSTILE)
def test_one_function_neutralizes_them_all(text: str) -> None:
    for clean in (plain, clean_text):
        assert bad(clean(text)) == set()
        assert clean(clean(text)) == clean(text)
        assert len(clean(text)) == len(text.replace("\r\n", "\n"))
    assert bad(clean_name(text), "") == set()
    assert clean_name(f"a\n{text}\tb").startswith("a ")


@pytest.mark.parametrize("sign", [*BIDI, "\x1b", "\x9b", "\x00", "\r", "\ud83d"])
def test_each_is_replaced_and_nothing_else(sign: str) -> None:
    assert plain(f"a{sign}b\tc\nd é 漢字 שלום 🎉") == "a\ufffdb\tc\nd é 漢字 שלום 🎉"


@given(HOSTILE)
def test_what_a_session_is_folded_from(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()  # no frame of JSON can hold a lone surrogate
    wire = Wire()
    wire.server("session.updated", session={"model": text})
    wire.text("item_u", text)
    wire.ask()
    wire.begin(text, "item_a")
    wire.server(
        "response.done",
        response={
            "id": text,
            "status": text,
            "status_details": {"reason": text, "error": {"message": text, "code": text, "type": text}},
            "usage": {f"{text}_tokens": text, "input_token_details": {f"{text}_tokens": text}},
        },
    )
    wire.server("rate_limits.updated", rate_limits=[{"name": text}])
    wire.server("rate_limits.updated", rate_limits=text)
    wire.server(text, item_id=text)
    state = wire.state
    [turn, *_] = state.turns.all
    conversation = state.conversation
    things = [
        *state.log,
        state.log,
        state.log[:3],
        *conversation.items.values(),
        *(part for item in conversation.items.values() for part in item.parts),
        turn,
        *turn.responses,
        TurnView(state, turn).error,
        state.usage,
        state.row,
    ]
    for thing in things:
        assert bad(repr(thing)) == bad(str(thing)) == set(), type(thing)
    for item in (*conversation.items.values(), *turn.responses):
        assert "\n" not in repr(item)
    for _, problem in state.problems:
        assert bad(problem) == set()


@given(HOSTILE)
def test_what_is_priced(text: str) -> None:
    used = Usage.from_transcription({"seconds": 2}, text) + Usage(input_text=5, problems=("x",))
    cost = used.cost("gpt-realtime")
    assert cost is not None
    for thing in (used, cost, str(cost.excludes), str(list(cost.parts)), Model(text)):
        assert bad(repr(thing)) == set()
    assert all(bad(name) == set() for name in (*cost.excludes, *cost.parts))


@given(HOSTILE)
def test_errors(text: str) -> None:
    made: list[Exception] = [getattr(errors, name)(text) for name in errors.__all__ if "Missing" not in name][
        :-1
    ]
    made = [error for error in made if isinstance(error, errors.RtnbError)]
    made += [service_error(ErrorData(text, code=text)), service_error(ErrorData(code=text))]
    made += [errors.MissingPackageError(text, text, text), FieldError("value", text, text, text)]
    state = SessionState()
    frame = orjson.dumps({"type": "error", "error": {"message": plain(text), "code": plain(text)}})
    state.append(frame, "server", mono_ns=1, wall_ns=1)
    made += [
        close_error(errors.ConnectionLost(text, code=code, reason=text), state)
        for code in (3000, 4000, 1001, 1006)
    ]
    for error in made:
        assert bad(str(error)) == bad(repr(error)) == set()


@given(HOSTILE)
def test_endpoints(text: str) -> None:
    for name in (f"azure:{text}", f"gpt-{text}", f"ws://localhost:1/?model={text}", f"ws://{text}", text):
        try:
            endpoint = resolve(name, api_key="k")
            shown = f"{endpoint!r} {endpoint.name}"
        except (errors.RtnbError, UnicodeEncodeError) as refused:
            shown = repr(refused)
        assert bad(shown, "") == set()
