"""Transports: each has three methods (``Transport``). ``memory.pair()`` is for tests, also yours."""

from . import memory
from .base import Transport
from .memory import pair
from .replay import Replay

__all__ = ["Replay", "Transport", "memory", "pair"]
