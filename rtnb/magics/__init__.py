"""``%load_ext rtnb``: the magics ``%%audio`` and ``%%say``."""

from __future__ import annotations

from inspect import cleandoc
from typing import Any

__all__ = ["load"]


def load(ipython: Any) -> None:
    """Register the magics and their completion with an IPython shell. Loading them again changes nothing."""
    from .arguments import install
    from .audio import AudioMagic
    from .say import SayMagic

    magics: dict[str, Any] = {"audio": AudioMagic(ipython), "say": SayMagic(ipython)}
    for name, magic in magics.items():
        # A plain function, whose docstring IPython shows for  %%audio?
        def run(line: str, cell: str = "", *, magic: Any = magic) -> Any:
            return magic(line, cell)

        run.__doc__ = f"{cleandoc(magic.description)}\n\n{magic.parser.format_help()}"
        ipython.register_magic_function(run, "line_cell", name)
    install(ipython, {name: magic.parser for name, magic in magics.items()})
