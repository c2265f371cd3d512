"""`make settings`: write the table of docs/settings.md anew, from the rows of settings.py."""

from settings import PREFIX, rows
from tests.support.program import ROOT

PAGE = ROOT / "docs/settings.md"
BEGIN, END = "<!-- written by make settings -->\n", "<!-- end -->\n"


def table() -> str:
    """The table of all settings as Markdown."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for name, row in rows():
        default = f"`{row.default}`" if row.default else row.shown
        lines.append(f"| `{PREFIX}{name}` | {default} | {row.meaning} |")
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """The page with the table of today."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
