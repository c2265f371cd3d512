"""What others run Threadcast with is true to the program, and to the tools that read it; images cannot be built here."""

import json
import re
import shlex
import subprocess
import sys
from configparser import ConfigParser
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from backends.hosting import SHUTDOWN_GRACE_S
from backends.metrics import Metrics
from backends.postgres.pool import CLOSE_S
from backends.postgres.storage import CONNECT_S
from backends.redis import broker as redis
from cli import main
from handlers.draining import FLUSH_S, INTERRUPT_S
from handlers.nodes.watch import LEAVE_S
from handlers.tasks import LAST_WORDS_S
from server import create_app
from settings import PREFIX, Settings, load_settings
from tests.support.database import count
from tests.support.house import SECRET
from tests.support.program import ROOT, serving
from tests.support.server import world

DEFAULTS = load_settings({})
STOPPED_S = (  # after the drain, at the latest, where neither PostgreSQL nor Redis answers any more
    (INTERRUPT_S + FLUSH_S + redis.BROKER_FLUSH_S + FLUSH_S)  # `drain`
    + (SHUTDOWN_GRACE_S + LAST_WORDS_S + LEAVE_S)  # uvicorn, the runs that are left, `leave`
    + (redis.BROKER_FLUSH_S + CLOSE_S + CONNECT_S)  # what was opened is closed
)
DRAINED_S = DEFAULTS.drain_seconds + STOPPED_S
NODES = ("node-a", "node-b")
PAGE = (ROOT / "docs/deploy.md").read_text()
FILES = ["Dockerfile", ".dockerignore", "compose.yaml", "deploy/nginx.conf", "deploy/threadcast.service", "docs/deploy.md"]
EVERYTHING = "\n".join((ROOT / file).read_text() for file in FILES)

