"""The README and the pages that tests hold the program against, and the schemas of `/asyncapi.json`."""

import re
from typing import Any

from tests.support.fitting import DOCUMENT, MESSAGES
from tests.support.program import ROOT

README, PROTOCOL, SETTINGS = ((ROOT / page).read_text() for page in ("README.md", "docs/protocol.md", "docs/settings.md"))

PEERS_OWN = (1001, 1005, 1006)  # a browser that leaves, a close without a code, a connection that was lost


BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]


def envelope(name: str) -> dict[str, Any]:
    """What the keys of a message hold."""
    properties: dict[str, Any] = SCHEMAS[MESSAGES[name]["payload"]["$ref"].rpartition("/")[2]]["properties"]
    return properties
