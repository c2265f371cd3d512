"""`make test-protocol`: a server's `/asyncapi.json` and `/openapi.json` before judges that others have made.

AsyncAPI's own parser and a validator of OpenAPI read the documents; schemathesis holds the server to the second for SECONDS,
with all of its checks. Exits with 1 if any of them finds a defect.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.request import urlopen

from tests.support.program import ROOT, run, serving
from tests.support.server import world

SECONDS = 20
SEED = 20_261_121
BIN = Path(sys.executable).parent
PARSE = str(ROOT / "tests/programs/asyncapi.cjs")
ENVIRON = {
    **os.environ,
    "NODE_PATH": str(ROOT / ".venv/node/node_modules"),
    "PYTHONPATH": str(ROOT),
    "SCHEMATHESIS_HOOKS": "tests.programs.hooks",
}
ENDLESS = ("--exclude-path", "/api/v1/events")  # which has no end that could be judged
ROOMY = {"RATE_LIMIT": "1000000/minute", "MAX_RUNS_PER_USER": "1000", "OFFLINE_DELAY_MS": "0"}


def judge(folder: Path, name: str, *command: str, text: bytes | None = None) -> bool:
    """Whether this program finds nothing; what it says is printed."""
    print(f"\n{name}", flush=True)
    good = subprocess.run(command, input=text, env=ENVIRON, cwd=folder, timeout=SECONDS + 60).returncode == 0
    print("no defect" if good else "DEFECTS", flush=True)
    return good


def judge_all(folder: Path) -> bool:
    """Whether all find nothing."""
    with serving(world(folder), **ROOMY) as program:
        url = program.url.replace("ws://", "http://").removesuffix("/api/v1/ws")
        documents = {name: urlopen(f"{url}/{name}.json", timeout=10).read() for name in ("asyncapi", "openapi")}
        (folder / "openapi.json").write_bytes(documents["openapi"])
        bearer = f"Authorization: Bearer {run(folder, 'token', 'alice@acme.example').stdout.strip()}"
        bounds = ["--checks", "all", "--max-time", str(SECONDS), "--seed", str(SEED), "--generation-database", "none"]
        judged = [
            judge(folder, "@asyncapi/parser", "node", PARSE, text=documents["asyncapi"]),
            judge(folder, "openapi-spec-validator", f"{BIN}/openapi-spec-validator", "openapi.json"),
            judge(folder, "schemathesis", f"{BIN}/st", "run", f"{url}/openapi.json", "-H", bearer, *ENDLESS, *bounds),
        ]
        judged.append("internal error" not in program.log)
    return all(judged)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(0 if judge_all(Path(folder)) else 1)