NGINX = re.sub(r"(^|\s)#.*", "", (ROOT / "deploy/nginx.conf").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
IMAGE = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", "")
STEPS = [tuple(line.split(maxsplit=1)) for line in IMAGE.splitlines() if line]  # (instruction, the rest)
LAST = STEPS[max(at for at, step in enumerate(STEPS) if step[0] == "FROM") :]  # the stage that becomes the image


def unit() -> dict[str, list[str]]:
    """The values of each key of the systemd unit's [Service]."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / "deploy/threadcast.service").read_text().split("[Service]")[1].split("[Install]")[0].splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def seconds(text: str) -> int:
    """Of `75s`, and of systemd's bare numbers."""
    return int(text.removesuffix("s"))


def last(instruction: str) -> str:
    """The only one of this kind in the image's own stage."""
    (found,) = (rest for name, rest in LAST if name == instruction)
    return found


def ran(*command: str) -> str:
    """What a linter has to say."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


# What they say of the program


def test_each_setting_that_is_named_is_there() -> None:
    known = {PREFIX + field.name.upper() for field in fields(Settings)}
    assert set(re.findall(rf"{PREFIX}[A-Z_]+", EVERYTHING)) - known == set()


def test_each_option_that_is_named_is_there() -> None:
    named = {name for line in re.findall(r"(?:server\.py|-m server) ([^`\n]+)", PAGE) for name in re.findall(r"--\w+", line)}
    assert "--workers" in named
    assert named <= {option for command in main.commands.values() for each in command.params for option in each.opts}


def test_each_command_that_is_named_is_there() -> None:
    named = set(re.findall(r"(?:server\.py|-m server) (\w+)", PAGE))
    assert "migrate" in named
    assert named <= set(main.commands)


def test_each_metric_that_is_named_is_there() -> None:
    families = Metrics().registry.collect()
    known = {f"{family.name}{'_total' if family.type == 'counter' else ''}" for family in families}
    assert set(re.findall(r"`(threadcast_\w+)", PAGE)) - known == set()


def test_each_extra_that_is_named_is_there() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    named = {name for extras in re.findall(r"'\.\[([\w,]+)\]'", EVERYTHING) for name in extras.split(",")}
    assert named == {"openai", "postgres", "redis"}
    assert named - set(setup["options.extras_require"]) == set()


def test_each_file_that_is_named_is_there() -> None:
    named = set(re.findall(r"(?:deploy|docs)/[\w.]+", EVERYTHING + (ROOT / "README.md").read_text()))
    assert {"deploy/nginx.conf", "deploy/threadcast.service", "docs/deploy.md"} <= named
    assert [name for name in named if not (ROOT / name.rstrip(".")).exists()] == []


def test_the_backup_of_the_page_has_what_is_there_while_it_serves(tmp_path: Path) -> None:
    (command,) = re.findall(r"^python3 (-c .*VACUUM.*)$", PAGE, re.MULTILINE)
    with serving(world(tmp_path), DATABASE_URL=f"sqlite+aiosqlite:///{tmp_path}/var/threadcast.db"):
        subprocess.run([sys.executable, *shlex.split(command)], cwd=tmp_path, check=True)
    assert count(tmp_path / "backup.db", "users") == count(tmp_path / "var/threadcast.db", "users")


def test_how_long_a_stop_may_take_is_what_the_page_says() -> None:
    assert re.findall(r"(\d+)\s+seconds\s+more", PAGE) == [str(round(STOPPED_S))]
    assert int(re.findall(r"--stop-timeout (\d+)", PAGE)[0]) > DRAINED_S


# The image


def test_the_linter_of_dockerfiles_has_nothing_to_say() -> None:
    assert ran(str(Path(sys.executable).parent / "hadolint"), "Dockerfile") == ""


def test_the_image_is_small_pinned_and_not_roots() -> None:
    bases = [rest.split() for name, rest in STEPS if name == "FROM"]
    assert len(bases) == 2
    assert {base[0] for base in bases} == {"python:3.11-slim-bookworm"}
    assert last("USER") == "10001:10001"
    assert not [rest for name, rest in STEPS if name == "ADD" or "curl" in rest or "wget" in rest or "apt-get" in rest]


def test_the_image_has_no_secret_and_no_setting_but_where_to_listen() -> None:
    assert not [rest for name, rest in STEPS if name == "ARG"]
    assert set(re.findall(rf"{PREFIX}\w+", IMAGE)) == {"THREADCAST_HOST", "THREADCAST_PORT"}


def test_the_image_hears_sigterm_itself() -> None:
    assert last("STOPSIGNAL") == "SIGTERM"
    assert json.loads(last("ENTRYPOINT")) == ["python", "-m", "server"]
    assert json.loads(last("CMD")) == ["serve"]


def test_the_image_is_made_of_all_rooms_and_nothing_else() -> None:
    copied = {name.strip("/") for step, rest in STEPS if step == "COPY" and "--from" not in rest for name in rest.split()[:-1]}
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    modules = {f"{name}.py" for name in setup["options"]["py_modules"].split()}
    packages = {name.split(".")[0] for name in setup["options"]["packages"].split()}
    linked = {"clients/js/src"}  # to which links of handlers/http/static lead
    assert copied == allowed == modules | packages | linked | {"setup.cfg", "pyproject.toml", "README.md"}
    assert "*" in (ROOT / ".dockerignore").read_text().splitlines()


@pytest.mark.parametrize("alive", [True, False])
def test_the_health_check_of_the_image_tells_the_living_from_the_dead(tmp_path: Path, alive: bool) -> None:
    command = json.loads(last("HEALTHCHECK").split("CMD", 1)[1])
    assert (command[0], "8000" in command[-1], last("EXPOSE")) == ("python", True, "8000")
    with serving(world(tmp_path)) as program:
        port = program.url.split("/")[2].split(":")[1]
        if not alive:
            program.stop()
        check = [sys.executable, *command[1:-1], command[-1].replace("8000", port)]
        assert (subprocess.run(check, stderr=subprocess.DEVNULL).returncode == 0) == alive


# compose.yaml


def test_the_schema_of_compose_files_has_nothing_to_say() -> None:
    check = str(Path(sys.executable).parent / "check-jsonschema")
    assert ran(check, "--builtin-schema", "vendor.compose-spec", "compose.yaml") == ""


def test_the_nodes_wait_for_the_schema_and_the_schema_for_its_database() -> None:
    for node in NODES:
        waits = {name: each["condition"] for name, each in SERVICES[node]["depends_on"].items()}
        assert waits == {"migrate": "service_completed_successfully", "redis": "service_healthy"}
    assert SERVICES["migrate"]["command"] == ["migrate"]
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert all("test" in SERVICES[name]["healthcheck"] for name in ("redis", "postgres", "nginx"))


def test_the_nodes_and_their_proxy_are_given_longer_than_a_drain() -> None:
    for name in (*NODES, "nginx"):
        assert seconds(SERVICES[name]["stop_grace_period"]) > DRAINED_S
    assert "depends_on" not in SERVICES["nginx"]  # else it is stopped before the nodes


def test_nobody_but_the_proxy_can_be_reached_and_the_data_only_by_the_nodes() -> None:
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"nginx"}
    (published,) = SERVICES["nginx"]["ports"]
    assert published.startswith("${PUBLISH:-127.0.0.1:")
    assert COMPOSE["networks"]["back"] == {"internal": True}
    assert SERVICES["nginx"]["networks"] == ["front"]
    assert all(SERVICES[name]["networks"] == ["back"] for name in ("redis", "postgres", "migrate"))


def test_all_images_are_of_a_version() -> None:
    assert all(re.fullmatch(r"[a-z]+:\d[\w.-]+", SERVICES[name]["image"]) for name in SERVICES if "build" not in SERVICES[name])


# nginx.conf; `nginx -t` wants an nginx


def test_the_proxy_knows_the_nodes_of_compose() -> None:
    assert re.findall(r"server ([\w-]+):(\d+) ", NGINX) == [(node, "8000") for node in NODES]
    assert "least_conn;" in NGINX
    assert SERVICES["nginx"]["volumes"] == ["./deploy/nginx.conf:/etc/nginx/nginx.conf:ro"]
    assert SERVICES["nginx"]["ports"][0].split(":")[-1] == re.findall(r"listen (\d+);", NGINX)[0]


def test_the_proxy_waits_longer_than_a_ping_and_a_run_take() -> None:
    waits = dict(re.findall(r"location [=~] (\S+) \{[^}]*?proxy_read_timeout (\w+);", NGINX))
    assert seconds(waits["^/api/v1/ws/?$"]) > 2 * DEFAULTS.ping_seconds + DEFAULTS.pong_seconds
    assert seconds(waits["/api/v1/chats"]) > DEFAULTS.run_seconds


def test_the_proxy_passes_the_applications_paths_but_not_those_for_the_house() -> None:
    paths = {route.path for route in create_app(DEFAULTS, SECRET).routes}  # type: ignore[attr-defined]
    exact, patterns = re.findall(r"location = (\S+) \{", NGINX), re.findall(r"location ~ (\S+) \{", NGINX)
    passed = {path for path in paths if path in exact or any(re.search(pattern, path) for pattern in patterns)}
    assert paths - passed == {"/metrics", "/healthz", "/{path:path}"}  # the last: a 404
    assert re.search(r"location / \{\s*return 404", NGINX)


def test_the_proxy_upgrades_and_tries_another_node() -> None:
    assert "proxy_http_version 1.1;" in NGINX
    (socket,) = re.findall(r"location ~ \^/api/v1/ws/\?\$ \{([^}]*)\}", NGINX)
    assert "proxy_set_header Upgrade $http_upgrade;" in socket
    elsewhere = NGINX.replace(socket, "")
    assert "Upgrade $" not in elsewhere  # an offer of h2c, say, would cost a node's answer its body
    inherited = set(re.findall(r"proxy_set_header (\S+) ", elsewhere))
    assert inherited <= set(re.findall(r"proxy_set_header (\S+) ", socket))  # a location that sets one inherits none
    assert "proxy_next_upstream error timeout http_503;" in NGINX
    assert "non_idempotent" not in NGINX


def test_the_proxy_writes_no_token_into_any_log() -> None:
    (line_format,) = re.findall(r"log_format threadcast (.*?);", NGINX, re.DOTALL)
    written = set(re.findall(r"\$(\w+)", line_format))
    assert "uri" in written
    assert written & {"request", "request_uri", "args", "query_string", "http_referer", "http_authorization"} == set()
    assert not [name for name in written if name.startswith("arg_")]
    assert re.findall(r"access_log \S+ (\w+);", NGINX) == ["threadcast"]
    server = NGINX.split("    server {")[1]
    assert re.findall(r"error_log \S+ (\w+);", server) == ["emerg"]  # the only lines in which it does not quote requests


# The systemd unit; `systemd-analyze verify` wants a systemd


def test_the_unit_gives_a_drain_its_time_and_signals_the_parent_alone() -> None:
    service = unit()
    assert service["KillSignal"] == ["SIGTERM"]
    assert service["KillMode"] == ["mixed"]  # workers would take systemd's signal and their parent's for two
    assert seconds(service["TimeoutStopSec"][0]) > DRAINED_S
    assert service["Restart"] == ["on-failure"]


def test_the_unit_starts_what_the_image_starts() -> None:
    (command,) = unit()["ExecStart"]
    assert command.split()[1:] == json.loads(last("ENTRYPOINT"))[1:] + json.loads(last("CMD"))
    assert unit()["EnvironmentFile"] == ["/etc/threadcast.env"]


def test_the_unit_and_the_nodes_have_room_for_all_connections() -> None:
    assert int(unit()["LimitNOFILE"][0]) > 2 * DEFAULTS.max_connections
    assert all(SERVICES[name]["ulimits"]["nofile"] > 2 * DEFAULTS.max_connections for name in (*NODES, "nginx"))
    assert int(re.findall(r"worker_connections (\d+);", NGINX)[0]) > 2 * DEFAULTS.max_connections
