"""`make structs`: the Python client's copy of the wire's structs, made from the server's own.

A client must read what a newer server sends. So its structs take any text where the server's name a few; a comment beside them
has these. The structs are frozen, because what a client has given out must not change later.
"""

import re

from tests.support.program import ROOT

COPIED = ("chats", "events")
TO = ROOT / "clients" / "python" / "threadcast_client" / "schemas"
HEAD = "# Made of schemas/{name}.py by `make structs`, which overwrites what is changed here.\n"
TEXTS = re.compile(r'^(.*)Literal\[((?:"\w+"(?:, )?)+)\](.*)$', re.MULTILINE)
STRUCT = re.compile(r"^(class \w+\(msgspec\.Struct(?!.*frozen).*)\):$", re.MULTILINE)


def copy_of(name: str) -> str:
    """The client's copy of a module of `schemas`."""
    text = (ROOT / "schemas" / f"{name}.py").read_text()
    text = TEXTS.sub(lambda found: f"{found[1]}str{found[3]}  # {found[2].replace(chr(34), '')}", text)
    text = STRUCT.sub(r"\1, frozen=True):", text)
    text = text.replace("from schemas.", "from .")
    if not re.search(r"\bLiteral\[", text):
        text = text.replace(", Literal", "")
    return HEAD.format(name=name) + text


def main() -> None:
    """Write the copies."""
    for name in COPIED:
        (TO / f"{name}.py").write_text(copy_of(name))


if __name__ == "__main__":
    main()
