"""Redis: what one node tells reaches the connections of all, and what they count together."""
