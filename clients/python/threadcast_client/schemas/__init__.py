"""The structs of what a server tells, made of its own by `make structs`."""
