"""Finds chats by their words in the database's own index: FTS5's of SQLite, a GIN index of PostgreSQL.

Besides its words, a chat is indexed under each identity that may see it: its author, and users, teams and organizations that it
was shared with. So a search looks only at what its user may see, and one query serves own and shared chats.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Dialect,
    FromClause,
    MetaData,
    Select,
    Table,
    Text,
    TypeDecorator,
    bindparam,
    func,
    literal,
    literal_column,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

from backends.chats_list import ITEM, list_chats, list_item
from backends.indexing import index_for, scope
from backends.statements import Guid
from backends.storage import Row, Storage
from backends.tables import chats, organization_members, searchable, team_members
from backends.words import Asked, asked, beginning_of
from schemas.assets import IdentityType
from schemas.chats import ChatListItem

NEWEST = 400  # chats that are looked at one by one, which takes some 5 ms

Asking = tuple[list[str], Asked]  # the scopes of who asks, one of which the chat must have, and the words

# A view, since a match is asked of the full-text table on SQLite, and of the words themselves on PostgreSQL.
searched = Table("searched", MetaData(), Column("place", BigInteger), Column("chat_id", Guid), Column("words", Text))


class Match(TypeDecorator[Asking]):
    """A full-text query in the database's syntax. No word has a character that means anything in it."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return TSQUERY() if dialect.name == "postgresql" else Text()

    def process_bind_param(self, value: Asking | None, dialect: Dialect) -> str:
        if value is None:
            raise ValueError("there is nothing to search")
        scopes, (words, beginning) = value
        or_, and_, quote, prefix = ("|", "&", "'", ":*") if dialect.name == "postgresql" else ("OR", "AND", '"', "*")
        terms = [f"({f' {or_} '.join(f'{quote}{scope}{quote}' for scope in scopes)})"]
        terms += [f"{quote}{word}{quote}" for word in words]
        terms += [f"{quote}{beginning}{quote}{prefix}"] if beginning else []
        return f" {and_} ".join(terms)


class Matching(ColumnElement[bool]):
    """True for words that match the parameter `match`."""

    inherit_cache = False

    def __init__(self, words: ColumnElement[str]) -> None:
        self.words = words


@compiles(Matching)
def _match(element: Matching, compiler: SQLCompiler, **options: Any) -> str:
    operator = "@@" if compiler.dialect.name == "postgresql" else "MATCH"
    match = bindparam("match", type_=Match())
    return f"{compiler.process(element.words, **options)} {operator} {compiler.process(match, **options)}"


def _page(of: FromClause, which: ColumnElement[bool], order: ColumnElement[int]) -> Select[Any]:
    """A page of the chats found, the newest first: `order` is their place."""
    found = select(of.c.chat_id, of.c.place).where(which).order_by(order.desc())
    page = found.limit(bindparam("size")).offset(bindparam("offset")).subquery()
    return ITEM.join(page, page.c.chat_id == chats.c.id).order_by(page.c.place.desc())


PAGE_ON_SQLITE = _page(searched, Matching(searched.c.words), searched.c.place)
# An order that no index has. PostgreSQL plans without the words once a connection has asked five times, and would then rather
# go through the places, from the newest on, and look into the words of each: of a rare word, into all that there are.
PAGE_ON_POSTGRES = _page(searched, Matching(searched.c.words), searched.c.place + literal_column("0", BigInteger))
# Most queries are of words that are in many chats, and the newest of all have them. To look at these first is far quicker where
# a database collects all that match before it gives one: PostgreSQL always, SQLite for a beginning of more than a few letters.
newest = select(searched).order_by(searched.c.place.desc()).limit(NEWEST).subquery()
NEWEST_ON_POSTGRES = _page(newest, Matching(newest.c.words), newest.c.place)
begun = (
    select(searched.c.chat_id, searched.c.place, searchable.c.words)
    .join(searchable, searchable.c.place == searched.c.place)
    .where(Matching(searched.c.words))
    .order_by(searched.c.place.desc())
    .limit(NEWEST)
    .subquery()
)
SEEN = select(func.count().label("number")).select_from(begun)
NEWEST_ON_SQLITE = _page(begun, func.instr(begun.c.words, bindparam("begun")) > 0, begun.c.place)
IDENTITIES = union_all(
    select(literal(IdentityType.TEAM.value).label("kind"), team_members.c.team_id.label("id")).where(
        team_members.c.user_id == bindparam("user")
    ),
    select(literal(IdentityType.ORGANIZATION.value), organization_members.c.organization_id).where(
        organization_members.c.user_id == bindparam("user")
    ),
).subquery()
SCOPES = select(IDENTITIES)


async def find_chats(storage: Storage, user_id: UUID, query: str, offset: int, size: int) -> list[ChatListItem]:
    """A page of those chats of the user's list that have all words of the query, the newest first. Without a word: of all."""
    words = asked(query)
    if words is None:
        return await list_chats(storage, user_id, offset, size)
    await index_for(storage, user_id)
    found = await storage.fetch_all(SCOPES, user=user_id)
    scopes = [scope(IdentityType.USER.value, user_id), *(scope(row["kind"], row["id"]) for row in found)]
    values = {"user": user_id, "match": (scopes, words), "size": size, "offset": offset}
    page: list[Row] = []
    is_all = False
    if offset + size <= NEWEST // 2:
        if storage.on_postgres:
            page = await storage.fetch_all(NEWEST_ON_POSTGRES, turn=user_id, **values)
        elif words.beginning:
            first = Asked((*words.words, beginning_of(words.beginning)), None)
            close = values | {"match": (scopes, first), "begun": f" {words.beginning}"}
            page = await storage.fetch_all(NEWEST_ON_SQLITE, turn=user_id, **close)
            (seen,) = await storage.fetch_all(SEEN, match=close["match"])
            is_all = seen["number"] < NEWEST
    if len(page) < size and not is_all:
        page = await storage.fetch_all(PAGE_ON_POSTGRES if storage.on_postgres else PAGE_ON_SQLITE, turn=user_id, **values)
    return [list_item(row) for row in page]
