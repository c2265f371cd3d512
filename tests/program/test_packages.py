"""Both packages as others get them: built, installed where nothing else is, and used there."""

import re
import shutil
import subprocess
import sys
import tarfile
import venv
from asyncio import Event, create_subprocess_exec
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit
from urllib.request import urlopen
from zipfile import ZipFile

from backends.agent import AgentTask
from backends.agents.own import OwnAgent
from settings import VERSION, Settings
from tests.support.client import TIMEOUT_S
from tests.support.house import open_house
from tests.support.program import ROOT, serving
from tests.support.proxy import Proxy

BECOME = "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"
USES = """
import asyncio, sys
from threadcast_client import Threadcast

async def main():
    async with Threadcast(sys.argv[1], sys.argv[2]) as client:
        states = []
        client.subscribe(states.append)
        answer = client.post("count")
        text = "".join([text async for text in answer])
        print(text, (await answer.done).finish_reason, states.count("connecting"))

asyncio.run(main())
"""


CLIENT = {f"{name}.js": (ROOT / f"clients/js/src/{name}.js").read_bytes() for name in ("threadcast", "fold", "line")}


def built(package: str, tmp_path: Path) -> Path:
    """The wheel of the package in this folder, built from its source distribution, from a copy of what git has."""
    files = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT / package, text=True)
    copy = tmp_path / "copy"
    for file in files.split():
        (copy / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / package / file, copy / file, follow_symlinks=False)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path), str(copy))
    (source,), (wheel,) = tmp_path.glob(f"*-{VERSION}.tar.gz"), tmp_path.glob(f"*-{VERSION}-py3-none-any.whl")
    assert source.exists()
    folder = wheel.name.removesuffix("-py3-none-any.whl")
    assert ZipFile(wheel).read(f"{folder}.dist-info/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    return wheel


def installed(wheel: Path, folder: Path) -> Path:
    """The folder of the programs of an environment that has this wheel and what it needs, and nothing else."""
    venv.create(folder)
    pip = (sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "--no-compile", str(wheel))
    return folder / "bin"


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


async def test_the_client_alone_posts_streams_and_goes_on_after_a_cut(settings: Settings, tmp_path: Path) -> None:
    said, may_go_on = Event(), Event()

    async def pausing(task: AgentTask) -> AsyncGenerator[Any, None]:
        yield "one "
        said.set()
        await may_go_on.wait()
        yield "two"

    wheel = built("clients/python", tmp_path)
    assert "threadcast_client/py.typed" in ZipFile(wheel).namelist()
    python = installed(wheel, tmp_path / "empty") / "python"
    async with open_house(settings, agent=OwnAgent(pausing)) as house:
        proxy = Proxy(urlsplit(house.url).port or 0)
        async with proxy.serving() as port:
            arguments = (str(python), "-W", "error", "-c", USES, f"http://127.0.0.1:{port}", house.token())
            process = await create_subprocess_exec(*arguments, cwd=tmp_path, stdout=PIPE, stderr=PIPE)
            await said.wait()
            proxy.cut()
            may_go_on.set()
            printed, complained = await process.communicate()
    # connected again once, after the first time, which was before it was asked for states
    assert (printed.decode(), complained.decode()) == ("one two stop 1\n", "")


def test_the_server_alone_serves_with_its_page(tmp_path: Path) -> None:
    wheel = built(".", tmp_path)
    (source,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(source) as archive, ZipFile(wheel) as files:  # none of them has a link to a file that is not there
        assert not [member.name for member in archive if member.issym() or member.islnk()]
        for name, data in CLIENT.items():
            assert files.read(f"handlers/http/static/{name}") == data
            (member,) = (each for each in archive if each.name.endswith(f"/handlers/http/static/{name}"))
            assert archive.extractfile(member).read() == data  # type: ignore[union-attr]
    program = installed(wheel, tmp_path / "empty") / "threadcast"
    command = ("-c", BECOME, str(program), "serve", "--port", "0")
    with serving(tmp_path, "--dev", command=command, JWT_SECRET="", DATABASE_URL="") as running:
        page = f"http{running.url.removeprefix('ws').removesuffix('api/v1/ws')}"
        for name, data in CLIENT.items():
            with urlopen(f"{page}{name}", timeout=TIMEOUT_S) as answer:
                assert answer.read() == data
        asked, seen = [page], set[str]()
        while asked:
            seen.add(address := asked.pop())
            with urlopen(address, timeout=TIMEOUT_S) as answer:
                text = answer.read().decode()
            found = re.findall(r'(?m)(?:src|href)="([^"#:]+)"|^import .* from "([^"]+)"', text)
            asked += {urljoin(address, one or other) for one, other in found} - seen - set(asked)
        assert {f"{page}{name}" for name in ("console.js", "parts.js", "console.css")} <= seen
        assert running.stop() == 0
