"""``%%say``: the cell's text as a turn."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from ..api.connect import connect
from ..api.session import Session
from ..session.turn import Turn
from .arguments import MagicParser, UsageError, check_variable, one_line_errors

__all__ = ["SayMagic"]


class SayMagic:
    """``%%say`` in one shell."""

    description = """Send the cell's text as a turn, and show the answer as it arrives.

        %%say --voice marin
        Describe the sea in one sentence.

    The session is the one that --session names; else the only open one among your variables; else one with
    the
    embedded engine, which is opened on first use and bound to _session."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self._own: dict[tuple[str | None, str | None], Session] = {}
        self.parser = parser = MagicParser("%%say")
        add = parser.add_argument
        add("--voice", help="the voice of the answer, such as marin")
        add("--modalities", choices=("audio", "text"), help="whether the answer is audio or text")
        add("--instructions", help="for this answer only, in quotes: --instructions 'Be brief.'")
        add("--model", help="the hosted model that the embedded engine stands in for, or that --to has")
        add("--to", dest="endpoint", help="a hosted model, which is billed, or a server's URL")
        add("--session", metavar="NAME", help="the variable that holds the session")
        add("--turn", default="_turn", metavar="NAME", help="the variable that the turn is bound to (_turn)")

    def __call__(self, line: str, cell: str) -> Turn:
        """Run the magic and return the turn, which shows itself. Raises UsageError."""
        args = self.parser.parse_line(line)
        check_variable(args.turn)
        if not cell.strip():
            raise UsageError("the cell has no text: write what to say below the %%say line")
        options = {
            name: value
            for name in ("voice", "modalities", "instructions")
            if (value := getattr(args, name)) is not None
        }
        with one_line_errors():
            turn = self._session(args).send(cell.strip(), **options)
        self.shell.user_ns[args.turn] = turn
        return turn

    def _session(self, args: Namespace) -> Session:
        if args.session is not None:
            if args.model is not None or args.endpoint is not None:
                raise UsageError(
                    "--session excludes --model and --to, since an open session keeps its model: use either"
                )
            return self._named(args.session)
        if args.model is None and args.endpoint is None and (open_one := self._only()) is not None:
            return open_one
        key = (args.endpoint, args.model)
        session = self._own.get(key)
        if session is None or session.closed:
            session = self._own[key] = connect(args.endpoint, model=args.model)
        self.shell.user_ns["_session"] = session
        return session

    def _named(self, name: str) -> Session:
        session = self.shell.user_ns.get(name)
        if not isinstance(session, Session):
            known = ", ".join(sorted(self._open())) or "none"
            raise UsageError(f"{name!r} is not a session; open sessions among your variables: {known}")
        return session

    def _only(self) -> Session | None:
        """Return the user's only open session, None if there is none. Raises UsageError for several."""
        found = self._open()
        if len({id(session) for session in found.values()}) > 1:
            names = sorted(found)
            raise UsageError(
                f"several sessions are open ({', '.join(names)}): choose one, such as --session {names[0]}"
            )
        return next(iter(found.values()), None)

    def _open(self) -> dict[str, Session]:
        """Return the open sessions by the names of the user's variables."""
        return {
            name: value
            for name, value in list(self.shell.user_ns.items())
            if not name.startswith("_") and isinstance(value, Session) and not value.closed
        }
