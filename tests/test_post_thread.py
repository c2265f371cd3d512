"""The main job, end to end: a post over a real socket, its stream on the user's connections, its chat in the database."""

from tests.client import fold, unsettled
from tests.conftest import House


async def test_a_prompt_is_answered_by_a_stream_that_adds_up_to_its_end(house: House) -> None:
    async with house.connect() as client:
        frames = await client.post(prompt="How are we doing?")
    assert unsettled(fold(frames)) == unsettled(frames[-1]["payload"])
