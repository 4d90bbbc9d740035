"""Client and server fold the same conversation, whatever legal things are said and in whatever order."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import rtnb
from rtnb.engines.fake import fake
from rtnb.protocol import models
from rtnb.server.session import ServerSession
from rtnb.server.usage_meter import TokenWindow
from rtnb.server.workers import lease
from rtnb.session.async_session import AsyncSession
from rtnb.transports import pair

PATIENCE = 20.0
WORDS = st.sampled_from(["hello there", "use weather now", "tell me a long story", "<b>bold</b>", "käse 🧀"])
PLACES = st.integers(0, 30)
SECONDS = st.sampled_from([0.02, 0.15, 0.5])


def weather(city: str) -> str:
    """Tell the weather."""
    return "rain"


class Agreement(RuleBasedStateMachine):
    """Drives one session; between steps both sides are at rest and must agree."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.run(self._open())

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, PATIENCE))

    async def _open(self) -> None:
        client, end = pair()
        self.lease = lease(fake({}))
        workers = self.lease.__enter__()
        self.server = ServerSession(end, fake({}), workers, models.SEED, TokenWindow(10**9), 3600)
        self.serving = asyncio.create_task(self.server.run())
        self.session = AsyncSession(client)
        await self.session.open({"turn_detection": False, "transcription": True, "tools": [weather]})

    async def _rest(self) -> None:
        """Wait until all turns are over and all frames were read by both sides."""
        for turn in self.session.turns:
            await turn
        while self.server._tasks:  # transcripts that are still to come
            await asyncio.wait(self.server._tasks)
        await self.session.update(tool_choice="auto")
        while self.session._connection._outbox.qsize():
            await asyncio.sleep(0)
        for _ in range(
            2000
        ):  # what the server did last may be on its way, such as the end of a late response
            if self.session.state.conversation == self.server.context.conversation:
                break
            await asyncio.sleep(0.001)

    @property
    def items(self) -> list[str]:
        return list(self.session.state.conversation.order)

    @rule(words=WORDS, modality=st.sampled_from(["audio", "text"]))
    def send_text(self, words: str, modality: str) -> None:
        self.run(self._send(words, modalities=modality, max_output_tokens=60))

    async def _send(self, *things: Any, **options: Any) -> None:
        turn = await self.session.send(*things, **options)
        assert turn.status in ("completed", "incomplete"), (turn.status, turn.error)
        assert turn.text_so_far

    @rule(seconds=st.sampled_from([0.15, 0.5]), words=WORDS)
    def send_speech_and_text(self, seconds: float, words: str) -> None:
        self.run(self._send([rtnb.Clip.tone(300, seconds), words], max_output_tokens=60))

    @rule(words=WORDS)
    def add(self, words: str) -> None:
        self.session.add(words)

    @rule(words=WORDS, after=st.integers(0, 40))
    def cancel_midway(self, words: str, after: int) -> None:
        self.run(self._cancel(words, after))

    async def _cancel(self, words: str, after: int) -> None:
        turn = self.session.send(words)
        for _ in range(after):
            await asyncio.sleep(0)
        turn.cancel()
        await turn

    @rule(words=WORDS, played=st.sampled_from([0.0, 0.1, 0.5, 100.0]))
    def interrupt(self, words: str, played: float) -> None:
        self.run(self._interrupt(words, played))

    async def _interrupt(self, words: str, played: float) -> None:
        turn = await self.session.send(words, modalities="audio", max_output_tokens=60)
        turn.interrupt(played)
        await asyncio.sleep(0)

    @rule(seconds=SECONDS, verb=st.sampled_from(["commit", "clear", "keep"]))
    def append(self, seconds: float, verb: str) -> None:
        self.session.append(rtnb.Clip.tone(300, seconds))
        if verb != "keep":
            self.session.send_event({"type": f"input_audio_buffer.{verb}"})

    @rule(words=st.integers(1, 2))
    def speak(self, words: int) -> None:
        self.run(self._speak(words))

    async def _speak(self, words: int) -> None:
        self.session.send_event({"type": "input_audio_buffer.clear"})
        await self.session.update(turn_detection={"type": "server_vad", "silence_duration_ms": 200})
        pause = rtnb.Clip.silence(0.6)
        said = [pause] + [rtnb.Clip.tone(300, 0.5), pause] * words
        before = len(self.session.turns)
        await self.session.speak(rtnb.Clip.join(said), speed=1000)
        while len(self.session.turns) < before + words or not all(t.done for t in self.session.turns):
            await asyncio.sleep(0.001)
        await self.session.update(turn_detection=False)

    def pick(self, place: int) -> str:
        """Return one of the items, or one that does not exist. Draws must not depend on random ids."""
        known = ["item_unknown", *self.items]
        return known[place % len(known)]

    @rule(place=PLACES, verb=st.sampled_from(["delete", "retrieve"]))
    def touch(self, place: int, verb: str) -> None:
        id = self.pick(place)
        self.session.send_event({"type": f"conversation.item.{verb}", "item_id": id})

    @rule(place=st.one_of(st.none(), PLACES), role=st.sampled_from(["user", "assistant", "system"]))
    def insert(self, place: int | None, role: str) -> None:
        after = "root" if place is None else self.pick(place)
        kind = "output_text" if role == "assistant" else "input_text"
        item = {"type": "message", "role": role, "content": [{"type": kind, "text": "inserted"}]}
        self.session.send_event({"type": "conversation.item.create", "previous_item_id": after, "item": item})

    @rule(form=st.sampled_from(["pcm16", "g711_ulaw", "g711_alaw"]))
    def change_formats(self, form: str) -> None:
        self.session.send_event({"type": "input_audio_buffer.clear"})
        self.run(self.session.update(input_format=form, output_format=form))

    @invariant()
    def both_sides_agree(self) -> None:
        if not hasattr(self, "session"):
            return
        self.run(self._rest())
        ours, theirs = self.session.state.conversation, self.server.context.conversation
        assert ours.order == theirs.order
        assert ours == theirs
        assert not self.session.state.problems

    @invariant()
    def folding_the_log_again_gives_the_same(self) -> None:
        if not hasattr(self, "session"):
            return
        again = rtnb.protocol.state.SessionState()
        start = self.session.state.log[0]
        for entry in self.session.state.log:
            ns = int(entry.t * 1e9)
            again.append(entry.frame, entry.direction, mono_ns=ns, wall_ns=int(start.wall * 1e9) + ns)
        assert again.conversation == self.session.state.conversation
        assert [e.turn for e in again.log] == [e.turn for e in self.session.state.log]
        assert [t.usage for t in again.turns.all] == [t.usage for t in self.session.state.turns.all]

    def teardown(self) -> None:
        self.run(self.session.close())
        self.run(self.serving)
        self.lease.__exit__(None, None, None)
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()


Agreement.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestAgreement = Agreement.TestCase
