"""What a turn, a session, usage, latency, a timeline and an event list are; nothing here makes HTML."""
