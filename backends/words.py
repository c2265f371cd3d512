"""The words of a text, as they are indexed and asked for: without case and accents, alike whatever the database.

They are made here and not by the database, since SQLite and PostgreSQL cut and fold differently, and PostgreSQL by its locale.
Scripts that put no spaces between words are cut into pairs of characters, so that any part of two characters is found.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import NamedTuple

LONGEST = 40  # characters of a word: what comes after them is not looked at
# Beginnings of so many characters are indexed as words of their own: a database would look through too many words for these.
BEGINNINGS = 3
BYTES = 2**19  # of a chat's words: half of what PostgreSQL's tsvector can hold, and as many as a novel has

# Han, kana, Hangul; Thai, Lao, Myanmar and Khmer; Han of the other planes.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1100-\u11ff\u3005-\u3007\u3040-\u30ff\u3100-\u318f\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff"
)
SPOKEN = "\u0900-\u0963\u0966-\u0dff\u0f00-\u0fff"  # scripts of India and Tibet, whose vowel signs Python takes for no letters
SYMBOLS = "\u2190-\u21ff\u2600-\u27bf\U0001f000-\U0001faff"  # arrows and emoji, each of them a word
WORD = re.compile(f"([{UNSPACED}]+)|[{SYMBOLS}]|(?:[{SPOKEN}]|[^\\W_{UNSPACED}])+")
ASCII_WORD = re.compile("[a-z0-9]+")
# Of the letters of Latin, Greek, Cyrillic, Hebrew and Arabic; other scripts write vowels so.
ACCENTS = re.compile("[\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u1ab0-\u1aff\u1dc0-\u1dff]")


class Asked(NamedTuple):
    """What a query asks for: words that are all there, the beginning of one more, and the beginnings that are indexed."""

    words: tuple[str, ...]
    beginning: str | None


def words_of(text: str) -> Iterator[str]:
    """The words, in order, each as often as it is said."""
    text, pattern = _folded(text)
    for found in pattern.finditer(text):
        if found.lastindex:
            yield from _pairs(found[0])
        else:
            yield found[0][:LONGEST]


def indexed(texts: Iterable[str]) -> set[str]:
    """The words of all texts and their indexed beginnings, each once, up to a bound: what comes first is in."""
    found: set[str] = set()
    size = 0
    for text in texts:
        for word in set(words_of(text)) - found:
            new = {word, *(beginning_of(word, length) for length in range(1, BEGINNINGS + 1))} - found
            size += sum(len(each.encode()) + 1 for each in new)
            if size > BYTES:
                return found
            found |= new
    return found


def asked(query: str) -> Asked | None:
    """What the query asks for; None if it has no word. The last word may be the beginning of one."""
    text, pattern = _folded(query)
    found = list(pattern.finditer(text))
    if not found:
        return None
    words: dict[str, None] = {}
    beginning = None
    for part in found:
        is_last = part is found[-1]
        if part.lastindex:
            pairs = list(_pairs(part[0]))
            words |= dict.fromkeys(pairs[:-1] or [beginning_of(pairs[0], 1)])
        elif not is_last or len(part[0]) >= LONGEST:
            words[part[0][:LONGEST]] = None
        elif len(part[0]) <= BEGINNINGS:
            words[beginning_of(part[0])] = None
        else:
            beginning = part[0]
    return Asked(tuple(words), beginning)


def _pairs(run: str) -> Iterator[str]:
    """Each character with the next one, and the last one alone."""
    for place in range(len(run)):
        yield run[place : place + 2]


def beginning_of(word: str, length: int = BEGINNINGS) -> str:
    """The word's beginning as it is indexed: no word has this character."""
    return f"_{word[:length]}"


def _folded(text: str) -> tuple[str, re.Pattern[str]]:
    """The text without case and accents, and what finds words in it."""
    if text.isascii():
        return text.lower(), ASCII_WORD
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return unicodedata.normalize("NFC", ACCENTS.sub("", text)), WORD
