"""The server dies or restarts in the middle of an answer: the client goes on with the next, which has the same database."""

import signal
from pathlib import Path
from uuid import UUID

import anyio

from tests.support.contract import agrees, opened, posted_once, text_of, until_said
from tests.support.crowd import crowd_served, crowded, port_of
from tests.support.driver import Driver
from tests.support.hostile import Hostile
from tests.support.paced import said


async def test_a_killed_server_s_answer_ends_as_interrupted_and_the_next_has_the_rest(
    driver: Driver, user: UUID, tmp_path: Path
) -> None:
    held = f"words=10 pause=1 wait={tmp_path / 'never'} n=1"
    folder = crowded(tmp_path)
    with crowd_served(folder) as program:
        hostile = Hostile(port_of(program))
        async with hostile.serving():
            await opened(driver, hostile, user)
            await driver.post("answer", prompt=held)
            reading = driver.will("read", "answer")
            await until_said(driver, "answer", said("words=5 n=1"))
            await anyio.sleep(1.5)  # the server stores what it has said each second
            await anyio.to_thread.run_sync(program.stop, signal.SIGKILL)
            await driver.post("later", prompt="words=3 n=2")
            with crowd_served(folder) as again:
                hostile.to = port_of(again)
                message = await driver.done("answer")
                assert message["finish_reason"] == "interrupted"
                assert text_of(message) == await driver.text("answer") == await reading == said("words=5 n=1")
                assert text_of(await driver.done("later")) == said("words=3 n=2")
                await agrees(driver, port_of(again), user)
                await posted_once(port_of(again), user, held, "words=3 n=2")


async def test_a_restart_lets_answers_finish_and_posts_wait_for_the_next_server(
    driver: Driver, user: UUID, tmp_path: Path
) -> None:
    held, cut = (f"words=10 pause=1 wait={tmp_path / name} n={name}" for name in ("soon", "never"))
    folder = crowded(tmp_path)
    with crowd_served(folder) as program:
        hostile = Hostile(port_of(program))
        async with hostile.serving():
            await opened(driver, hostile, user)
            for name, prompt in (("held", held), ("cut", cut)):
                await driver.post(name, prompt=prompt)
                await until_said(driver, name, said(f"words=5 n={'soon' if name == 'held' else 'never'}"))
            program.process.send_signal(signal.SIGTERM)
            await driver.says("until", state="draining")
            await driver.post("later", prompt="words=3 n=later")
            (tmp_path / "soon").touch()
            assert text_of(await driver.done("held")) == said("words=10 n=soon")
            assert (await driver.done("cut"))["finish_reason"] in ("interrupted", "stopped")
            await anyio.to_thread.run_sync(program.stop)
            with crowd_served(folder) as again:
                hostile.to = port_of(again)
                assert text_of(await driver.done("later")) == said("words=3 n=later")
                await agrees(driver, port_of(again), user)
                await posted_once(port_of(again), user, held, cut, "words=3 n=later")
