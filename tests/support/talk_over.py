"""Talk-over of a stereo export, measured from its samples alone."""

import numpy as np

_FRAME = 0.02
_AUDIBLE = 10 ** (-50 / 20)


def talk_over(samples, rate=24_000):
    """Return for how many seconds both channels of ``samples``, shape ``(n, 2)``, are above −50 dBFS.

    A single frame is not counted: where one side follows the other without a pause, it has both.
    """
    size = round(_FRAME * rate)
    frames = len(samples) // size
    energy = (np.asarray(samples[: frames * size], np.float64).reshape(frames, size, 2) ** 2).mean(axis=1)
    both = [False, *(np.sqrt(energy) > _AUDIBLE).all(axis=1).tolist(), False]
    count = sum(both[k] and (both[k - 1] or both[k + 1]) for k in range(1, len(both) - 1))
    return count * _FRAME
