"""Ways to reach a server: each is three methods (``Transport``). ``memory.pair()`` ships for tests."""

from . import memory
from .base import Transport
from .memory import pair
from .replay import Replay

__all__ = ["Replay", "Transport", "memory", "pair"]
