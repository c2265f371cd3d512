"""clients/python/README.md: its blocks run, and its tables name what there is."""

import re
import sys
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any, get_args

from settings import Settings
from tests.support.house import open_house
from tests.support.program import ROOT, environment
from tests.support.world import REVENUE
from threadcast_client import Chats, State, Threadcast

PAGE = (ROOT / "clients" / "python" / "README.md").read_text()
FIRST, *OTHERS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


async def test_the_first_block_is_a_program_of_ten_lines_that_prints_an_answer(settings: Settings, tmp_path: Path) -> None:
    lines = [line for line in FIRST.splitlines() if line]
    assert len(lines) <= 10
    async with open_house(settings) as house:
        program = FIRST.replace("http://127.0.0.1:8000", house.url.replace("ws:", "http:").removesuffix("/api/v1/ws"))
        env = environment(tmp_path) | {"TOKEN": house.token()}
        process = await create_subprocess_exec(sys.executable, "-c", program, env=env, stdout=PIPE)
        printed, _ = await process.communicate()
    assert printed.decode().startswith("You asked: “What is this?”")
    assert printed.decode().splitlines()[-1].startswith("Reasoned for ")


async def test_the_other_blocks_do_what_they_say(settings: Settings) -> None:
    named: dict[str, Any] = {"Threadcast": Threadcast}
    for block in OTHERS:
        exec(block, named)  # the page is ours
    async with open_house(settings) as house, Threadcast(house.url.removesuffix("/api/v1/ws"), house.token()) as client:
        await named["compare"](client, str(REVENUE))
        await named["tidy"](client)
        (item,) = client.chats.get_snapshot().list
    assert item.is_favorited


def test_the_tables_have_the_states_and_what_chats_can_do() -> None:
    states = re.search(r"\| state \|.*?\n\n", PAGE, re.DOTALL)
    assert states
    assert re.findall(r"^\| `(\w+)` \|", states[0], re.MULTILINE) == list(get_args(State))
    chats = re.search(r"\| `client.chats` \|.*?\n\n", PAGE, re.DOTALL)
    assert chats
    first = [row.split("|")[1] for row in chats[0].splitlines()[2:] if row]
    assert set(re.findall(r"`(?:await )?(\w+)", " ".join(first))) == {name for name in vars(Chats) if not name.startswith("_")}
