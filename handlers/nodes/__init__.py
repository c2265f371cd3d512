"""Several nodes as one service: what a node asks, tells and does for the others."""
