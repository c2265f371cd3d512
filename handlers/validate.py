"""Whether a post makes sense by itself. One function, for the socket and for every other way in. Protocol section 4."""

from msgspec.structs import replace

from schemas.assets import DASHBOARD, METRIC
from schemas.errors import BadRequest
from schemas.requests import ChatCreateNewChat

ASSET_TYPE_MISSING = "asset_type must be provided when asset_id is specified"
ASSET_ID_MISSING = "asset_id must be provided when asset_type is specified"
MORE_THAN_ONE = "only one of chat_id, asset_id, metric_id and dashboard_id can be provided"
NOTHING_ASKED = "a prompt is required unless an asset is provided"


def validate(request: ChatCreateNewChat) -> ChatCreateNewChat:
    """The request in its plain form: a blank prompt is None, a legacy field is the generic pair. Raises BadRequest.

    Looks nothing up. The checks count the fields as they came, so that a legacy field is never counted beside its own pair.
    """
    if request.asset_id and not request.asset_type:
        raise BadRequest(ASSET_TYPE_MISSING)
    if request.asset_type and not request.asset_id:
        raise BadRequest(ASSET_ID_MISSING)
    subjects = [request.chat_id, request.asset_id, request.metric_id, request.dashboard_id]
    if sum(subject is not None for subject in subjects) > 1:
        raise BadRequest(MORE_THAN_ONE)
    plain = _without_legacy(replace(request, prompt=request.prompt if (request.prompt or "").strip() else None))
    if plain.prompt is None and plain.asset_id is None:
        raise BadRequest(NOTHING_ASKED)
    return plain


def _without_legacy(request: ChatCreateNewChat) -> ChatCreateNewChat:
    if request.metric_id:
        return replace(request, asset_id=request.metric_id, asset_type=METRIC, metric_id=None)
    if request.dashboard_id:
        return replace(request, asset_id=request.dashboard_id, asset_type=DASHBOARD, dashboard_id=None)
    return request
