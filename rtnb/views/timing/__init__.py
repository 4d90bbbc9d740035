"""Timing: what took how long, as marks, spans and pictures."""
