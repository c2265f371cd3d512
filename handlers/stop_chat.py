"""`/chats/stop`: end a run early. Its stream's own `complete`, with what there was, is the answer."""

from handlers.services import Services
from schemas.errors import NotFound
from schemas.requests import StopChat
from schemas.users import Sender


async def stop_chat(services: Services, sender: Sender, request: StopChat) -> None:
    """Stop the user's own run in this chat. Raises NotFound when there is none, or no longer; or ServiceUnavailable."""
    runs = services.runs
    run = runs.get(request.message_id) if request.message_id else runs.in_chat(request.id)
    if run and (run.chat_id, run.user_id) != (request.id, sender.user.id):
        run = None
    # The run whose turn it is here may still wait for one on another node, which is then the one to stop.
    is_here = run and (request.message_id or run.holds)
    if not is_here and (elsewhere := await services.cluster.find(request.id, request.message_id)):
        if elsewhere.stored.user_id != sender.user.id:
            raise NotFound
        return await elsewhere.stop()
    if run is None:
        raise NotFound
    run.stop()
