"""The notebook bench for realtime speech models."""
