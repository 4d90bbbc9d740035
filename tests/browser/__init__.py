"""Tests in a real browser; ``lab.py`` tells how to write one."""
