"""`/chats/stop`: end a run early. Its stream's own `complete`, with what there was, is the answer."""

from handlers.services import Sender, Services
from schemas.chats import StopChat
from schemas.errors import NotFound


async def stop_chat(services: Services, sender: Sender, request: StopChat) -> None:
    """Stop the user's own run in this chat. Raises NotFound when there is none, or no longer."""
    runs = services.runs
    run = runs.get(request.message_id) if request.message_id else runs.in_chat(request.id)
    if run is None or run.chat_id != request.id or run.user_id != sender.user.id:
        raise NotFound
    run.stop()
