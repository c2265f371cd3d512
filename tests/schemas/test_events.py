"""Events: each thing that can happen has its name on the wire."""

from pathlib import Path

import pytest

import schemas.events
from schemas.events import WS_EVENTS, ThreadEvent

WIRE = {  # PROTOCOL.md section 5
    "InitializeChat": "initializeChat",
    "GeneratingTitle": "generatingTitle",
    "GeneratingReasoningMessage": "generatingReasoningMessage",
    "GeneratingResponseMessage": "generatingResponseMessage",
    "Completed": "complete",
}


@pytest.mark.parametrize("event", ThreadEvent)
def test_a_thread_event_has_the_protocols_name_on_the_wire(event: ThreadEvent) -> None:
    assert WS_EVENTS[event].value == WIRE[event.value]


def test_the_protocols_events_are_all_there() -> None:
    assert {event.value for event in ThreadEvent} == set(WIRE)


def test_a_thread_event_without_a_wire_event_does_not_import() -> None:
    source = Path(schemas.events.__file__).read_text()
    marker = '    COMPLETED = "Completed"\n'
    assert marker in source
    forgotten = source.replace(marker, marker + '    FORGOTTEN = "Forgotten"\n')
    with pytest.raises(ImportError, match="FORGOTTEN"):
        exec(compile(forgotten, "events.py", "exec"), {"__name__": "schemas.events"})
