"""An agent that writes 5 KB of Markdown for each prompt, as `THREADCAST_AGENT=benchmarks.markdown:write`."""

import asyncio
from collections.abc import AsyncIterator

from threadcast import AgentTask

DELTAS_PER_SECOND = 100
SLOWLY = "slowly"  # the prompt for an answer at that speed; another one gets its answer at once

_SECTION = """## Revenue, quarter {number}

Revenue grew by **{number}.4 %** over the *same quarter* of last year, as [the report](https://reports.example/{number}) says.

| region | sold | returned |
|---|---:|---:|
| North | {number},204 | 12 |
| South | {number},911 | 9 |

1. The `North` has fewer shops, and
   - sells more in each of them,
   - returns ~~none~~ little.
2. The South is ahead.

```sql
SELECT region, sum(amount) AS sold -- by region
FROM sales WHERE quarter = {number} GROUP BY region ORDER BY 2 DESC;
```

> What is sold in the last week of a quarter is counted with the next one. That moves about one per cent of the whole.

"""
TEXT = "".join(_SECTION.format(number=number) for number in range(1, 10))


async def write(task: AgentTask) -> AsyncIterator[str]:
    """Text in pieces of as many characters as a model's few words."""
    is_slow = task.prompt == SLOWLY
    size = 12 if is_slow else len(TEXT)
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number, start in enumerate(range(0, len(TEXT), size)):
        await asyncio.sleep(began + number / DELTAS_PER_SECOND - loop.time() if is_slow else 0)
        yield TEXT[start : start + size]
