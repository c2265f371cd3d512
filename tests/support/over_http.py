"""HTTP by hand: so that a caller can be what no library would be."""

import asyncio
import json
from typing import Any

import anyio

from tests.support.client import TIMEOUT_S, check_error
from tests.support.house import House


async def request(
    house: House,
    body: bytes,
    token: str | None = None,
    query: str = "",
    method: str = "POST",
    path: str = "/api/v1/chats",
    **headers: str,
) -> tuple[int, Any, dict[str, str]]:
    """One HTTP request by hand: its status, its body and its headers."""
    port = int(house.url.removesuffix("/api/v1/ws").rpartition(":")[2])
    return await request_at(port, body, token, method, f"{path}{query}", **headers)


async def request_at(
    port: int, body: bytes, token: str | None, method: str = "POST", target: str = "/api/v1/chats", **headers: str
) -> tuple[int, Any, dict[str, str]]:
    """The same, to whatever listens on a port of this machine."""
    head = f"{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(body)}"
    head += f"\r\nauthorization: Bearer {token}" if token else ""
    head += "".join(f"\r\n{name.replace('_', '-')}: {value}" for name, value in headers.items())
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        with anyio.fail_after(TIMEOUT_S):
            writer.write(f"{head}\r\n\r\n".encode() + body)
            answer = await reader.read()
    finally:
        writer.transport.abort()
    lines, _, content = answer.partition(b"\r\n\r\n")
    status, *rest = lines.decode().split("\r\n")
    named = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    is_json = named.get("content-type") == "application/json"
    found: Any = json.loads(content) if is_json else content
    if isinstance(found, dict) and "code" in found:
        check_error(found)
        assert named.get("retry-after") == (str(found["retry_after"]) if "retry_after" in found else None)
    return int(status.split()[1]), found, named


async def get(house: House, path: str) -> tuple[int, Any]:
    """The status and the body of a GET without a token."""
    status, body, _ = await request(house, b"", method="GET", path=path)
    return status, body
