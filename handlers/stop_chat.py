"""`/chats/stop`: end a run early. Its stream's own `complete`, with what there was, is the answer."""

from backends.messages import find_message, find_running
from handlers.nodes.elsewhere import is_elsewhere, stop_elsewhere
from handlers.services import Sender, Services
from schemas.errors import NotFound
from schemas.requests import StopChat


async def stop_chat(services: Services, sender: Sender, request: StopChat) -> None:
    """Stop the user's own run in this chat. Raises NotFound when there is none, or no longer; or ServiceUnavailable."""
    runs = services.runs
    run = runs.get(request.message_id) if request.message_id else runs.in_chat(request.id)
    if run and (run.chat_id, run.user_id) != (request.id, sender.user.id):
        run = None
    # What has its turn here, and holds no message yet, may be waiting for a run elsewhere: then that one is meant.
    is_here = run and (request.message_id or run.holds)
    if services.nodes.shared and not is_here and await _stop_elsewhere(services, sender, request):
        return
    if run is None:
        raise NotFound
    run.stop()


async def _stop_elsewhere(services: Services, sender: Sender, request: StopChat) -> bool:
    """Whether it is another node's run, which is then stopped."""
    storage, id = services.backends.storage, request.message_id
    running = await (find_message(storage, id) if id else find_running(storage, request.id))
    if not running or not is_elsewhere(services, running) or (running.chat_id, running.user_id) != (request.id, sender.user.id):
        return False
    await stop_elsewhere(services, running)
    return True
