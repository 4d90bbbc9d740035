"""The protocol server over an engine."""
