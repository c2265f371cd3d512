"""The conformance check: our own server passes, and one that is wrong in one way is caught by the rule of that.

Servers and checkers are processes, as they are for anybody; the wrong ones are ours behind a proxy that alters frames.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from conformance.assets import LOAD_FILE, load_file
from conformance.payloads import NOTHING_ASKED
from conformance.rules import RULES
from handlers.load_file import DEMO_FILE
from tests.programs.conform import CHECKER, command, command_for_all, seeded
from tests.support.altering import (
    Alteration,
    altered,
    as_it_is,
    doubles_the_end,
    drops_a_delta,
    ends_without_telling,
    forgets_the_id,
    says,
    swaps_keys,
)
from tests.support.program import ROOT, Program

QUICK = {"OFFLINE_DELAY_MS": "4", "PING_SECONDS": "1"}
UNLIMITED = {"RATE_LIMIT": "100000/minute"}
Verdicts = dict[str, str]  # of each rule, what its line says after its sentence


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("conformance")


@pytest.fixture(scope="module")
def program(folder: Path) -> Iterator[Program]:
    with seeded(folder, **QUICK, **UNLIMITED) as program:
        yield program


def verdicts(output: str) -> Verdicts:
    """What the lines say of the rules."""
    sentences = {f"{rule.number:<5} {rule.sentence} ": rule.number for rule in RULES}
    return {
        number: line.removeprefix(start)
        for line in output.splitlines()
        for start, number in sentences.items()
        if line.startswith(start)
    }


def check(command: list[str]) -> tuple[int, str]:
    """The exit code of the checker, and what it printed."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stderr == ""
    return done.returncode, done.stdout


async def check_altered(
    folder: Path, program: Program, wrong: Alteration, *options: str, asked: tuple[bytes, bytes] = (b"", b"")
) -> tuple[int, Verdicts]:
    """The same of the program behind a proxy that alters its frames."""
    port = program.url.split("/")[2].split(":")[1]
    async with AsyncExitStack() as stack:
        changed = await stack.enter_async_context(altered(int(port), wrong, asked))
        done = await anyio.run_process(
            command(folder, program.url.replace(port, str(changed)), *options), check=False, cwd=ROOT
        )
    return done.returncode, verdicts(done.stdout.decode())


def failed(found: Verdicts) -> set[str]:
    return {number for number, words in found.items() if words.startswith("FAILED, ")}


def test_our_server_keeps_every_rule_with_its_default_limits(tmp_path: Path) -> None:
    with seeded(tmp_path, **QUICK) as program:
        code, output = check(command_for_all(tmp_path, program.url))
        found = verdicts(output)
        assert {number: words for number, words in found.items() if words != "passed"} == {}
        assert (code, set(found)) == (0, {rule.number for rule in RULES})
        assert "waits" not in output, "the rules alone go beyond the default rate"
        assert program.stop() == 0
    assert "Traceback" not in program.log


@pytest.mark.parametrize(
    ("wrong", "sections", "must", "may"),
    [
        pytest.param(says('"not found","retry_after":1', '"not found"'), "3.12,3.14", {"3.14"}, set(), id="says when not to"),
        pytest.param(swaps_keys, "3,4", {"3.1"}, set(), id="swaps two keys"),
        pytest.param(drops_a_delta, "3,4,5", {"5.11"}, {"3.10", "4.18", "4.19", "4.24", "5.20"}, id="drops a delta"),
        pytest.param(doubles_the_end, "5,4.17", {"5.10", "4.17"}, {"5.12", "5.13", "5.20", "5.21"}, id="doubles the complete"),
        pytest.param(says("ask something", NOTHING_ASKED), "4,5", {"4.4", "4.5"}, set(), id="has other words"),
        pytest.param(forgets_the_id, "1,2.1,2.2,2.3,2.4", {"2.1", "2.3"}, set(), id="forgets the id"),
        pytest.param(
            says('"send_method":"SenderOnly"', '"send_method":"All"'), "3", {"3.5"}, set(), id="has another send_method"
        ),
        pytest.param(says('"recovered":true', '"recovered":false'), "6", {"6.8"}, set(), id="claims to have recovered"),
        pytest.param(says('"event":"beat"', '"event":"heartbeat"'), "6.9", {"6.9"}, set(), id="has no heartbeat"),
        pytest.param(says('"title":"See ', '"title":"View '), "4,5", {"5.3"}, set(), id="titles in its own way"),
        pytest.param(says('"sent_by":{"id":"x', '"sent_by":{"id":"c'), "1.1", {"1.1"}, set(), id="does not say who"),
    ],
)
async def test_a_server_that_is_wrong_in_one_way_is_caught(
    folder: Path, program: Program, wrong: Alteration, sections: str, must: set[str], may: set[str]
) -> None:
    code, found = await check_altered(folder, program, wrong, "--only", sections, "--timeout", "10")
    wrongly = {number: found[number] for number in failed(found) - must - may}
    assert (must - failed(found), wrongly) == (set(), {})
    assert code == 1


