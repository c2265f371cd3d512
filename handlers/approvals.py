"""What a chat's agent has asked, and what its user says to it."""

from msgspec.structs import replace

from schemas.chats import Approval, ChatMessage, ChatWithMessages, ReasoningMessage, TextReasoning
from schemas.errors import BadRequest
from schemas.requests import ApprovalAnswer

APPROVED, DENIED = "Approved", "Denied"


def answered(chat: ChatWithMessages, answers: tuple[ApprovalAnswer, ...]) -> ChatMessage:
    """The chat's last message, with these answers to all that it asks. Raises BadRequest."""
    asked = chat.messages[chat.message_ids[-1]]
    questions = {question.id: question for question in asked.approvals or ()}
    for number, answer in enumerate(answers):
        where = f"approvals[{number}].id"
        if answer.id not in questions:
            everywhere = (question for message in chat.messages.values() for question in message.approvals or ())
            earlier = next((question for question in everywhere if question.id == answer.id), None)
            raise BadRequest(f"{where}: {_why_not(earlier)}")
        if questions[answer.id].approved is not None:
            raise BadRequest(f"{where}: already answered")
        questions[answer.id] = replace(questions[answer.id], approved=answer.approved, value=answer.value)
    if left := [question.id for question in questions.values() if question.approved is None]:
        raise BadRequest(f"approvals must answer all questions at once, also {left[0]!r}")
    steps = {id: _told(step, questions) for id, step in asked.reasoning_messages.items()}
    return replace(asked, approvals=list(questions.values()), reasoning_messages=steps)


def _why_not(earlier: Approval | None) -> str:
    if earlier is None:
        return "there is no such question in this chat"
    return "the chat has gone on without an answer" if earlier.approved is None else "already answered"


def _told(step: ReasoningMessage, questions: dict[str, Approval]) -> ReasoningMessage:
    """The step that has waited for an answer, as it ends with that."""
    if not isinstance(step, TextReasoning) or step.status != "loading" or not step.tool or step.tool.call_id not in questions:
        return step
    approved = questions[step.tool.call_id].approved
    return replace(step, status="completed" if approved else "failed", secondary_title=APPROVED if approved else DENIED)
