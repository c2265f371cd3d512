"""Titles as models write them, made into one plain line, and those of tools, made of their names."""

import re

LONGEST = 200  # characters of a title that are read

LABEL = re.compile(r"^(chat )?(title|titel|titre|título)\s*:\s*", re.IGNORECASE)
MARKUP = re.compile(r"^(#+|[-*>]|\d+\.)\s+|(?<!\w)[*_`]{1,3}(?=\S)|(?<=\S)[*_`]{1,3}(?!\w)")
QUOTES = "\"'“”„‘’«»‹›「」"


def plain_title(said: str) -> str:
    """The first line that says something, without quotes, Markdown, a label or a full stop at its end."""
    for line in said.splitlines():
        title = LABEL.sub("", MARKUP.sub("", line.strip()).strip(QUOTES + " "))
        if title := MARKUP.sub("", title).strip(QUOTES + " ").removesuffix("."):
            return title[:LONGEST]
    return ""


def tool_title(name: str) -> str:
    """`get_weather`, `getWeather` and `get-weather` as a person would say it: Get weather."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name[:LONGEST]).replace("_", " ").replace("-", " ").split()
    title = " ".join(word if word.isupper() and len(word) > 1 else word.lower() for word in words)
    return title[:1].upper() + title[1:] or "Tool"
