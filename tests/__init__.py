"""Tests, one file per module, and the house they need: `conftest.py`, the world of `world.py`, the client of `client.py`."""
