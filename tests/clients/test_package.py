"""The npm package, as a project has it that has installed it: JavaScript against a real server, and TypeScript."""

import json
import shutil
from pathlib import Path

import pytest

from handlers.http.documents import examples
from tests.programs.typescript import FILE, declarations
from tests.support.npm import CLIENT, STRICT, TSC, needs_npm, packed, runs
from tests.support.program import ROOT, run, serving
from tests.support.server import world

USES = ROOT / "tests/clients/typescript"
MOST_LINES = 608  # of the client's JavaScript, comments included


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed(tmp_path_factory.mktemp("npm"))


def test_the_declarations_are_those_of_the_structs() -> None:
    assert FILE.read_text() == declarations(), "make types"


def test_the_client_stays_small() -> None:
    lines = [line for file in sorted((CLIENT / "src").glob("*.js")) for line in file.read_text().splitlines()]
    assert len(lines) <= MOST_LINES
    assert [line for line in lines if len(line) > 128] == []


def test_the_package_has_the_client_and_its_types_and_nothing_else(project: Path) -> None:
    installed = project / "node_modules/threadcast-client"
    files = {str(file.relative_to(installed)) for file in installed.rglob("*") if file.is_file()}
    sources = {f"src/{name}.js" for name in ("threadcast", "fold", "line")}
    types = {f"types/{name}.d.ts" for name in ("threadcast", "fold", "line", "frames")}
    assert files == {"package.json", "README.md", "LICENSE", "src/frames.d.ts"} | sources | types
    assert not json.loads((installed / "package.json").read_text()).get("dependencies")
    assert (CLIENT / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_an_installed_client_talks_to_a_server_from_node(project: Path, tmp_path: Path) -> None:
    shutil.copy(USES / "uses.mjs", project)
    with serving(world(tmp_path), OFFLINE_DELAY_MS="0") as program:
        url = program.url.replace("ws://", "http://").removesuffix("/api/v1/ws")
        token = run(tmp_path, "token", "alice@acme.example").stdout.strip()
        said = json.loads(runs("node", "uses.mjs", url, token, cwd=project))
    assert said["text"] == said["whole"]
    assert said["text"].startswith("You asked: “What is this?”")
    assert (said["finish"], said["state"]) == ("stop", "live")


def test_right_uses_are_right_and_wrong_ones_wrong_in_typescript(project: Path) -> None:
    shutil.copy(USES / "uses.ts", project)
    runs("node", str(TSC), *STRICT, "uses.ts", cwd=project)


def test_the_client_itself_is_right_in_typescript() -> None:
    needs_npm()
    runs("node", str(TSC), "--project", "tsconfig.json", "--noEmit", "--emitDeclarationOnly", "false", cwd=CLIENT)


def test_what_a_real_server_has_sent_and_was_sent_is_of_the_declared_types(project: Path) -> None:
    lines = ['import type * as all from "threadcast-client/frames";']
    for name, recorded in examples()["messages"].items():
        type = ("UnknownError" if name == "error" else name[0].upper() + name[1:]) + "Frame"
        type = type.removesuffix("Frame") if name.endswith("Request") else type
        for number, example in enumerate(recorded):
            union = "" if name == "error" else " & all.Request" if name.endswith("Request") else " & all.Frame"
            lines.append(f"export const {name}{number}: all.{type}{union} = {json.dumps(example)};")
    assert len(lines) > len(examples()["messages"])
    (project / "recorded.ts").write_text("\n".join(lines))
    runs("node", str(TSC), *STRICT, "recorded.ts", cwd=project)
