"""Ways to reach a server: each is three methods (``Transport``). ``memory.pair()`` ships for tests."""

from . import memory
from .base import Transport
from .memory import pair

__all__ = ["Transport", "memory", "pair"]
