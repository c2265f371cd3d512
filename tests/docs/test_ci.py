"""`.ci/run` before it runs the checks: which packages it asks apt for, on machines that have different programs."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.program import ROOT

CHECKS = [
    "make test",
    "make test-nodes",
    "make test-docs",
    "make test-agents",
    "make test-page",
    "make test-js",
    "make test-clients",
    "make test-protocol",
    "make conformance",
]
PACKAGES = ["python3-venv", "nodejs", "npm", "libatomic1", "nginx", "chromium"]
PROGRAMS = ["venv", "node", "npm", "libatomic1", "nginx", "chromium"]
# The machine's programs, beside bash's own: apt-get and make write down what they were asked for.
STUBS = {
    "id": "echo $USER_ID",
    "make": 'echo "make $*" >> ran',
    "python3": 'case "$2" in *ensurepip*) [ -e "$PATH/venv" ] ;; *) [ -e "$PATH/libatomic1" ] ;; esac',
    "apt-get": """
        package=${@: -1}
        case "$*" in
            update*) echo update >> ran; echo > "$PATH/listed" ;;
            *) echo "install $package" >> ran
                [ -e "$PATH/listed" ] && [ "$package" != "$CONFLICTING" ] || { echo "E: $package" >&2; exit 100; }
                case $package in nodejs) package=node ;; python3-venv) package=venv ;; esac
                echo > "$PATH/$package"; chmod +x "$PATH/$package" ;;
        esac""",
}
Machine = Callable[..., tuple[list[str], str]]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Run the script where only these programs are; return what it ran, and what it complained of."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    (programs := tmp_path / "programs").mkdir()
    for name in ("bash", "dirname", "chmod"):
        (programs / name).symlink_to(shutil.which(name) or "")

    def run(*has: str, user: int = 0, conflicting: str = "") -> tuple[list[str], str]:
        for name, text in (STUBS | dict.fromkeys(has, "")).items():
            (programs / name).write_text(f"#!{shutil.which('bash')}\n{text}\n")
            (programs / name).chmod(0o755)
        env = {"PATH": str(programs), "USER_ID": str(user), "CONFLICTING": conflicting}
        ended = subprocess.run([tmp_path / ".ci" / "run"], env=env, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        return (tmp_path / "ran").read_text().splitlines(), ended.stderr

    return run


def test_a_bare_machine_is_given_each_package_by_itself_and_the_list_of_packages_once(machine: Machine) -> None:
    first, *others = (f"install {package}" for package in PACKAGES)
    assert machine() == ([first, "update", first, *others, *CHECKS], "")


def test_the_list_of_packages_is_left_alone_where_it_serves(machine: Machine) -> None:
    assert machine("listed", "venv", "node", "npm", "libatomic1", "nginx") == (["install chromium", *CHECKS], "")


def test_a_package_that_conflicts_is_named_and_keeps_no_other_away(machine: Machine) -> None:
    ran, complaints = machine("listed", "venv", "node", "libatomic1", "nginx", conflicting="npm")
    assert ran == ["install npm", "update", "install npm", "install chromium", *CHECKS]
    assert complaints.startswith("E: npm\n.ci/run: npm is missing")
    assert "chromium" not in complaints


def test_nothing_is_installed_where_everything_is(machine: Machine) -> None:
    assert machine(*PROGRAMS) == (CHECKS, "")


def test_a_browser_of_another_name_is_a_browser(machine: Machine) -> None:
    assert machine("venv", "node", "npm", "libatomic1", "nginx", "chromium-browser") == (CHECKS, "")


def test_where_nothing_may_be_installed_what_is_missing_is_named(machine: Machine) -> None:
    ran, complaints = machine("venv", "node", "libatomic1", "nginx", user=1000)
    assert ran == CHECKS
    assert [line.split()[1] for line in complaints.splitlines()] == ["npm", "chromium"]
