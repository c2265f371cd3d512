"""Who and what the rules need: two users of two organizations, and assets that one of them may see or may not.

The file that `--assets` prints is made of this. The rules know the ids and names from here.
"""

import json
from typing import Any


def _id(number: int) -> str:
    return f"c04f0421-0000-4000-8000-{number:012d}"


ALICE, BOB = _id(1), _id(2)
ALICE_NAME, BOB_EMAIL = "Alice of the rules", "bob@conformance.example"  # Bob has no name
METRIC, HIDDEN, DASHBOARD, MISSING = _id(11), _id(12), _id(13), _id(99)
METRIC_NAME = "Tickets “sold” per week, <b>in €</b>"  # what is text must stay it
HIDDEN_NAME = "Margins that only Bob knows"
DASHBOARD_NAME = "Box office"
METRIC_VERSION, DASHBOARD_VERSION = 3, 2

_OURS, _THEIRS = _id(21), _id(22)


def _metric(id: str, name: str, organization: str, owner: str, version: int) -> dict[str, Any]:
    column = {"name": "week", "type": "date"}
    content = {
        "description": "Counted every week.",
        "sql": "SELECT week, count(*) FROM tickets GROUP BY 1",
        "columns": [column],
    }
    return _asset(id, "metric", name, organization, owner, version, content)


def _asset(
    id: str, asset_type: str, name: str, organization: str, owner: str, version: int, content: dict[str, Any]
) -> dict[str, Any]:
    return {
        "id": id,
        "asset_type": asset_type,
        "name": name,
        "organization_id": organization,
        "created_by": owner,
        "version_number": version,
        "content": content,
    }


def _view(id: str, asset_type: str, user: str) -> dict[str, str]:
    return {"asset_id": id, "asset_type": asset_type, "identity_type": "user", "identity_id": user, "role": "can_view"}


LOAD_FILE: dict[str, list[dict[str, Any]]] = {
    "users": [
        {"id": ALICE, "email": "alice@conformance.example", "name": ALICE_NAME, "organization_id": _OURS},
        {"id": BOB, "email": BOB_EMAIL, "organization_id": _THEIRS},
    ],
    "assets": [
        _metric(METRIC, METRIC_NAME, _OURS, ALICE, METRIC_VERSION),
        _metric(HIDDEN, HIDDEN_NAME, _THEIRS, BOB, 1),
        _asset(
            DASHBOARD,
            "dashboard",
            DASHBOARD_NAME,
            _OURS,
            ALICE,
            DASHBOARD_VERSION,
            {"description": "What the box office looks at.", "metric_ids": [METRIC, HIDDEN, MISSING]},
        ),
    ],
    "permissions": [
        _view(METRIC, "metric", ALICE),
        _view(DASHBOARD, "dashboard", ALICE),
        _view(HIDDEN, "metric", BOB),
    ],
}


def load_file() -> str:
    """The JSON text of the file to load."""
    return json.dumps(LOAD_FILE, indent=2, ensure_ascii=False)
