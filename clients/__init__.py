"""Clients of the protocol that a person can use."""
