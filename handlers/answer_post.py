"""Answering a prompt whose message is stored: by an agent, told as it comes, and stored at its end."""

import logging

import anyio
import msgspec

from backends.agent import AgentTask, AgentUser
from backends.lease import LeaseLost
from backends.logs import bind_contextvars
from backends.stored import find_state
from handlers.initialize_chat import Begun
from handlers.open_steps import questions_of
from handlers.run_agent import run_agent
from handlers.runs import FAILED, FULL, INTERRUPTED, STOPPED, Run
from handlers.services import Services
from handlers.store_answer import EndNotStored, checkpointed, finish_chat
from handlers.stream import Stream
from handlers.transcript import Transcript
from schemas.assets import Asset
from schemas.chats import ChatWithMessages, FinishReason
from schemas.errors import ThreadcastError
from schemas.requests import ChatCreateNewChat
from schemas.users import AuthenticatedUser

SAVE_TIMEOUT_S = 3.0  # seconds to store what a cancelled run has said: a shutdown does not wait longer

REASONS: dict[str, FinishReason] = {STOPPED: "stopped", INTERRUPTED: "interrupted", FULL: "length", FAILED: "failed"}
CUT_OFF: dict[FinishReason, str] = {
    "length": "Cut off at the length limit",
    "content_filter": "Stopped by the content filter",
}

WAITING = "Waits for your approval"

logger = logging.getLogger("threadcast")


async def answer_post(
    services: Services, run: Run, request: ChatCreateNewChat, user: AuthenticatedUser, begun: Begun, stream: Stream
) -> ChatWithMessages:
    """Tell and store the answer to a prompt whose message is stored. Returns the chat, whose end is still to be told.

    Raises LeaseLost when another node has closed the run, EndNotStored, and what the agent or the database raises. What there
    is of the answer is stored then, too, if it can be.
    """
    files = begun.context.assets[:1] if request.asset_id else ()
    try:
        return await _run(services, run, await _task(services, run, request, user, begun), files, stream, begun.transcript)
    except LeaseLost:
        run_ended(services, run, begun.transcript, "lost")
        raise
    finally:
        run.over()


async def _run(
    services: Services, run: Run, task: AgentTask, files: tuple[Asset, ...], stream: Stream, transcript: Transcript
) -> ChatWithMessages:
    try:
        await stream.begin(transcript.snapshot())
        run.begin(transcript)
        with checkpointed(services, run, transcript) as checkpoints:
            has_ended = await run_agent(services, run, task, transcript, checkpoints)
        why, how = _end(run, transcript) if has_ended else (REASONS[run.stopped_as], run.stopped_as)
        await run.channel.send(transcript.close(ended=has_ended))
        chat = await finish_chat(services, run, transcript, files, why, how)
        run_ended(services, run, transcript, "Completed" if has_ended else run.stopped_as)
        return chat
    except LeaseLost:
        raise
    except EndNotStored as error:
        run.error = error
        run_ended(services, run, transcript, INTERRUPTED)
        raise
    except Exception as error:
        if not isinstance(error, anyio.BrokenResourceError):  # the stream has failed, and not the agent
            services.backends.metrics.failed(error)
        await _keep(services, run, transcript, files, FAILED)
        if isinstance(error, ThreadcastError):  # a refusal, which no other line of the log tells
            logger.info("run ended")
        raise
    except BaseException:  # cancelled: the server stops
        with anyio.move_on_after(SAVE_TIMEOUT_S, shield=True):
            await _keep(services, run, transcript, files, INTERRUPTED)
        raise


def _end(run: Run, transcript: Transcript) -> tuple[FinishReason, str]:
    """Why an answer that came to its own end did so, for programs and for people."""
    why = transcript.message.finish_reason or "stop"
    if transcript.open and questions_of(transcript.open.values()):
        return why, WAITING
    seconds = round(run.seconds)
    return why, CUT_OFF.get(why, f"Reasoned for {seconds} second{'' if seconds == 1 else 's'}")


async def _task(services: Services, run: Run, request: ChatCreateNewChat, user: AuthenticatedUser, begun: Begun) -> AgentTask:
    chat = begun.transcript.chat
    history = tuple(chat.messages[id] for id in chat.message_ids[: chat.message_ids.index(run.message_id)])
    state = await find_state(services.backends.storage, chat.id, run.message_id) if history else None
    return AgentTask(
        prompt=request.prompt or "",
        assets=begun.context.assets,
        history=history,
        user=AgentUser(user.id, user.name, user.email),
        chat_id=run.chat_id,
        message_id=run.message_id,
        model=request.model,
        state=state and msgspec.json.decode(state),
        approvals=tuple(history[-1].approvals or ()) if request.approvals else (),
    )


async def _keep(services: Services, run: Run, transcript: Transcript, files: tuple[Asset, ...], why: str) -> None:
    """Store what a run that ends early has said. Errors of this are only logged, except LeaseLost: the run has its own."""
    for _ in transcript.close():  # the items are told to nobody
        pass
    try:
        await finish_chat(services, run, transcript, files, REASONS[why], why)
    except LeaseLost:
        raise
    except Exception:
        logger.exception("message %s stays unfinished until somebody posts in its chat", transcript.message.id)
    run_ended(services, run, transcript, why)


def run_ended(services: Services, run: Run, transcript: Transcript, end: str) -> None:
    """Log and count the end of a run."""
    facts = {"end": end.lower(), "seconds": round(run.seconds, 1), "words": transcript.words}
    if end == FAILED:
        bind_contextvars(**facts)  # the log line of its error has them
    else:
        logger.info("run ended", extra=facts)
    services.backends.metrics.runs_ended.labels(end.lower()).inc()
    if run.first_token is not None:
        services.backends.metrics.first_token_seconds.labels(run.model).observe(run.first_token)
    if usage := transcript.message.usage:
        services.backends.metrics.used(usage)
