"""Handlers: a file for each route, named as its event, and the one table that routes to them in `routes.py`."""
