"""Voice engines: voice activity, speech recognition, chat model and voice, on the CPU, without a network."""
