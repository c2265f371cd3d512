"""The agent of `make screenshot`: what it says is what the pictures of the page show."""

import asyncio
from collections.abc import AsyncIterator

from backends.agent_events import AgentEvent
from threadcast import AgentTask, ApprovalNeeded, AssetShown, ReasoningChunk, SourcesFound, ToolEnded, ToolStarted

SLOWLY = "And what about the South?"  # is answered slowly enough for a picture in the middle
PUBLISH = "Publish the report"

ANSWER = """Revenue grew by **4.2 %** over the same quarter of last year. Almost all of that is the *North*:

| region | sold | change |
|---|---:|---:|
| North | 412,900 | +9.1 % |
| South | 238,400 | −3.0 % |
| West | 190,100 | +1.2 % |

What I would look at next:

1. **Returns in the South** doubled in March. They are not in `revenue`, but in `returns`.
2. The West has two new shops; without them it shrank.

```sql
SELECT region, sum(amount) AS sold -- by region
FROM sales WHERE quarter = '2026-Q3'
GROUP BY region ORDER BY sold DESC;
```

The figures are those of [the handbook](https://handbook.example.com/revenue), which counts a sale when it is paid.
"""


class Analyst:
    """`THREADCAST_AGENT=tests.programs.pictured:Analyst`."""

    async def answer(self, task: AgentTask) -> AsyncIterator[str | AgentEvent]:
        """Answers about revenue by region; PUBLISH is asked about first."""
        yield ReasoningChunk("Looking at the sales by region", "The question is about revenue, so I begin with the regions.")
        yield ToolStarted("sales", "Searching the sales", "search")
        yield ToolEnded("sales", "3 regions, 12 months")
        yield SourcesFound("Found 1 source", [("The handbook", "https://handbook.example.com/revenue")])
        if task.prompt == PUBLISH and not task.approvals:
            yield "The report is ready. It goes to everybody in your organization, so I would like to ask first."
            yield ApprovalNeeded("publish", "Publish “Revenue by region” to everybody?")
            return
        for asset in task.assets if not task.history else ():
            yield AssetShown(asset, "Read the definition")
        pause = 0.03 if task.prompt == SLOWLY else 0
        for word in ANSWER.split(" "):
            await asyncio.sleep(pause)
            yield f"{word} "

    async def title(self, task: AgentTask) -> AsyncIterator[str]:
        """The chat's."""
        yield "Revenue by region" if task.assets or task.prompt == SLOWLY else task.prompt
