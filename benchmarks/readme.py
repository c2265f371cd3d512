"""The README's part of `make bench`: its table is written from the results, never by hand."""

from pathlib import Path

from benchmarks.measures import Summary

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- written by make bench -->\n", "<!-- end -->\n"
COLUMNS = {  # as the README has it: as the results have it
    "words/s, K = 1": "words/s, K = 1",
    "K = 8": "words/s, K = 8",
    "K = 64": "words/s, K = 64",
    "CPU s per million words, K = 8": "server CPU s per million words, K = 8",
    "ms to the first event": "first event ms, 1 client, p50",
    "p99": "first event ms, 1 client, p99",
    "200 clients, p50": "first event ms, 200 clients, p50",
    "p99 ": "first event ms, 200 clients, p99",
    "ms a word is late, p99": "delay per word ms, p99",
    "KiB per idle connection": "KiB per idle connection",
}
LINES = ("echo ms, p50", "durable chats/s", "server CPU us per token")  # with those that Threadcast alone has: one line each


def write_readme(results: dict[str, dict[str, Summary]], machine: dict[str, object], path: Path = README) -> None:
    """Put the medians between the marks, and leave all else as it is."""
    before, _, rest = path.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    servers = list(results["words/s, K = 1"])
    rows = [["", *COLUMNS], ["---", *["---:"] * len(COLUMNS)]]
    rows += [[name, *(_number(results[figure][name].median) for figure in COLUMNS.values())] for name in servers]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    lines = "".join(
        f"- {figure.removeprefix('growth: ')}: {_by_server(found)}\n"
        for figure, found in results.items()
        if figure in LINES or (len(found) == 1 and figure not in COLUMNS.values())
    )
    described = ", ".join(f"{name} {value}" for name, value in machine.items())
    path.write_text(f"{before}{BEGIN}{table}\n{lines}\nMedians; {described}.\n{END}{after}")


def _by_server(found: dict[str, Summary]) -> str:
    if len(found) == 1:
        return _number(next(iter(found.values())).median)
    return ", ".join(f"{name} {_number(summary.median)}" for name, summary in found.items())


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
