"""Sound is the same wherever it lies."""

import threading

import pytest
from protocol.test_log_storage import Memory

from rtnb.protocol.log_storage import Sound, cut


def test_sound_is_the_same_wherever_it_lies():
    store, data = Memory(), bytes(range(100))
    sound, whole = Sound(data), Sound(data)
    assert sound == whole == data
    assert data == sound
    part = cut(sound, 10, 60)
    small = cut(part, 5, 20)
    sound.move(store, store.add(data))
    assert (bytes(sound), len(sound)) == (data, 100)
    assert (bytes(part), len(part)) == (data[10:60], 50)
    assert (bytes(small), len(small)) == (data[15:30], 15)
    assert sound == whole == data != part
    assert sound.nbytes < whole.nbytes
    assert cut(sound, 0, 100) is sound
    assert cut(data, 10, 20) == data[10:20]
    assert repr(sound) == "Sound(100 bytes)"
    assert (sound == 3, sound != 3) == (False, True)
    with pytest.raises(TypeError):
        hash(sound)


def test_reading_while_it_is_let_go_of():
    """A reader finds a sound whole at every moment."""
    data = [bytes([n % 256]) * 1000 for n in range(3000)]
    sounds, store, wrong = [Sound(each) for each in data], Memory(), []
    at = [store.add(each) for each in data]

    def read():
        for _ in range(5):
            wrong.extend(n for n, sound in enumerate(sounds) if bytes(sound) != data[n])

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for sound, place in zip(sounds, at, strict=True):
        sound.move(store, place)
    for reader in readers:
        reader.join()
    assert not wrong
