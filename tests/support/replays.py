"""How model servers answer, byte by byte: what their documentation and their issue trackers show, one row for each habit."""

import gzip
import json
from dataclasses import dataclass
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"
HTML_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n"
DONE = b"data: [DONE]\n\n"
CUT = b""  # as the last piece: the connection is reset


@dataclass(frozen=True)
class Replay:
    """`tries` are the responses to one request after the other, each in pieces; then what the user sees and what is stored."""

    name: str
    tries: tuple[tuple[bytes, ...], ...]
    answer: str = "Hello, world"
    thought: str = ""
    finish: str = "stop"
    how: str = "Reasoned for "
    error: str | None = None  # the code and the beginning of the message


def event(chunk: object) -> bytes:
    text = chunk if isinstance(chunk, str) else json.dumps(chunk)
    return b"data: " + text.encode() + b"\n\n"


def chunk(delta: Any = None, finish: Any = None, **rest: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **rest}


def delta(finish: Any = None, **delta: Any) -> bytes:
    return event(chunk(delta, finish))


def say(*words: str) -> bytes:
    return b"".join(delta(content=word) for word in words)


HELLO = say("Hello", ", ", "world")
STOP = delta("stop")


def good(name: str, *pieces: bytes, head: bytes = HEAD, end: bytes = STOP + DONE, **seen: Any) -> Replay:
    """A stream that comes whole and at once."""
    return Replay(name, ((head + b"".join(pieces) + end,),), **seen)


