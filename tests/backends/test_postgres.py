"""What is particular to PostgreSQL: its URL, its schema that is not migrated at start, its sessions, locks and deadlocks."""

import sys
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import anyio
import anyio.to_thread
import pytest
from sqlalchemy import Select, Update, func, select, text, update

import backends.postgres
from backends import migrate, open_storage
from backends.nodes import BURY, RENEW_NODE, Membership
from backends.postgres import pool
from backends.postgres.storage import POSTGRES, READERS, WRITERS, PostgresStorage
from backends.search import PAGE_ON_POSTGRES
from backends.statements import Prepared
from backends.storage import Conflict, Storage
from backends.tables import users
from settings import Settings, SettingsError, load_settings
from tests.support.agents import HeldAgent
from tests.support.client import TIMEOUT_S
from tests.support.database import OnPostgres, count, opened, rows, where
from tests.support.house import open_house
from tests.support.ordering import got, prompts_of, said
from tests.support.postgres import GUARDED, Postgres
from tests.support.program import run, serving
from tests.support.storages import ids, storage, template, user
from tests.support.world import ALICE, WORLD, uuid

__all__ = ["storage", "template"]  # the fixtures

ENGINES = ("postgres",)
BEHIND = "Error: the database's schema is behind this program: run `python server.py migrate`\n"
QUOTE = "'"
PASSWORD = "p@ss:w/o#rd %20?&'"


@pytest.fixture
def empty(postgres: Postgres) -> Iterator[str]:
    """The URL of a database without a schema."""
    with postgres.database() as url:
        yield url


def test_the_command_line_refuses_a_schema_that_is_behind_and_brings_it_up_to_date(tmp_path: Path, empty: str) -> None:
    (tmp_path / "world.json").write_bytes(WORLD)
    for arguments in (("serve", "--port", "0"), ("load", "world.json"), ("token", "alice@acme.example")):
        refused = run(tmp_path, *arguments, DATABASE_URL=empty)
        assert (refused.returncode, refused.stderr) == (1, BEHIND)
    for _ in range(2):
        migrated = run(tmp_path, "migrate", DATABASE_URL=empty)
        assert (migrated.returncode, migrated.stdout) == (0, "the schema is up to date\n")
    assert run(tmp_path, "load", "world.json", DATABASE_URL=empty).stdout.startswith("loaded 3 users")
    assert run(tmp_path, "token", "alice@acme.example", DATABASE_URL=empty).stdout.startswith("ey")
    with serving(tmp_path, DATABASE_URL=empty) as program, serving(tmp_path, DATABASE_URL=empty) as other:
        assert program.stop() == other.stop() == 0
        assert "Traceback" not in program.log + other.log
    assert list(tmp_path.iterdir()) == [tmp_path / "world.json"]


def test_sqlite_is_migrated_by_the_same_command(tmp_path: Path) -> None:
    assert run(tmp_path, "migrate").stdout == "the schema is up to date\n"
    assert count(tmp_path / "threadcast.db", "users") == 0


@pytest.mark.parametrize("command", ["migrate", "serve"])
@pytest.mark.parametrize("wrong", ["port", "database", "password"])
def test_a_database_that_cannot_be_had_is_said_in_one_line_without_the_password(
    tmp_path: Path, postgres: Postgres, command: str, wrong: str, guarded: None
) -> None:
    port = 1 if wrong == "port" else postgres.port
    url = f"postgresql://{GUARDED}:wrong-password@127.0.0.1:{port}/{'nowhere' if wrong == 'database' else 'postgres'}"
    refused = run(tmp_path, command, DATABASE_URL=url if wrong != "database" else url.replace(GUARDED, "threadcast"))
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: the database of THREADCAST_DATABASE_URL cannot be used: ")
    assert refused.stderr.count("\n") == 1
    assert "wrong-password" not in refused.stderr


@pytest.fixture
def guarded(postgres: Postgres) -> Iterator[None]:
    """There is a role that needs the PASSWORD."""
    postgres.execute(f"CREATE ROLE {GUARDED} LOGIN SUPERUSER PASSWORD '{PASSWORD.replace(QUOTE, 2 * QUOTE)}'")
    yield
    postgres.execute(f"DROP ROLE {GUARDED}")


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+asyncpg"])
async def test_a_url_may_have_a_password_or_name_a_socket(
    postgres: Postgres, settings: Settings, guarded: None, scheme: str
) -> None:
    database = settings.database_url.rpartition("/")[2]
    password = f"{GUARDED}:{quote(PASSWORD, safe='')}"
    for url in (
        f"{scheme}://{password}@127.0.0.1:{postgres.port}/{database}?sslmode=prefer",
        f"{scheme}://threadcast@/{database}?host={postgres.folder}&port={postgres.port}",
    ):
        there = load_settings({"THREADCAST_DATABASE_URL": url})
        await migrate(there)
        async with open_storage(there) as storage:
            await storage.fetch_all(select(users))


