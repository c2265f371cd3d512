"""What happens: one file per handler, named as its event, and in `routes.py` the one table that routes to them."""
