"""Answering a post whose message is stored: by an agent or by opening the asset, told as it comes, and stored at its end."""

import logging

import anyio

from backends.agent import AgentTask
from backends.lease import LeaseLost
from backends.logs import bind_contextvars
from handlers.context import Context
from handlers.open_asset import open_asset
from handlers.run_agent import run_agent
from handlers.runs import FAILED, INTERRUPTED, Run
from handlers.services import Services
from handlers.store_answer import EndNotStored, checkpointed, finish_chat
from handlers.transcript import Transcript
from schemas.assets import Asset
from schemas.chats import ChatWithMessages
from schemas.errors import ThreadcastError
from schemas.events import ThreadEvent
from schemas.requests import ChatCreateNewChat

SAVE_TIMEOUT_S = 3.0  # seconds to store what a cancelled run has said: a shutdown does not wait longer

logger = logging.getLogger("threadcast")


async def answer_post(
    services: Services, run: Run, request: ChatCreateNewChat, context: Context, transcript: Transcript
) -> ChatWithMessages:
    """Tell and store the answer to a post whose message is stored. Returns the chat, whose end is still to be told.

    Raises LeaseLost when another node has closed the run, EndNotStored, and what the agent or the database raises. What there
    is of the answer is stored then, too, if it can be.
    """
    try:
        return await _run(services, run, request, context, transcript)
    except LeaseLost:
        _ended(services, run, "lost")
        raise


async def _run(
    services: Services, run: Run, request: ChatCreateNewChat, context: Context, transcript: Transcript
) -> ChatWithMessages:
    await run.channel.send([(transcript.snapshot(), ThreadEvent.INITIALIZE_CHAT)])
    run.begin(transcript)
    files = context.assets[:1] if request.asset_id else ()
    try:
        has_ended = await _answer(services, run, transcript, request, context)
        reasoned = f"Reasoned for {round(run.seconds)} seconds" if request.prompt else None
        await run.channel.send(transcript.close())
        chat = await finish_chat(services, run, transcript, files, reasoned if has_ended else run.stopped_as)
        _ended(services, run, "Completed" if has_ended else run.stopped_as)
        return chat
    except LeaseLost:
        raise
    except EndNotStored as error:
        run.error = error
        _ended(services, run, INTERRUPTED)
        raise
    except Exception as error:
        await _keep(services, run, transcript, files, FAILED)
        if isinstance(error, ThreadcastError):  # a refusal, which no other line of the log tells
            logger.info("run ended")
        raise
    except BaseException:  # cancelled: the server stops
        with anyio.move_on_after(SAVE_TIMEOUT_S, shield=True):
            await _keep(services, run, transcript, files, INTERRUPTED)
        raise


async def _answer(services: Services, run: Run, transcript: Transcript, request: ChatCreateNewChat, context: Context) -> bool:
    """Answer the post. False when it is stopped before its end."""
    if request.prompt is None:
        if run.stopping.done():
            return False
        await run.channel.send(transcript.add_response(part, "completed") for part in open_asset(context.assets))
        return True
    ids = transcript.chat.message_ids
    history = tuple(transcript.chat.messages[id] for id in ids[: ids.index(run.message_id)])
    task = AgentTask(request.prompt, context.assets, history)
    with checkpointed(services, run, transcript) as checkpoints:
        return await run_agent(services, run, task, transcript, checkpoints)


async def _keep(services: Services, run: Run, transcript: Transcript, files: tuple[Asset, ...], why: str) -> None:
    """Store what a run that ends early has said. Errors of this are only logged, except LeaseLost: the run has its own."""
    for _ in transcript.close():  # the items are told to nobody
        pass
    try:
        await finish_chat(services, run, transcript, files, why)
    except LeaseLost:
        raise
    except Exception:
        logger.exception("message %s stays unfinished until somebody posts in its chat", transcript.message.id)
    _ended(services, run, why)


def _ended(services: Services, run: Run, end: str) -> None:
    facts = {"end": end.lower(), "seconds": round(run.seconds, 1), "words": run.transcript.words if run.transcript else 0}
    if end == FAILED:
        bind_contextvars(**facts)  # the log line of its error has them
    else:
        logger.info("run ended", extra=facts)
    services.backends.metrics.runs_ended.labels(end.lower()).inc()
