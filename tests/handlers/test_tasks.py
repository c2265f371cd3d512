"""Tasks of a server, under whatever runs the event loop."""

import asyncio
from functools import partial

from handlers.tasks import Tasks


def test_a_timer_may_start_a_task_under_plain_asyncio() -> None:
    async def main() -> None:
        tasks, done = Tasks(), asyncio.Event()

        async def work() -> None:
            done.set()

        asyncio.get_running_loop().call_soon(partial(tasks.start_soon, work))
        await asyncio.wait_for(done.wait(), 10)

    asyncio.run(main())


def test_at_the_end_a_task_that_has_not_begun_does_nothing_and_one_that_has_is_cancelled() -> None:
    did: list[str] = []

    async def main() -> None:
        tasks, begun = Tasks(), asyncio.Event()

        async def first() -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                did.append("cancelled")

        async def second() -> None:
            await asyncio.sleep(0)
            did.append("done")

        tasks.start_soon(first)
        await begun.wait()
        tasks.start_soon(second)
        await tasks.end()
        assert len(tasks) == 0

    asyncio.run(main())
    assert did == ["cancelled"]
