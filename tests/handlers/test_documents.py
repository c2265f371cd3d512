"""What both documents are made with."""

from typing import Literal

import pytest

from handlers.http.documents import components, in_words, table


def test_a_type_that_nobody_has_described_is_refused_and_not_guessed() -> None:
    class Odd:
        pass

    with pytest.raises(TypeError, match="Odd"):
        components([Odd])


def test_a_choice_of_one_is_a_constant() -> None:
    assert components([Literal["only"], Literal["a", "b"]]) == ([{"const": "only"}, {"enum": ["a", "b"]}], {})


def test_a_text_of_one_line_has_no_description() -> None:
    assert in_words("One.") == {"summary": "One."}
    assert in_words("One.\n\nTwo.") == {"summary": "One.", "description": "One.\n\nTwo."}


def test_a_table_has_a_line_below_its_heading() -> None:
    assert table(("code", "why"), (1000, "closed")) == "| code | why |\n| --- | --- |\n| 1000 | closed |"
