import doctest
import importlib

import pytest

MODULES = (
    "audio.clip",
    "audio.codecs",
    "audio.files",
    "audio.peaks",
    "audio.samples",
    "render.audio_player",
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_docs_are_true(name):
    assert doctest.testmod(importlib.import_module(f"rtnb.{name}")).failed == 0
