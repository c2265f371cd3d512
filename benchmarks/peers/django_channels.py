"""Django Channels under uvicorn: a group for each user, over the in-memory layer; stores each chat with Django's async ORM.

Options: the layer's `capacity` and `expiry` such that it drops nothing (by default what is over 100 messages or 60 s old),
`encode_json` by orjson; SQLite with a write-ahead log; uvloop, uvicorn's Sans-I/O WebSocket protocol, no compression or log.
"""

import os
import sys
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

import django
import orjson
import uvicorn
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.db import connection, models
from django.urls import path

from benchmarks.peers.frames import TEXT, answer, paced, start

SQLITE = {"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;", "transaction_mode": "IMMEDIATE"}
DATABASE = {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["BENCH_DATABASE"], "OPTIONS": SQLITE}
LAYER = {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 1_000_000, "expiry": 3600}}
settings.configure(DATABASES={"default": DATABASE}, CHANNEL_LAYERS={"default": LAYER})
django.setup()


class Chat(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid4)
    user = models.TextField()
    title = models.TextField()

    class Meta:
        app_label = "peers"


class Message(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid4)
    chat = models.ForeignKey(Chat, on_delete=models.CASCADE)
    request = models.TextField()
    response = models.TextField(default="")
    is_completed = models.BooleanField(default=False)

    class Meta:
        app_label = "peers"


class ChatConsumer(AsyncJsonWebsocketConsumer):
    async def connect(self) -> None:
        self.user = parse_qs(self.scope["query_string"].decode())["authentication"][0]
        await self.channel_layer.group_add(self.user, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(self.user, self.channel_name)

    async def receive_json(self, content: dict[str, Any]) -> None:
        start(self.post(content["payload"]["prompt"]))

    async def post(self, prompt: str) -> None:
        chat = await Chat.objects.acreate(user=self.user, title=prompt)
        message = await Message.objects.acreate(chat=chat, request=prompt)
        async for frame in paced(answer(self.user, prompt, str(chat.pk), str(message.pk))):
            if frame["event"] == "complete":
                await Message.objects.filter(pk=message.pk).aupdate(response=TEXT, is_completed=True)
            await self.channel_layer.group_send(self.user, {"type": "chat.frame", "frame": frame})

    async def chat_frame(self, event: dict[str, Any]) -> None:
        await self.send_json(event["frame"])

    @classmethod
    async def encode_json(cls, content: dict[str, Any]) -> str:
        return orjson.dumps(content).decode()


app = ProtocolTypeRouter({"websocket": URLRouter([path("api/v1/ws", ChatConsumer.as_asgi())])})

if __name__ == "__main__":
    with connection.schema_editor() as editor:
        for model in (Chat, Message):
            editor.create_model(model)
    options = {"loop": "uvloop", "ws": "websockets-sansio", "ws_per_message_deflate": False, "access_log": False}
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), lifespan="off", log_level="warning", **options)
