"""What `make test-protocol` tells schemathesis of what the schema says in words only: the rules between a post's fields."""

import msgspec
import schemathesis
from schemathesis import Case, HookContext

from handlers.context import posted_type_hook
from handlers.validate import validate
from schemas.errors import BadRequest
from schemas.requests import ChatCreateNewChat


@schemathesis.hook
def filter_case(context: HookContext, case: Case) -> bool:
    """Whether to send it: not what fits the schema and breaks those rules. It is refused, as tests of our own see."""
    try:
        validate(msgspec.convert(case.body, ChatCreateNewChat, dec_hook=posted_type_hook))
    except BadRequest:
        return False
    except msgspec.ValidationError:  # it does not fit the schema, or is of another path
        pass
    return True
