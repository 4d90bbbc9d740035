"""The base of everything that a notebook can show: a MIME bundle whose HTML is made on demand.

What an object *is* stands in `audio`, `protocol`, `analysis` and `recordings`; how it *looks* stands in
`render`, which those packages must not import. A class therefore names its renderer as text, and the renderer
is imported when the object is first shown.
"""

from __future__ import annotations

from pkgutil import resolve_name
from typing import Any, ClassVar

__all__ = ["Displayable"]


class Displayable:
    """An object with a plain-text form, its ``repr``, and a static HTML form that is right without a kernel.

    A subclass names its renderer, a function from the object to HTML as a string:

    >>> class Gauge(Displayable):
    ...     renderer = "rtnb.render.usage_card:gauge_html"
    """

    __slots__ = ()

    renderer: ClassVar[str]
    """``module:function``, as `pkgutil.resolve_name` takes it."""

    def _repr_html_(self) -> str:
        """Return the HTML alone, for readers of ``_repr_html_`` such as a table of pandas or marimo."""
        return str(resolve_name(self.renderer)(self))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}
