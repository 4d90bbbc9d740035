"""Speech engines: a voice detector, a recognizer, a language model and a voice, behind one interface.

:mod:`rtnb.engines.base` says what each part has to implement and how to register one.
"""
