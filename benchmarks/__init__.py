"""Programs that talk to a running server: a chat in the terminal."""
