"""Frames by hand, for what no JSON library would write, and how one that is refused must be answered."""

from tests.support.client import Client
from tests.support.house import House
from tests.support.world import REVENUE

Data = str | bytes
Where = tuple[str, str, str | None]  # the route and the event of an answer, and its request_id if it has one

HEAD = '{"route": "/chats/post", "id": "c", '
TAIL = '"payload": {"prompt": "Hi"}}'
ARRAYS = "[" * 5000 + "]" * 5000
OBJECTS = '{"a":' * 5000 + "1" + "}" * 5000
HUGE = "1" + "0" * 5000


def beside(key: str, value: str) -> str:
    """A good frame, apart from one more key in its envelope."""
    return f'{HEAD}"{key}": {value}, {TAIL}'


def within(payload: str) -> str:
    """A good frame around this payload."""
    return f'{HEAD}"payload": {payload}}}'


async def assert_refused(house: House, data: Data, where: Where) -> str:
    """That the one answer is a BAD_REQUEST there, and that the connection goes on. Returns the message."""
    async with house.connect() as client:
        await client.socket.send(data)
        answer = await client.frame()
        assert (answer["route"], answer["event"], answer.get("request_id")) == where
        assert (answer["error"]["code"], answer["send_method"]) == ("BAD_REQUEST", "SenderOnly")
        await assert_goes_on(client)
    return str(answer["error"]["message"])


async def assert_goes_on(client: Client) -> None:
    stream = await client.post(metric_id=str(REVENUE))
    assert [frame["event"] for frame in stream] == ["initializeChat", *["generatingResponseMessage"] * 2, "complete"]