def whole(name: str, body: object, head: bytes = JSON_HEAD, **seen: Any) -> Replay:
    """A body that is no stream."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Replay(name, ((head + data,),), **seen)


def refusal(status: int, body: object, head: str = "") -> bytes:
    data = (body if isinstance(body, str) else json.dumps(body)).encode()
    kind = "text/plain" if isinstance(body, str) else "application/json"
    return (
        f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\nconnection: close\r\ncontent-length: {len(data)}\r\n{head}\r\n".encode()
        + data
    )


def refused(name: str, status: int, body: object, error: str, head: str = "") -> Replay:
    """What is refused, however often it is tried."""
    return Replay(name, ((refusal(status, body, head),),) * 9, "", error=error, finish="failed", how="Failed")


def failing(
    name: str, *pieces: bytes, answer: str = "Hello, world", error: str = "INTERNAL_SERVER_ERROR: internal", **seen: Any
) -> Replay:
    """A stream that fails after it has said something."""
    return Replay(name, (pieces,), answer, finish="failed", how="Failed", error=error, **seen)


def again(name: str, *first: bytes, **seen: Any) -> Replay:
    """A first try that says nothing, and a second that is good."""
    return Replay(name, (first, (HEAD + HELLO + STOP + DONE,)), **seen)


BUSY = "SERVICE_UNAVAILABLE: the model is busy"
LIMITED = "TOO_MANY_REQUESTS: the model takes no more"
TOO_LONG = "BAD_REQUEST: the chat is too long for the model"
FILTERED = "BAD_REQUEST: the model's provider does not allow"
WRONG = "INTERNAL_SERVER_ERROR: the server's model is not set up right"
BROKEN = "INTERNAL_SERVER_ERROR: internal error"
LENGTH: dict[str, Any] = {"finish": "length", "how": "Cut off at the length limit"}
FILTER: dict[str, Any] = {"finish": "content_filter", "how": "Stopped by the content filter"}

FAMILIES: dict[str, list[Replay]] = {
    # platform.openai.com/docs/api-reference/chat-streaming
    "openai": [
        good("a role first, then content, then an empty delta with the reason", delta(role="assistant", content=""), HELLO),
        good("a refusal is null beside each content", delta(role="assistant", content="", refusal=None), HELLO),
        good("usage in a last chunk without choices", HELLO, STOP, event({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 0}}}), end=DONE),
        good("usage is null in all other chunks", event({**chunk({"content": "Hello, world"}), "usage": None})),
        good("obfuscation, service tier and fingerprint", event({**chunk({"content": "Hello, world"}), "obfuscation": "x7", "service_tier": "default", "system_fingerprint": None})),
        good("logprobs beside the content", event({"choices": [{"index": 0, "delta": {"content": "Hello, world"}, "logprobs": {"content": []}, "finish_reason": None}]})),
        good("a refusal in pieces", delta(refusal="I cannot "), delta(refusal="help."), answer="I cannot help.", finish="refusal"),
        good("cut off at the length limit", HELLO, delta("length"), end=DONE, **LENGTH),
        good("nothing but the length limit", delta(role="assistant", content=""), delta("length"), end=DONE, answer="", **LENGTH),
        good("stopped by the filter", HELLO, delta("content_filter"), end=DONE, **FILTER),
        good("several choices: only the first counts", event({"choices": [{"index": 1, "delta": {"content": "no"}}, {"index": 0, "delta": {"content": "Hello, world"}}]}), event({"choices": [{"index": 1, "delta": {}, "finish_reason": "length"}]})),
        Replay("tool calls that nobody asked for, and nothing else", ((HEAD + delta(tool_calls=[{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]) + delta("tool_calls") + DONE,),), "", finish="failed", how="Failed", error=BROKEN),
        good("tool calls beside an answer", HELLO, delta(tool_calls=[{"index": 0, "function": {"arguments": "{}"}}]), delta("tool_calls"), end=DONE),
        # platform.openai.com/docs/guides/error-codes
        refused("a wrong key", 401, {"error": {"message": "Incorrect API key provided: sk-x", "type": "invalid_request_error", "code": "invalid_api_key"}}, WRONG),
        refused("an unknown model", 404, {"error": {"message": "The model `x` does not exist", "type": "invalid_request_error", "code": "model_not_found"}}, WRONG),
        refused("no quota left", 429, {"error": {"message": "You exceeded your current quota, please check your plan and billing details", "type": "insufficient_quota", "code": "insufficient_quota"}}, LIMITED),
        refused("a rate limit that lasts", 429, {"error": {"message": "Rate limit reached for m", "type": "tokens", "code": "rate_limit_exceeded"}}, LIMITED, "retry-after: 30\r\n"),
        refused("too long", 400, {"error": {"message": "This model's maximum context length is 8192 tokens", "type": "invalid_request_error", "code": "context_length_exceeded"}}, TOO_LONG),
        refused("a country that is not served", 403, {"error": {"message": "Country, region, or territory not supported", "code": "unsupported_country_region_territory"}}, WRONG),
        again("a rate limit that passes", refusal(429, {"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}}, "retry-after-ms: 50\r\n")),
        again("an error of theirs", refusal(500, {"error": {"message": "The server had an error while processing your request", "type": "server_error"}}, "retry-after: 0\r\n")),
        again("overloaded", refusal(503, {"error": {"message": "The engine is currently overloaded, please try again later"}}, "retry-after: 0\r\n")),
    ],
    # learn.microsoft.com/azure/ai-services/openai/reference, and .../concepts/content-filter
    "azure": [
        good("filter results before any choice", event({"choices": [], "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]}), HELLO),
        good("filter results in a choice without a delta", HELLO, event({"choices": [{"index": 0, "finish_reason": None, "content_filter_offsets": {}, "content_filter_results": {}}]})),
        good("the annotations of an asynchronous filter, after the reason", HELLO, STOP, event({"choices": [{"index": 0, "content_filter_results": {"hate": {"filtered": False}}}]}), end=DONE),
        refused("a prompt that is filtered", 400, {"error": {"message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.", "code": "content_filter", "status": 400, "innererror": {"code": "ResponsibleAIPolicyViolation"}}}, FILTERED),
        refused("no such deployment", 404, {"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}}, WRONG),
        refused("a key of another resource", 401, {"error": {"code": "401", "message": "Access denied due to invalid subscription key"}}, WRONG),
    ],
    # docs.litellm.ai/docs/completion/stream, docs.litellm.ai/docs/exception_mapping
    "litellm": [
        good("provider's fields in each delta", delta(content="Hello, world", provider_specific_fields=None, function_call=None, tool_calls=None, audio=None)),
        good("thinking blocks beside reasoning_content", delta(reasoning_content="Hm", thinking_blocks=[{"type": "thinking", "thinking": "Hm"}]), HELLO, thought="Hm"),
        failing("an error as an event in the middle", HEAD + HELLO + event({"error": {"message": "litellm.MidStreamFallbackError", "type": "None", "code": "500"}})),
        refused("too long, wrapped", 400, {"error": {"message": "litellm.ContextWindowExceededError: ContextWindowExceededError: prompt is too long: 210000 tokens > 200000 maximum", "code": "400"}}, TOO_LONG),
        refused("a budget that is used up", 400, {"error": {"message": "ExceededBudget: out of credits", "type": "budget_exceeded", "code": "400"}}, LIMITED),
    ],
    # docs.vllm.ai/en/latest/serving/openai_compatible_server.html, .../features/reasoning_outputs.html
    "vllm": [
        good("a role with an empty text, and the reason with one", delta(role="assistant", content=""), HELLO, delta("stop", content=""), end=DONE),
        good("stop_reason and token_ids in a choice", event({"choices": [{"index": 0, "delta": {"content": "Hello, world"}, "logprobs": None, "finish_reason": None, "stop_reason": None, "token_ids": None}]})),
        good("reasoning_content", delta(reasoning_content="Let me "), delta(reasoning_content="see."), HELLO, thought="Let me see."),
        good("reasoning, its newer name", delta(reasoning="Let me see."), HELLO, thought="Let me see."),
        good("both names at once", delta(reasoning="Let me see.", reasoning_content="Let me see."), HELLO, thought="Let me see."),
        good("a closing tag without an opening one: the template has it", say("Let me see.", "</think>", "\n\nHello, world"), thought="Let me see."),
        failing("an error object as an event", HEAD + HELLO + event({"object": "error", "message": "EngineDeadError", "type": "InternalServerError", "code": 500}) + DONE),
        refused("too long", 400, {"object": "error", "message": "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens", "type": "BadRequestError", "param": None, "code": 400}, TOO_LONG),
        refused("no such model", 404, {"object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError", "code": 404}, WRONG),
        again("the engine is dead, and comes back", refusal(500, {"object": "error", "message": "EngineCore encountered an issue", "code": 500}, "retry-after: 0\r\n")),
    ],
    # github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
    "llama.cpp": [
        good("timings in the last chunk", HELLO, event({**chunk({}, "stop"), "timings": {"prompt_n": 1, "predicted_n": 3}}), end=DONE),
        good("content is null in the first delta", delta(role="assistant", content=None), HELLO),
        good("progress of the prompt before the first token", event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": None}, "finish_reason": None}], "prompt_progress": {"total": 9, "cache": 0, "processed": 4}}), HELLO),
        good("reasoning_content of a thinking template", delta(reasoning_content="Hm."), HELLO, thought="Hm."),
        again("it is loading its model", refusal(503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, "retry-after: 0\r\n")),
        again("it is loading, as an event", HEAD + event({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}})),
        refused("the context is full", 400, {"error": {"code": 400, "message": "the request exceeds the available context size. try increasing the context size or enable context shift", "type": "exceed_context_size_error", "n_prompt_tokens": 9000, "n_ctx": 4096}}, TOO_LONG),
        failing("an error event behind some text", HEAD + HELLO + b'error: {"code":500,"message":"x","type":"server_error"}\n\n'),
        good("the end of the context", HELLO, delta("length"), end=DONE, **LENGTH),
    ],
    # github.com/ollama/ollama/blob/main/docs/openai.md and openai/openai.go
    "ollama": [
        good("each delta has the role again", delta(role="assistant", content="Hello"), delta(role="assistant", content=", world"), delta("stop", role="assistant", content=""), end=DONE),
        good("thoughts as reasoning, and empty content beside them", delta(role="assistant", content="", reasoning="Hm"), HELLO, thought="Hm"),
        good("tags of a model that it does not know to think", say("<think>", "\nHm", "\n</think>", "\n\n", "Hello, world"), thought="Hm"),
        refused("a model that is not pulled", 404, {"error": {"message": "model \"x\" not found, try pulling it first", "type": "api_error", "param": None, "code": None}}, WRONG),
        again("too many requests wait", refusal(503, {"error": {"message": "server busy, please try again. maximum pending requests exceeded"}}, "retry-after: 0\r\n")),
        failing("cut short: the runner has died", HEAD + HELLO),
    ],
    # lmstudio.ai/docs/api/endpoints/openai
    "lm studio": [
        good("an event without data between", HELLO, b"event: message\n\n"),
        failing("event: error with its own shape", HEAD + HELLO + b'event: error\ndata: {"error":{"message":"The model has crashed without additional information."}}\n\n'),
        refused("no model is loaded", 404, {"error": {"message": "No models loaded. Please load a model", "type": "invalid_request_error"}}, WRONG),
    ],
    # docs.mistral.ai/api, docs.mistral.ai/capabilities/reasoning
    "mistral": [
        good("typed parts of thinking and text", delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]), delta(content=[{"type": "text", "text": "Hello, world"}]), thought="Hm."),
        good("a string after typed parts", delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}], "closed": True}]), HELLO, thought="Hm."),
        good("a reference part is no text", delta(content=[{"type": "text", "text": "Hello, world"}, {"type": "reference", "reference_ids": [1]}])),
        good("model_length is a length", HELLO, delta("model_length"), end=DONE, **LENGTH),
        Replay("it does not know what we can do without", ((refusal(422, {"object": "error", "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]}, "type": "invalid_request_error"}),), (refusal(422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "user"], "msg": "Extra inputs are not permitted"}]}),), (HEAD + HELLO + STOP + DONE,))),
        refused("too long", 400, {"object": "error", "message": "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length", "type": "invalid_request_prompt", "code": "3051"}, TOO_LONG),
        refused("roles that do not alternate", 400, {"object": "error", "message": "Expected last role User or Tool", "type": "invalid_request_message_order", "code": "3230"}, WRONG),
    ],
    # api-docs.deepseek.com/api/create-chat-completion, .../quick_start/rate_limit, .../quick_start/error_codes
    "deepseek": [
        good("content is null while it thinks", delta(content=None, reasoning_content="Hm"), delta(content=None, reasoning_content="."), delta(content="Hello, world", reasoning_content=None), thought="Hm."),
        good("comments while it waits", b": keep-alive\n\n" * 3, HELLO),
        good("empty lines while an answer that is no stream waits", b"\n\n\n\n", HELLO),
        failing("it lacks resources in the middle", HEAD + HELLO + delta("insufficient_system_resource") + DONE, error=BUSY),
        refused("no balance", 402, {"error": {"message": "Insufficient Balance", "type": "unknown_error", "code": "invalid_request_error"}}, LIMITED),
    ],
    # openrouter.ai/docs/api-reference/streaming, .../errors, .../use-cases/reasoning-tokens
    "openrouter": [
        good("comments that it is processing", b": OPENROUTER PROCESSING\n\n" * 2, HELLO),
        good("reasoning and its details say the same", delta(role="assistant", content="", reasoning="Hm", reasoning_details=[{"type": "reasoning.text", "text": "Hm", "format": "unknown", "index": 0}]), HELLO, thought="Hm"),
        good("only details", delta(content="", reasoning_details=[{"type": "reasoning.summary", "summary": "Hm"}, {"type": "reasoning.encrypted", "data": "xx"}]), HELLO, thought="Hm"),
        good("native_finish_reason beside the reason", HELLO, event({"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop", "native_finish_reason": "STOP"}]}), end=DONE),
        failing("an error in the middle, with the reason error", HEAD + HELLO + event({"error": {"code": "server_error", "message": "Provider disconnected"}, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]})),
        refused("moderation", 403, {"error": {"code": 403, "message": "Your chosen model requires moderation and your input was flagged"}}, WRONG),
        again("a provider is down, as an event", HEAD + b": OPENROUTER PROCESSING\n\n" + event({"error": {"code": 502, "message": "Provider returned error"}, "choices": []})),
    ],
    # ai.google.dev/gemini-api/docs/openai
    "gemini": [
        good("no id, no created, no usage", event({"choices": [{"delta": {"content": "Hello, world", "role": "assistant"}, "index": 0}]})),
        good("text and the reason in one chunk", delta("stop", content="Hello, world", role="assistant"), end=DONE),
        good("thoughts between tags", say("<thought>Hm", ".</thought>", "Hello, world"), thought="Hm."),
        good("a reason in capitals", HELLO, delta("MAX_TOKENS"), end=DONE, **LENGTH),
        good("SAFETY is a filter", HELLO, delta("SAFETY"), end=DONE, **FILTER),
        refused("its errors are a list", 400, [{"error": {"code": 400, "message": "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", "status": "INVALID_ARGUMENT"}}], TOO_LONG),
        refused("a quota of the day", 429, [{"error": {"code": 429, "message": "You exceeded your current quota, please check your plan and billing details", "status": "RESOURCE_EXHAUSTED"}}], LIMITED),
        refused("a wrong key", 400, [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT"}}], WRONG),
        again("the model is overloaded", refusal(503, [{"error": {"code": 503, "message": "The model is overloaded. Please try again later.", "status": "UNAVAILABLE"}}], "retry-after: 0\r\n")),
    ],
    # docs.claude.com/en/api/openai-sdk, docs.claude.com/en/api/errors
    "anthropic": [
        good("no usage until the end", HELLO),
        refused("too long", 400, {"error": {"code": "invalid_request_error", "message": "prompt is too long: 208310 tokens > 200000 maximum", "type": "invalid_request_error", "param": None}}, TOO_LONG),
        refused("a request that is too large", 413, {"error": {"type": "request_too_large", "message": "Request exceeds the maximum size"}}, TOO_LONG),
        again("overloaded, by its own status", refusal(529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "retry-after: 0\r\n")),
        again("overloaded, as an event", HEAD + b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'),
    ],
    # console.groq.com/docs/api-reference, docs.x.ai, docs.together.ai, docs.fireworks.ai
    "groq, xai, together, fireworks": [
        good("x_groq in the first and last chunk", event({**chunk({"role": "assistant", "content": ""}), "x_groq": {"id": "req_1"}}), HELLO, event({**chunk({}, "stop"), "x_groq": {"usage": {"total_tokens": 3}}}), end=DONE),
        good("token and text beside the delta", event({"choices": [{"index": 0, "text": "Hello, world", "delta": {"token_id": 7, "role": "assistant", "content": "Hello, world", "tool_calls": None}}]})),
        good("eos is a stop", HELLO, delta("eos"), end=DONE),
        good("citations at the end", HELLO, event({**chunk({}, "stop"), "citations": ["https://example.com"]}), end=DONE),
    ],
    # huggingface.co/docs/text-generation-inference, docs.sglang.ai, lmdeploy.readthedocs.io
    "tgi, sglang, lmdeploy": [
        good("data: without a space", (HELLO + STOP + DONE).replace(b"data: ", b"data:"), end=b""),
        good("matched_stop in a choice", HELLO, event({"choices": [{"index": 0, "delta": {"role": None, "content": None, "reasoning_content": None, "tool_calls": None}, "logprobs": None, "finish_reason": "stop", "matched_stop": 2}]}), end=DONE),
        good("an empty finish_reason ends nothing", delta("", content="Hello"), delta("", content=", world")),
        failing("an error event of its own", HEAD + HELLO + b'data: {"error":{"message":"Request failed during generation","http_status_code":500}}\n\n'),
        refused("validation that says too long", 422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 9000 context length", "error_type": "validation"}, TOO_LONG),
    ],
    # cohere, perplexity, databricks, cloudflare, bedrock: their pages on compatibility with OpenAI
    "gateways": [
        whole("an answer that is no stream", {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello, world"}, "finish_reason": "stop"}]}),
        whole("the same called an event stream", {"choices": [{"message": {"content": "Hello, world"}, "finish_reason": "stop"}]}, HEAD),
        whole("the same with thoughts", {"choices": [{"message": {"content": "Hello, world", "reasoning_content": "Hm"}, "finish_reason": "stop"}]}, thought="Hm"),
        whole("the same cut off", {"choices": [{"message": {"content": "Hello, world"}, "finish_reason": "length"}]}, **LENGTH),
        whole("an error with status 200", {"error": {"message": "Invalid API key", "code": 401}}, answer="", finish="failed", how="Failed", error=WRONG),
        whole("a page with status 200", b"<!DOCTYPE html><html><body>Sign in</body></html>", HTML_HEAD, answer="", finish="failed", how="Failed", error=WRONG),
        refused("a page with status 404", 404, "<html>404 page not found</html>", WRONG),
        again("a gateway's page while its server restarts", refusal(502, "<html>502 Bad Gateway</html>", "retry-after: 0\r\n")),
        again("a gateway's time-out", refusal(504, "upstream request timeout", "retry-after: 0\r\n")),
        good("a stream called text/plain", HELLO, head=HEAD.replace(b"text/event-stream", b"text/plain; charset=iso-8859-1")),
    ],
    # html.spec.whatwg.org/multipage/server-sent-events.html section 9.2.6
    "event streams": [
        good("CRLF", (HELLO + STOP + DONE).replace(b"\n", b"\r\n"), end=b""),
        good("CR", (HELLO + STOP + DONE).replace(b"\n", b"\r"), end=b""),
        good("a byte order mark", b"\xef\xbb\xbf" + HELLO),
        good("id, retry and event in each event", HELLO.replace(b"data:", b"id: 1\nretry: 3000\nevent: message\ndata:")),
        good("comments between", b":\n\n" + HELLO.replace(b"\n\n", b"\n\n: hi\n\n")),
        good("data in several lines", b'data: {"choices": [{"index": 0,\ndata: "delta": {"content": "Hello, world"}}]}\n\n'),
        good("empty data, and null", b"data:\n\ndata: \n\ndata: null\n\n", HELLO),
        good("JSON that is no object", b"data: [1, 2]\n\ndata: 5\n\n" + b'data: "ping"\n\n', HELLO),
        good("the last event has no blank line", HELLO, STOP, end=b"data: [DONE]"),
        good("only [DONE]", HELLO, end=DONE),
        good("only a reason", HELLO, end=STOP),
        good("no space, no blank at [DONE]", HELLO, STOP, end=b"data:[DONE]\n"),
        failing("neither [DONE] nor a reason", HEAD + HELLO),
        failing("half of an event, and the end", HEAD + HELLO + b'data: {"choices": [{"delta": {"con'),
    ],
    # RFC 9112, RFC 9110
    "http": [
        good("compressed", head=HEAD.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n") + gzip.compress(HELLO + STOP + DONE), end=b""),
        good("HTTP/1.0, until it closes", HELLO, head=HEAD.replace(b"HTTP/1.1", b"HTTP/1.0")),
        Replay("one byte at a time", (tuple(bytes([byte]) for byte in HEAD + say("Größe", " 😀") + STOP + DONE),), "Größe 😀"),
        Replay("300 KB at a time", ((HEAD + say("x" * 300_000) + STOP + DONE,),), "x" * 300_000),
        Replay("a redirect that keeps the method", ((b"HTTP/1.1 307 X\r\nlocation: /v1/chat/completions\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",), (HEAD + HELLO + STOP + DONE,))),
        Replay("a redirect to another server, which would get the key", ((b"HTTP/1.1 307 X\r\nlocation: http://127.0.0.2:9/v1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",),), "", finish="failed", how="Failed", error=WRONG),
        Replay("a redirect that would make a GET of it", ((b"HTTP/1.1 302 X\r\nlocation: /login\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",),), "", finish="failed", how="Failed", error=WRONG),
        Replay("a redirect in a circle", ((b"HTTP/1.1 308 X\r\nlocation: /v1/chat/completions\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",),), "", finish="failed", how="Failed", error=WRONG),
        Replay("a pooled connection that is stale", ((CUT,), (HEAD + HELLO + STOP + DONE,))),
        again("a cut before the first word", HEAD + delta(role="assistant", content=""), CUT),
        failing("a cut behind some words", HEAD + HELLO, CUT),
        good("bad UTF-8", HELLO.replace(b"world", b"w\xffrld"), answer="Hello, w\ufffdrld"),
    ],
    # any of them
    "deltas": [
        good("choices is null, or missing", event({"choices": None}), event({"id": "1"}), HELLO),
        good("delta is missing, or null", event({"choices": [{"index": 0}]}), event({"choices": [{"index": 0, "delta": None}]}), HELLO),
        good("a thousand empty deltas", delta(content="") * 1000, HELLO),
        good("a number", delta(content="Hello, world "), delta(content=7), answer="Hello, world 7"),
        good("a surrogate pair in two deltas", b'data: {"choices": [{"index": 0, "delta": {"content": "a\\ud83d"}}]}\n\n', b'data: {"choices": [{"index": 0, "delta": {"content": "\\ude00b"}}]}\n\n', answer="a😀b"),
        good("half of a pair", b'data: {"choices": [{"index": 0, "delta": {"content": "a\\ud83d"}}]}\n\n', say("b"), answer="a\ufffdb"),
        good("NUL", delta(content="Hello\0, world")),
        Replay("nothing said at all", ((HEAD + STOP + DONE,),), "", finish="failed", how="Failed", error=BROKEN),
        good("thoughts alone", delta(reasoning_content="Hm"), answer="", thought="Hm"),
    ],
    # huggingface.co/deepseek-ai/DeepSeek-R1, .../Qwen/QwQ-32B: their templates
    "thoughts inline": [
        good("tags split over deltas", say("<th", "ink>", "Hm", "</", "think", ">", "\n\nHello", ", world"), thought="Hm"),
        good("thinking", say("<thinking>\nHm\n</thinking>\n\nHello, world"), thought="Hm"),
        good("an empty thought", say("<think>\n\n</think>\n\nHello, world")),
        good("blanks before the tag", say("\n ", "<think>Hm</think>Hello, world"), thought="Hm"),
        good("never closed", say("<think>Hm, ", "well"), answer="", thought="Hm, well"),
        good("never closed, at the length limit", say("<think>Hm"), delta("length"), end=DONE, answer="", thought="Hm", **LENGTH),
        Replay("the opening tag is missing, and its thought was told", ((HEAD + say("Let me "), say("see."), say("</think>\n\nHello, world") + STOP + DONE),), thought="Let me see."),
        good("later in a text they are text", say("Hello <think>, ", "world</think>"), answer="Hello <think>, world</think>"),
        good("in code they are text", say("Write `</think>` at its end."), answer="Write `</think>` at its end."),
        good("a lone bracket", say("1 <", " 2 and <t"), answer="1 < 2 and <t"),
    ],
}  # fmt: skip