async def test_without_the_extra_the_refusal_names_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(backends.postgres, "storage")
    monkeypatch.delitem(sys.modules, "backends.postgres.storage")
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(SettingsError, match=r"pip install 'threadcast\[postgres\]'"):
        async with open_storage(settings):
            pass


async def test_rows_are_stored_as_postgres_has_them(storage: Storage, settings: Settings) -> None:
    await storage.write(user(1))
    query = (
        "SELECT pg_typeof(id)::text AS id, pg_typeof(created_at)::text AS at, now() - created_at < '1 min' AS now FROM users"
    )
    assert rows(where(settings), query) == [{"id": "uuid", "at": "timestamp with time zone", "now": True}]


async def test_few_connections_are_held_and_none_is_given_up_for_an_error(storage: Storage, settings: Settings) -> None:
    await storage.write(user(0))

    async def fail(number: int) -> None:
        with pytest.raises(Conflict):
            await storage.write(user(number), user(0))
        await storage.fetch_all(select(users))

    query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'threadcast' AND datname = current_database()"
    held = []
    for _ in range(2):
        async with anyio.create_task_group() as tasks:
            for number in range(1, 101):
                tasks.start_soon(fail, number)
        held.append({row["pid"] for row in rows(where(settings), query)})
    assert held[0] == held[1]
    assert len(held[0]) == READERS + WRITERS


@pytest.mark.parametrize("limited", ["statement", "idle_in_transaction_session"])
async def test_what_is_given_up_here_is_ended_by_the_database(storage: Storage, limited: str) -> None:
    limit: Select[tuple[str]] = select(func.current_setting(f"{limited}_timeout").label("limit"))
    assert await storage.fetch_all(limit) == [{"limit": "10s"}]


@pytest.fixture
async def other(storage: Storage, settings: Settings) -> AsyncIterator[OnPostgres]:
    """Another client, in a transaction in which it has changed user 1 of 1 to 3."""
    await storage.write(user(1), user(2), user(3))
    with opened(where(settings)) as connection:
        connection.execute("UPDATE users SET name = 'other' WHERE id = ?", [uuid(1)])
        yield connection


async def blocked(settings: Settings, wanted: int) -> set[int]:
    """Wait until so many of the storage's connections wait for a lock. Their processes."""
    query = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with anyio.fail_after(TIMEOUT_S):
        while len(found := await anyio.to_thread.run_sync(rows, where(settings), query)) < wanted:
            pass
    return {row["pid"] for row in found}


def rename(number: int) -> Update:
    return update(users).where(users.c.id == uuid(number)).values(name="ours")


async def test_writes_that_wait_for_a_lock_hold_up_no_read(storage: Storage, settings: Settings, other: OnPostgres) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(2 * WRITERS):
            tasks.start_soon(storage.write, rename(1))
        await blocked(settings, WRITERS)
        assert await ids(storage) == {uuid(1), uuid(2), uuid(3)}
        other.connection.commit()
    assert {row["name"] for row in await storage.fetch_all(select(users.c.name))} == {"ours", None}


async def test_writes_that_wait_for_a_lock_hold_up_no_lease(storage: Storage, settings: Settings, other: OnPostgres) -> None:
    nodes, dead = Membership(storage), Membership(storage)
    async with anyio.create_task_group() as tasks:
        for _ in range(2 * WRITERS):
            tasks.start_soon(storage.write, rename(1))
        await blocked(settings, WRITERS)
        with anyio.fail_after(TIMEOUT_S):
            await dead.enter()
            await nodes.enter()
            await nodes.renew()
            assert await storage.apart.write(only_if=(BURY, {"node": dead.lease.id, "count": 0}))
            await nodes.leave()
        other.connection.commit()


async def test_a_burial_that_waits_for_a_lock_holds_up_no_renewal(storage: Storage, settings: Settings) -> None:
    nodes, dead = Membership(storage), Membership(storage)
    await nodes.enter()
    await dead.enter()
    with opened(where(settings)) as connection:  # as of a machine that has gone in the middle of its renewal
        connection.execute("UPDATE nodes SET renewals = 1 WHERE id = ?", [dead.lease.id])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(storage.apart.write, only_if=(BURY, {"node": dead.lease.id, "count": 0})))
            await blocked(settings, 1)
            with anyio.fail_after(TIMEOUT_S):
                assert await storage.write(only_if=(RENEW_NODE, {"node": nodes.lease.id}))
            connection.connection.rollback()


async def test_the_loser_of_a_deadlock_is_done_again(storage: Storage, settings: Settings, other: OnPostgres) -> None:
    other.execute("SET deadlock_timeout = '1h'")  # whoever looks for a deadlock loses it: the other must not look
    with opened(where(settings)) as third:  # holds ours back, so that the other waits for us before we wait for the other
        third.execute("UPDATE users SET name = 'third' WHERE id = ?", [uuid(3)])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(storage.write, rename(2), rename(3), rename(1))
            await blocked(settings, 1)
            async with anyio.create_task_group() as winner:
                theirs = partial(other.execute, "UPDATE users SET name = 'other' WHERE id = ?", [uuid(2)])
                winner.start_soon(anyio.to_thread.run_sync, theirs)
                await blocked(settings, 2)
                third.connection.rollback()
            other.connection.commit()
    assert [row["name"] for row in await storage.fetch_all(select(users.c.name))] == ["ours"] * 3


