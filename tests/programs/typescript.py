"""`make types`: all frames, requests and payloads as TypeScript declarations, made of the routing table and the structs.

They say what is encoded: a field with a default is always there in an answer, and may be left out of a request. Only what can
be `UNSET` may lack in an answer.
"""

import json
from typing import Any

from msgspec import NODEFAULT, inspect

from handlers.context import posted_types
from handlers.http.asyncapi import answers, requests
from schemas.chats import ChatListItem, ChatMessage
from schemas.errors import WsError
from schemas.frames import SentBy
from tests.support.program import ROOT

FILE = ROOT / "clients/js/src/frames.d.ts"
HEAD = "// What goes over the wire, made by `make types` of the server's structs. Not to be edited.\n"
PLAIN: dict[type, str] = {
    inspect.AnyType: "unknown",
    inspect.RawType: "unknown",
    inspect.NoneType: "null",
    inspect.BoolType: "boolean",
    inspect.IntType: "number",
    inspect.FloatType: "number",
    inspect.StrType: "string",
    inspect.UUIDType: "string",
    inspect.DateTimeType: "string",
}

SURFACE = """\
// What the client itself gives and takes

/** What leads from one to the next is in docs/clients.md. */
export type State = "connecting" | "waiting" | "live" | "draining" | "refused" | "closed";

export type Token = string | (() => string | Promise<string>);

/** `url` is the server's base. Without a `WebSocket`, Server-Sent Events are used. `heartbeat`: seconds, at first. */
export interface Options {
  url: string | URL;
  token: Token;
  WebSocket?: typeof globalThis.WebSocket | null;
  heartbeat?: number;
}

/** `messageId` with `chatId` replaces the message, unless it is to be posted `once`; `asset` is what a new chat is about. */
export interface Post {
  prompt?: string;
  asset?: { type: string; id: string };
  chatId?: string;
  messageId?: string;
  model?: string;
  approvals?: { id: string; approved: boolean; value?: unknown }[];
  once?: true;
}

/** Immutable: the same object until something changes. */
export interface Snapshot {
  readonly list: readonly ChatListItem[];
  readonly chats: { readonly [id: string]: ChatWithMessages };
}

export interface Chats {
  subscribe(listener: () => void): () => void;
  getSnapshot(): Snapshot;
  get(id: string): ChatWithMessages | undefined;
  /** Get the chat, and keep it true until `close(id)`. */
  open(id: string): Promise<ChatWithMessages | undefined>;
  close(id: string): void;
  list(page?: { pageToken?: number; pageSize?: number; query?: string }): Promise<any>;
  update(id: string, change: { title?: string; isFavorited?: boolean }): Promise<any>;
  delete(ids: string[]): Promise<any>;
  /** `messageId` is the last message of the copy. */
  duplicate(id: string, messageId?: string): Promise<any>;
  /** `id` is that of a message. */
  feedback(id: string, feedback: "positive" | "negative" | null): Promise<any>;
}"""


class Declarations:
    """Interfaces by name, each made when a type first refers to it."""

    def __init__(self) -> None:
        self.made: dict[str, str] = {}

    def add(self, struct: Any, is_sent: bool = False) -> str:
        """Declare the struct, whose name is returned. `is_sent`: clients send it."""
        type = struct if isinstance(struct, inspect.Type) else inspect.type_info(struct)
        assert isinstance(type, inspect.StructType)
        name = type.cls.__name__
        if name not in self.made:
            self.made[name] = ""  # it may refer to itself
            tag = [f"  {type.tag_field}: {json.dumps(type.tag)};"] if type.tag_field else []
            fields = [self._field(field, is_sent) for field in type.fields]
            about = (type.cls.__doc__ or "").partition("\n")[0]
            comment = f"/** {about} */\n" if about and "(" not in about[:40] else ""
            self.made[name] = "\n".join([f"{comment}export interface {name} {{", *tag, *fields, "}"])
        return name

    def _field(self, field: inspect.Field, is_sent: bool) -> str:
        is_unset = field.default is NODEFAULT and field.default_factory is NODEFAULT  # unless it is given
        may_lack = not field.required and (is_sent or is_unset)
        return f"  {field.encode_name}{'?' if may_lack else ''}: {self.of(field.type, is_sent)};"

    def _any_of(self, types: Any, is_sent: bool) -> str:
        return " | ".join(dict.fromkeys(self.of(each, is_sent) for each in types))

    def of(self, type: inspect.Type, is_sent: bool = False) -> str:
        """The type in TypeScript."""
        if type.__class__ in PLAIN:
            return PLAIN[type.__class__]
        match type:
            case inspect.Metadata():
                return self.of(type.type, is_sent)
            case inspect.LiteralType():
                return " | ".join(map(json.dumps, type.values))
            case inspect.EnumType():
                return " | ".join(json.dumps(each.value) for each in type.cls)
            case inspect.UnionType():
                return self._any_of(type.types, is_sent)
            case inspect.ListType() | inspect.VarTupleType():
                item = self.of(type.item_type, is_sent)
                return f"({item})[]" if " | " in item else f"{item}[]"
            case inspect.TupleType():
                return f"[{', '.join(self.of(each, is_sent) for each in type.item_types)}]"
            case inspect.DictType():
                return f"{{ [key: string]: {self.of(type.value_type, is_sent)} }}"
            case inspect.StructType():
                return self.add(type, is_sent=is_sent)
            case inspect.CustomType():
                return " | ".join(map(json.dumps, sorted(posted_types())))
        raise NotImplementedError(type)


def declarations() -> str:
    """The file's text."""
    declared = Declarations()
    sent = [declared.add(message.frame, is_sent=True) for message in requests().values()]
    told = {name: declared.add(message.frame) for name, message in answers().items()}
    told.pop("error")  # it quotes routes and events that are none: among the others it would hide what an event tells
    for struct in (ChatListItem, ChatMessage, WsError, SentBy):
        declared.add(struct)
    unions = [
        f"/** Whatever {who}. */\nexport type {name} =\n  | " + "\n  | ".join(names) + ";"
        for name, who, names in (
            ("Frame", "the server sends, but `UnknownErrorFrame`, whose route and event may be any", told.values()),
            ("Request", "a client sends", sent),
        )
    ]
    return "\n\n".join([HEAD, *unions, *declared.made.values(), SURFACE]) + "\n"


if __name__ == "__main__":
    FILE.write_text(declarations())
