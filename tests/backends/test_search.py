"""The search: the chats of a user's list that have all words, alike on both databases, whoever has stored them."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, insert, select, update

from backends.chats_list import list_chats
from backends.indexing import index_all, index_for, index_some
from backends.messages import checkpoint_message, finish_message, replace_message
from backends.retention import erase_deleted, erase_person
from backends.search import find_chats
from backends.storage import Storage
from backends.tables import asset_permissions, chats, messages, searchable, unindexed
from schemas.assets import CHAT
from schemas.chats import ChatUserMessage, TextResponse
from tests.support.house import BOTH
from tests.support.stored import NOW, OWNER, Between, storage, unfinished
from tests.support.world import ACME, ALICE, BOB, CAROL, uuid

__all__ = ["storage"]  # the fixture

ENGINES = BOTH


async def stored(storage: Storage, number: int, by: UUID = ALICE, at: int = 0, title: str = "", **said: Any) -> UUID:
    """A chat of so many seconds after NOW, with one answered message, stored as a node of the version before does."""
    moment, id = NOW + timedelta(seconds=at), uuid(number)
    times = {"created_by": by, "created_at": moment, "updated_at": moment}
    answer = {"type": "text", "id": str(id), "message": said.get("answer"), "message_chunk": None, "is_final_message": True}
    message = {"request": said.get("prompt"), "response_messages": [answer], "reasoning_messages": [], "is_completed": True}
    await storage.write(
        insert(chats).values(id=id, title=title, **times),
        insert(messages).values(id=uuid(5000 + number), chat_id=id, position=1, **message, **times),
    )
    return id


async def shared(storage: Storage, chat: UUID, identity_type: str, identity: UUID) -> None:
    who = {"identity_type": identity_type, "identity_id": identity, "role": "can_view", "created_at": NOW, "updated_at": NOW}
    await storage.write(insert(asset_permissions).values(asset_id=chat, asset_type=CHAT, **who))


async def found(storage: Storage, query: str, user: UUID = ALICE) -> list[UUID]:
    return [chat.id for chat in await find_chats(storage, user, query, 0, 100)]


async def indexed_words(storage: Storage) -> str:
    return " ".join(str(row["words"]) for row in await storage.fetch_all(select(searchable.c.words)))


async def test_all_words_must_be_in_the_title_the_prompt_or_the_answer(storage: Storage) -> None:
    chat = await stored(storage, 1, title="Monthly Revenue", prompt="Wie groß ist CAFÉ Zürich?", answer="It sold 1,200 pieces")
    await stored(storage, 2, title="Something else", prompt="monthly", answer="nothing")
    for query in ("revenue", "MONTHLY revenue", "cafe", "Cafe\u0301", "gross", "ZURICH", "sold monthly zürich", "1,200", "200"):
        assert await found(storage, query) == [chat], query
    for query in ("revenue nothing", "onthly", "evenue", "loadin", "text"):
        assert await found(storage, query) == [], query


async def test_only_the_last_word_may_be_a_beginning(storage: Storage) -> None:
    chat = await stored(storage, 1, prompt="international ticket sales")
    for end in range(1, len("international") + 1):
        assert await found(storage, "sales " + "international"[:end]) == [chat]
    for query in ("internationalx", "intern sales", "in sales", "nternational"):
        assert await found(storage, query) == []


@pytest.mark.parametrize(
    "query",
    [
        *(
            '"',
            "'",
            "''",
            '"a',
            "*",
            "a*",
            "-a",
            "a -b",
            "NEAR(a b)",
            "a AND",
            "OR",
            "NOT a",
            "a:b",
            "words:a",
            "^a",
            "(a",
            "a)",
        ),
        *("{a}", "a|b & !c <-> d", "a:*", "\\", "a\\'", "%", "_", "_user", "__a", "$1", "?1", ":match", "--", ";", "\ud800"),
        *("\u200b", "\ufdfa" * 200, "東" * 200, "a b " * 50, "🎉", "\U0001f468\u200d\U0001f469", "ſ", "İ", "\u0301", "\u0e31"),
    ],
)
async def test_no_query_is_an_error(storage: Storage, query: str) -> None:
    await stored(storage, 1, prompt="a b and near")
    await found(storage, query)


async def test_what_means_something_to_a_database_is_only_words(storage: Storage) -> None:
    chat = await stored(storage, 1, prompt="black AND white, not near")
    assert await found(storage, "white* AND -black") == [chat]
    assert await found(storage, '"black" NOT "near"') == [chat]
    assert await found(storage, "black OR green") == []


async def test_a_query_without_a_word_is_none(storage: Storage) -> None:
    chat = await stored(storage, 1)
    for query in ("", " \t", '"*"', "…"):
        assert await found(storage, query) == [chat]


async def test_text_without_spaces_is_found_by_any_part(storage: Storage) -> None:
    chat = await stored(storage, 1, prompt="東京都庁の売上", answer="한국어를 배우다 สวัสดีครับ हिन्दी भाषा 🎉")
    for query in ("東京", "京都", "京", "庁", "売上 東京都", "한국", "국어", "배우", "สวัส", "हिन्दी", "भा", "🎉"):
        assert await found(storage, query) == [chat], query
    for query in ("京東", "大阪", "한어", "हिन्दा भाषा"):
        assert await found(storage, query) == [], query


async def test_it_finds_exactly_what_the_list_shows(storage: Storage) -> None:
    for number in range(1, 13):
        await stored(storage, number, (ALICE, BOB, CAROL)[number % 3], at=number, prompt="same")
    await shared(storage, uuid(1), "user", ALICE)
    await shared(storage, uuid(2), "organization", ACME)
    await shared(storage, uuid(3), "user", CAROL)
    await shared(storage, uuid(4), "user", ALICE)
    await index_all(storage)
    await shared(storage, uuid(5), "user", ALICE)
    await storage.write(update(chats).where(chats.c.id == uuid(6)).values(deleted_at=NOW))
    await storage.write(delete(asset_permissions).where(asset_permissions.c.asset_id == uuid(4)))
    for user in (ALICE, BOB, CAROL):
        listed = [chat.id for chat in await list_chats(storage, user, 0, 100)]
        assert await found(storage, "same", user) == listed
        for size in (1, 2, 3, 5):
            pages = [await find_chats(storage, user, "same", offset, size) for offset in range(0, 12, size)]
            assert [chat.id for page in pages for chat in page] == listed
    await storage.write(update(chats).where(chats.c.id == uuid(6)).values(deleted_at=None))
    assert uuid(6) in await found(storage, "same", [ALICE, BOB, CAROL][6 % 3])


async def test_chats_of_the_same_place_are_all_found(storage: Storage) -> None:
    ids = [await stored(storage, number, prompt="tie") for number in (1, 2, 3)]  # the first bits of their ids are the same
    assert sorted(await found(storage, "tie")) == ids
    await storage.write(*(update(chats).where(chats.c.id == id).values(title="again") for id in ids))
    assert sorted(await found(storage, "tie again")) == ids


async def test_an_answer_is_found_when_it_has_ended_and_no_checkpoint_marks_its_chat(storage: Storage) -> None:
    chat = await unfinished(storage, 1)
    (message,) = chat.messages.values()
    part = TextResponse(uuid(7), "an answer about penguins", None, is_final_message=True)
    message.response_message_ids, message.response_messages = [part.id], {part.id: part}
    assert await checkpoint_message(storage, chat, message, OWNER)
    assert await storage.fetch_all(select(unindexed)) == []
    message.is_completed, chat.title = True, "Birds"
    assert await finish_message(storage, chat, message, [], OWNER)
    assert await found(storage, "birds penguins") == [chat.id]


async def test_what_was_replaced_or_renamed_leaves_nothing(storage: Storage) -> None:
    id = await stored(storage, 1, title="oldtitle", prompt="oldprompt", answer="oldanswer")
    assert await found(storage, "oldtitle oldprompt oldanswer") == [id]
    await storage.write(update(chats).where(chats.c.id == id).values(title="newtitle"))
    assert "oldtitle" not in await indexed_words(storage)  # at once, before anybody indexes the chat
    assert await found(storage, "oldtitle") == []
    assert await found(storage, "newtitle oldprompt") == [id]
    (chat,) = await find_chats(storage, ALICE, "newtitle", 0, 1)
    other = await unfinished(storage, 2)
    (message,) = other.messages.values()
    message.id, other.id = uuid(5001), chat.id
    message.request_message = ChatUserMessage("newprompt", ALICE, "Alice", None)
    assert await replace_message(storage, other, message, OWNER, None)
    assert await indexed_words(storage) == ""
    assert await found(storage, "oldprompt") == await found(storage, "oldanswer") == []
    assert "old" not in await indexed_words(storage)


async def test_a_deleted_an_erased_and_a_persons_chat_leave_nothing(storage: Storage) -> None:
    for number in (1, 2, 3):
        await stored(storage, number, prompt=f"secret{number}")
    await stored(storage, 4, BOB, prompt="his")
    said = {"response_messages": [], "reasoning_messages": [], "is_completed": True, "created_at": NOW, "updated_at": NOW}
    await storage.write(insert(messages).values(id=uuid(9), chat_id=uuid(4), request="secret4", created_by=ALICE, **said))
    await index_all(storage)
    assert await found(storage, "his secret4", BOB) == [uuid(4)]
    await storage.write(update(chats).where(chats.c.id == uuid(1)).values(deleted_at=NOW))
    assert "secret1" not in await indexed_words(storage)
    await stored(storage, 5, prompt="secret5")
    await storage.write(update(chats).where(chats.c.id == uuid(5)).values(deleted_at=NOW))  # before it was indexed
    assert await storage.fetch_all(select(unindexed)) == []
    assert await erase_deleted(storage, NOW + timedelta(seconds=1)) == 2
    await erase_person(storage, ALICE)
    await index_all(storage)
    assert "secret" not in await indexed_words(storage)
    assert ALICE.hex not in await indexed_words(storage)
    assert await found(storage, "his", BOB) == [uuid(4)]


async def test_whoever_has_read_an_earlier_state_does_not_store_it(storage: Storage) -> None:
    id = await stored(storage, 1, title="first")

    async def rename_and_index() -> None:
        await storage.write(update(chats).where(chats.c.id == id).values(title="second"))
        await index_all(storage)

    async def nothing() -> None:
        pass

    slow = Between(storage, nothing, rename_and_index)  # after it has read what has changed, and what the chat says
    await index_for(slow, ALICE)
    assert await found(storage, "first") == []
    assert await found(storage, "second") == [id]


async def test_a_row_that_is_none_of_ours_keeps_no_other_from_being_indexed(storage: Storage) -> None:
    await stored(storage, 1, title="one")
    await storage.write(update(messages).values(response_messages={"no": "list"}))
    await stored(storage, 2, title="two")
    await storage.write(insert(unindexed).values(chat_id=uuid(77)))  # of no chat
    await index_all(storage)
    assert not await index_some(storage)
    assert (await found(storage, "one"), await found(storage, "two")) == ([uuid(1)], [uuid(2)])


async def test_a_chat_has_only_so_many_words(storage: Storage) -> None:
    long = " ".join(f"w{number}é" for number in range(100_000))
    assert await found(storage, "title", ALICE) == []
    id = await stored(storage, 1, title="title", prompt=long)
    assert await found(storage, "title") == [id]
    assert len(await indexed_words(storage)) < 2**20
