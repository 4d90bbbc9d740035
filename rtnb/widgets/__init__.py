"""The widgets: recorder, live turn, talk panel, event log, waveform player and doctor."""