async def test_who_gives_up_while_a_lock_is_waited_for_harms_nobody(
    storage: Storage, settings: Settings, other: OnPostgres
) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(2 * WRITERS):
            tasks.start_soon(storage.write, rename(1))
        await blocked(settings, WRITERS)
        tasks.cancel_scope.cancel()
    other.connection.rollback()
    await storage.write(rename(3))
    assert await ids(storage) == {uuid(1), uuid(2), uuid(3)}


async def test_what_somebody_waits_for_is_not_cut_by_the_close(
    storage: Storage, settings: Settings, other: OnPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CLOSE_S", "CONNECT_AGAIN_S"):
        monkeypatch.setattr(pool, name, 0.01)
    assert isinstance(storage, PostgresStorage)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(storage.write, rename(1))
        waiting = await blocked(settings, 1)
        tasks.start_soon(storage._writers.close)
        await anyio.sleep(0.2)  # there is no event for what does not happen
        assert await blocked(settings, 1) == waiting
        other.connection.commit()
    assert rows(where(settings), "SELECT name FROM users WHERE id = ?", uuid(1)) == [{"name": "ours"}]


def test_who_may_not_make_tables_is_told_so_in_one_line(tmp_path: Path, postgres: Postgres, empty: str) -> None:
    postgres.execute("CREATE ROLE stranger LOGIN")
    refused = run(tmp_path, "migrate", DATABASE_URL=empty.replace("threadcast@", "stranger@"))
    postgres.execute("DROP ROLE stranger")
    assert refused.stderr.startswith("Error: the database of THREADCAST_DATABASE_URL cannot be used: ")
    assert "permission denied" in refused.stderr
    assert refused.stderr.count("\n") == 1


async def test_a_newer_schema_is_served(settings: Settings) -> None:
    with opened(where(settings)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    async with open_storage(settings) as storage:
        await storage.write(text("SELECT 1"))


@pytest.mark.parametrize(("ci", "outcome"), [("true", "Failed"), ("", "Skipped")])
def test_without_its_programs_the_tests_say_so_and_in_ci_they_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ci: str, outcome: str
) -> None:
    monkeypatch.setattr("tests.support.postgres.programs", lambda: None)
    monkeypatch.setenv("CI", ci)
    with pytest.raises(BaseException, match="pip install") as said:
        Postgres(tmp_path)
    assert said.typename == outcome


async def test_a_message_of_a_node_of_the_version_before_comes_where_it_was_stored(settings: Settings) -> None:
    agent = HeldAgent()
    async with open_house(settings, agent) as house, house.connect() as client:
        agent.let_go("one")
        agent.let_go("two")
        chat = await said(client, "one")
        older = "id, chat_id, request, response_messages, reasoning_messages, is_completed, created_by, created_at, updated_at"
        with opened(house.database) as connection:
            for prompt, year in (("older", 2025), ("older still", 2024)):
                connection.execute(
                    f"INSERT INTO messages ({older}) VALUES (?, ?, ?, '[]', '[]', true, ?, '{year}-01-01', '{year}-01-01')",
                    (str(uuid4()), chat["id"], prompt, str(ALICE)),
                )
        chat = await said(client, "two", chat_id=chat["id"])
        assert prompts_of(chat) == ["one", "older", "older still", "two"]
        assert await got(client, chat["id"]) == chat


def test_a_search_has_its_words_looked_up_also_when_it_is_planned_without_them(settings: Settings) -> None:
    names = ("match", "user", "size", "offset")
    with opened(where(settings)) as connection:
        connection.execute(
            "INSERT INTO searchable SELECT n, gen_random_uuid(), array_to_tsvector(ARRAY['all', 'w' || n]) "
            "FROM generate_series(1, 2000) AS n"
        )
        connection.execute("ANALYZE searchable")
        connection.execute("SET plan_cache_mode = force_generic_plan")
        connection.execute(f"PREPARE search AS {Prepared(POSTGRES, PAGE_ON_POSTGRES, names).sql}")
        (found,) = connection.execute("SELECT parameter_types::text[] AS types FROM pg_prepared_statements").fetchall()
        values = {"tsquery": "'w7'", "uuid": f"'{ALICE}'"}
        asked = ", ".join(values.get(each, "25") for each in found["types"])
        plan = connection.execute(f"EXPLAIN EXECUTE search ({asked})").fetchall()
    scans = [row["QUERY PLAN"] for row in plan if "searchable" in row["QUERY PLAN"]]
    assert any("Bitmap Index Scan on ix_searchable_words" in scan for scan in scans), scans
    assert not any("searchable_pkey" in scan for scan in scans), scans
