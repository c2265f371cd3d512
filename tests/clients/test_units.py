"""The JavaScript client's own tests, by Node's runner."""

from tests.support.npm import needs_npm, runs


def test_nodes_runner_finds_nothing() -> None:
    needs_npm()
    runs("node", "--test", "tests/clients/units.test.mjs")
