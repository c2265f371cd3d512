"""nginx as a process: with the configuration that the project brings, and with one that has nothing but defaults."""

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.client import TIMEOUT_S
from tests.support.missing import missing
from tests.support.program import ROOT

LOOK_S = 0.02  # seconds between looks whether it listens
PLACES = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")  # its own are a package's, and root's

DEFAULTS = """
events {}
http {
    access_log off;
    server {
        listen 8080;
        location / {
            proxy_pass http://node-a:8000;
        }
    }
}
"""
# What of deploy/nginx.conf is of its container, its network and its nginx, and not of how it passes requests on.
CONTAINERS = [
    (r"user nginx;|pid [^;]+;|worker_rlimit_nofile [^;]+;|resolver [^;]+;", ""),
    (r"server node-b[^;]+;", ""),
    (r"(server node-a:8000) resolve", r"\1"),
    (r"access_log /dev/stdout threadcast;", "access_log off;"),
]


def ours() -> str:
    """The configuration of deploy/nginx.conf, for one node on this machine."""
    text = (ROOT / "deploy/nginx.conf").read_text()
    for pattern, instead in CONTAINERS:
        text, changes = re.subn(pattern, instead, text)
        assert changes, pattern
    return text


@contextmanager
def nginx(folder: Path, configuration: str, behind: int) -> Iterator[int]:
    """An nginx in front of this port, until the block ends; its own port."""
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if binary is None:
        missing("there is no nginx: apt install nginx")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    folder.mkdir()
    places = "".join(f"{name}_temp_path {folder}/{name};\n" for name in PLACES)
    text = configuration.replace("http {", f"http {{\n{places}", 1)
    text = text.replace("node-a:8000", f"127.0.0.1:{behind}").replace("listen 8080", f"listen 127.0.0.1:{port}")
    (folder / "nginx.conf").write_text(f"daemon off;\npid {folder}/pid;\n{text}")
    command = [binary, "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + TIMEOUT_S
        while not _listens(port):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(LOOK_S)  # it says nowhere that it listens
        yield port
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
