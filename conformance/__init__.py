"""Whether a server keeps the protocol, whoever wrote it and in whatever language: one line for each rule.

It needs Python and websockets, and knows nothing of any server but what goes over the wire. `rules.py` is the list of all
rules; each is a function in the file of its topic, which raises what it has seen instead. `room.py` is what they are given.
"""