@pytest.mark.parametrize(
    ("asked", "must"),
    [
        pytest.param((b"refuse=close", b"refuse=never"), {"1.6"}, id="refuses in HTTP only"),
        pytest.param((b"/v1/ws/ ", b"/v1/xx/ "), {"1.8"}, id="does not know the slash"),
        pytest.param((b"/v1/ws/x ", b"/v1/ws "), {"1.9"}, id="takes any path"),
    ],
)
async def test_a_server_that_lets_in_in_its_own_way_is_caught(
    folder: Path, program: Program, asked: tuple[bytes, bytes], must: set[str]
) -> None:
    code, found = await check_altered(folder, program, as_it_is, "--only", "1", asked=asked)
    assert (code, failed(found)) == (1, must)


async def test_a_rule_that_waits_in_vain_keeps_no_other_from_being_checked(folder: Path, program: Program) -> None:
    code, found = await check_altered(folder, program, ends_without_telling, "--only", "3.6,3.9,5.8,5.9", "--timeout", "1.5")
    assert found == {
        "3.6": "FAILED, not done after 1.5 seconds",
        "3.9": "passed",
        "5.8": "FAILED, not done after 1.5 seconds",
        "5.9": "FAILED, a prompt got no end",
    }
    assert code == 1


def test_what_needs_an_option_is_not_checked_without_it_and_has_not_failed(folder: Path, program: Program) -> None:
    code, output = check(command(folder, program.url, "--only", "1,7,8.11"))
    words = {number: words for number, words in verdicts(output).items() if words != "passed"}
    assert words == {rule.number: f"not checked, give {rule.needs}" for rule in RULES if rule.needs and rule.number != "3.13"}
    assert (code, output.splitlines()[-1].partition(" (")[0]) == (0, f"10 passed, 0 failed, {len(words)} not checked")


def test_it_waits_for_rate_limits_as_long_as_they_say(tmp_path: Path) -> None:
    with seeded(tmp_path, **QUICK, RATE_LIMIT="4/2 second") as program:
        code, output = check(command(tmp_path, program.url, "--only", "2.7,2.8,2.17"))
    assert set(verdicts(output).values()) == {"passed"}
    assert "(2.17 waits " in output
    assert code == 0


def test_without_a_server_there_is_one_line_and_another_exit_code(folder: Path, program: Program) -> None:
    for url, words in (
        ("ws://127.0.0.1:9/api/v1/ws", "no server at ws://127.0.0.1:9/api/v1/ws: "),
        ("http://127.0.0.1:9", "no server at http://127.0.0.1:9: "),
        (program.url, f"{program.url} refuses TOKEN with HTTP 401\n"),
    ):
        done = subprocess.run([*CHECKER, url, "x", "y"], cwd=ROOT, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert done.stderr.startswith(words)


@pytest.mark.parametrize("arguments", [[], ["ws://127.0.0.1:9"], ["ws://127.0.0.1:9", "x", "y", "--only", "9"]])
def test_what_cannot_be_meant_is_said(arguments: list[str]) -> None:
    done = subprocess.run([*CHECKER, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: " in done.stderr


def test_the_file_that_it_prints_is_what_the_rules_need_and_not_in_the_demos_way() -> None:
    done = subprocess.run([*CHECKER, "--assets"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{load_file()}\n")
    ours, demo = json.loads(done.stdout), json.loads(DEMO_FILE.read_text())
    assert ours == LOAD_FILE
    for key in ("users", "assets"):
        assert not {one["id"] for one in ours[key]} & {one["id"] for one in demo[key]}


def test_the_rules_are_numbered_by_section_and_each_is_a_sentence() -> None:
    numbers = [rule.number for rule in RULES]
    assert len(set(numbers)) == len(numbers)
    assert {number.split(".")[0] for number in numbers} == set("12345678")
    for section in "12345678":
        found = sorted(int(number.split(".")[1]) for number in numbers if number.startswith(f"{section}."))
        assert found == list(range(1, len(found) + 1))
    assert all(rule.sentence.endswith(".") for rule in RULES)


def test_it_runs_with_nothing_installed_but_websockets() -> None:
    seen = "import sys; import conformance.__main__; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", seen], cwd=ROOT, capture_output=True, text=True)
    assert not set(done.stdout.split()) & {"anyio", "click", "msgspec", "rich", "schemas", "handlers", "backends", "starlette"}
