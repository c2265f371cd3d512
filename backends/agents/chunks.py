"""Chunks of chat completions, as model servers send them. Read leniently: each family has its habits.

The format is OpenAI's, platform.openai.com/docs/api-reference/chat-streaming. What others add: `reasoning_content` (DeepSeek,
vLLM, llama.cpp), `reasoning` (Ollama, vLLM, OpenRouter), `reasoning_details` (OpenRouter), parts with `thinking` (Mistral).
"""

import json
from typing import Any, NamedTuple

import msgspec


class Delta(msgspec.Struct):
    """What a chunk adds to the message; of an answer that is not streamed, the message itself."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: Any = None
    refusal: Any = None


class Choice(msgspec.Struct):
    """One of the answers that were asked for. We ask for one, whose index is 0."""

    index: Any = 0
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: Any = None


class Chunk(msgspec.Struct):
    """A chunk, or what some servers send in the place of one: an error, in one of its many shapes."""

    choices: list[Choice] | None = None
    usage: Any = None
    error: Any = None
    object: Any = None


class Said(NamedTuple):
    """What one chunk says. `finish` is why the answer ends there, in the server's word; empty while it goes on."""

    thought: str = ""
    text: str = ""
    refusal: str = ""
    finish: str = ""


DECODER = msgspec.json.Decoder(Chunk)


def read_chunk(data: str) -> Chunk | None:
    """The chunk; None when it is JSON that no chunk looks like. Raises ValueError for what is no JSON."""
    try:
        return DECODER.decode(data)
    except msgspec.ValidationError:
        return None
    except msgspec.DecodeError:
        # Python's own reader takes half of a surrogate pair, which servers send that cut their text anywhere.
        try:
            return msgspec.convert(json.loads(data), Chunk)
        except msgspec.ValidationError:
            return None
        except RecursionError:
            raise ValueError("nested too deeply") from None


def said(chunk: Chunk) -> Said | None:
    """What the first answer's chunk says; None when it has nothing of that answer."""
    for choice in chunk.choices or ():
        if choice.index in (0, None):
            return _said(choice)
    return None


def _said(choice: Choice) -> Said:
    finish = choice.finish_reason
    reason = finish if isinstance(finish, str) and finish != "null" else ""
    delta = choice.delta or choice.message
    if delta is None:
        return Said(finish=reason)
    content = delta.content
    thinks = (delta.reasoning_content, delta.reasoning, delta.reasoning_details)
    if type(content) is str and thinks == (None, None, None) and delta.refusal is None:
        return Said("", _plain(content), "", reason)  # nearly all chunks are such
    thought = _text(delta.reasoning_content) or _text(delta.reasoning) or _details(delta.reasoning_details)
    parts = content if isinstance(content, list) else [content]
    thought += "".join(map(_thinking, parts))
    return Said(_plain(thought), _plain("".join(map(_text, parts))), _plain(_text(delta.refusal)), reason)


def _plain(text: str) -> str:
    return text.replace("\0", "") if "\0" in text else text  # NUL is no text, and no model means it


def _text(part: Any) -> str:
    """The text of a part: a text, a number, or an object with a type that is text's."""
    match part:
        case str():
            return part
        case bool() | None:
            return ""
        case int() | float():
            return str(part)
        case {"type": "text" | "output_text" | None, "text": text} | {"value": text}:
            return _text(text)
        case {"type": _}:
            return ""
        case {"text": text}:
            return _text(text)
        case _:
            return ""


def _thinking(part: Any) -> str:
    match part:
        case {"type": "thinking" | "reasoning", "thinking": list() as parts}:
            return "".join(map(_text, parts))
        case {"type": "thinking" | "reasoning", "thinking": text} | {"type": "thinking" | "reasoning", "text": text}:
            return _text(text)
        case _:
            return ""


def _details(details: Any) -> str:
    """OpenRouter's: text or summaries, openrouter.ai/docs/use-cases/reasoning-tokens. What is encrypted says nothing."""
    found = []
    for part in details if isinstance(details, list) else ():
        match part:
            case {"text": str() as text} | {"summary": str() as text}:
                found.append(text)
    return "".join(found)


class Tokens(NamedTuple):
    """What an answer took, as far as the server says so."""

    read: int | None
    written: int | None
    thought: int | None


def tokens(chunk: Chunk) -> Tokens | None:
    """The counts that a chunk has, if it has any."""
    match chunk.usage:
        case {"prompt_tokens": read, "completion_tokens": written, **rest}:
            details = rest.get("completion_tokens_details")
            thought = details.get("reasoning_tokens") if isinstance(details, dict) else None
            return Tokens(_count(read), _count(written), _count(thought))
        case _:
            return None


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
