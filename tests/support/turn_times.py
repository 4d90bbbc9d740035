"""Times of turns: one that is spoken and cut short, any that may happen, and sessions of many."""

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from rtnb.analysis.spans import TurnTimes
from rtnb.audio import Clip
from rtnb.protocol.timing import MARKS

moments = st.floats(0, 4000, allow_nan=False)
some_marks = st.dictionaries(st.sampled_from(list(MARKS)), moments)
own_marks = st.dictionaries(
    st.sampled_from(["created", "first_text", "first_audio", "last_audio", "done"]), moments
)
clips = st.sampled_from(
    [None, Clip(np.zeros(0, np.float32), 8000), Clip(np.full(4000, 0.3, np.float32), 8000)]
)
any_times = st.builds(
    lambda number, status, marks, responses, played, given, answer: TurnTimes(
        number,
        status,
        marks,
        tuple(responses),
        played,
        input_audio=lambda: given,
        output_audio=lambda: answer,
    ),
    st.integers(0, 400),
    st.sampled_from(["completed", "interrupted", "failed", "in_progress", "incomplete", "cancelled", "<b>"]),
    some_marks,
    st.lists(st.tuples(own_marks, st.floats(0, 200)), max_size=3),
    st.none() | st.floats(0, 300),
    clips,
    clips,
)

SPOKEN = TurnTimes(
    0,
    "interrupted",
    {
        "input": 0.0,
        "input_end": 2.0,
        "requested": 2.0,
        "committed": 2.05,
        "created": 2.06,
        "first_text": 2.3,
        "first_audio": 2.4,
        "first_sound": 2.5,
        "last_audio": 2.9,
        "interrupted": 3.4,
        "cut": 3.45,
        "done": 3.0,
    },
    (({"created": 2.06, "first_text": 2.3, "first_audio": 2.4, "last_audio": 2.9, "done": 3.0}, 4.0),),
    played=1.0,
    input_audio=lambda: Clip(np.concatenate([np.zeros(8000), np.full(8000, 0.5)]).astype(np.float32), 8000),
    output_audio=lambda: Clip(np.full(32_000, 0.5, np.float32), 8000),
)


def spans_of(times):
    return {span.kind: (round(span.start, 3), round(span.end, 3)) for span in times.spans()}


def session_of(count):
    """Return the times of many turns, each spoken as ``SPOKEN`` is, 12 seconds after the one before."""

    def at(seconds):
        marks = {name: t + seconds for name, t in SPOKEN.marks.items()}
        ((own, length),) = SPOKEN.responses
        responses = (({name: t + seconds for name, t in own.items()}, length),)
        return {"marks": marks, "responses": responses}

    return [replace(SPOKEN, number=k, **at(12 * k)) for k in range(count)]


def waiting(seconds, number=0):
    return TurnTimes(number, marks={"requested": 0.0, "first_sound": seconds, "done": seconds})
