import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["clip", "files", "pcm", "peaks", "resample", "samples", "view"])
def test_the_examples_in_the_docs_are_true(name):
    assert doctest.testmod(importlib.import_module(f"rtnb.audio.{name}")).failed == 0
