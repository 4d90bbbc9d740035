"""What crosses the wire, and everything that can be folded from it. No I/O, no clock, no tasks."""
