"""Node's programs, which not every machine has."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.support.missing import missing
from tests.support.program import ROOT

CLIENT = ROOT / "clients/js"
TSC = ROOT / ".venv/node/node_modules/typescript/bin/tsc"  # `make .venv/bin/.installed-clients` brings it
STRICT = ("--strict", "--noEmit", "--target", "ES2022", "--module", "NodeNext", "--lib", "ES2022,DOM,DOM.Iterable")


def needs_npm() -> None:
    """Skip the test, or in CI fail it, where Node's programs are missing."""
    lacks = [name for name in ("node", "npm") if not shutil.which(name)] + [str(TSC)] * (not TSC.exists())
    if lacks:
        missing(f"there is no {', no '.join(lacks)}: apt-get install nodejs npm, then make test")


def runs(*command: str, cwd: Path = ROOT) -> str:
    """Run it to its end, which is good; what it printed."""
    ran = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
    return ran.stdout


def packed(folder: Path) -> Path:
    """A project in the folder that has nothing but the packed and installed client."""
    needs_npm()
    copy = folder / "client"
    shutil.copytree(CLIENT, copy, ignore=shutil.ignore_patterns("types", "node_modules"))
    path = f"{TSC.parent.parent.parent / '.bin'}:{os.environ['PATH']}"
    archive = runs("env", f"PATH={path}", "npm", "pack", "--silent", "--pack-destination", str(folder), cwd=copy).split()[-1]
    project = folder / "project"
    project.mkdir()
    (project / "package.json").write_text('{"private": true, "type": "module"}')
    runs("npm", "install", "--silent", "--offline", "--no-audit", "--no-fund", f"../{archive}", cwd=project)
    return project
