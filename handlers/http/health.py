"""Is it alive, is it ready, how is it: three answers for those who run the server. They need no token and name nobody."""

import anyio
from starlette.requests import Request
from starlette.responses import Response

from backends.metrics import CONTENT_TYPE
from backends.storage import DatabaseGone
from handlers.authenticate import json_response
from handlers.run_agent import is_stuck
from handlers.services import Services
from schemas.health import Alive, NotReady, Ready

DATABASE_S = 2.0  # the seconds in which the database has to answer


async def healthz(request: Request) -> Response:
    """The process answers, so it lives."""
    return json_response(Alive("alive"))


async def readyz(request: Request) -> Response:
    """Say whether this server wants traffic: 503 while it drains, or when its database does not answer or takes no writes.

    A server without its broker serves on, so it is ready: else a balancer would take all nodes away at once.
    """
    services: Services = request.state.services
    if services.posts.is_shut:
        return json_response(NotReady("draining"), 503)
    if is_stuck(services):
        return json_response(NotReady("the agent does not stop"), 503)
    try:
        with anyio.fail_after(DATABASE_S):
            await services.probe.check()
    except DatabaseGone:
        return json_response(NotReady("the database is gone"), 503)
    except Exception:
        return json_response(NotReady("the database does not answer"), 503)
    return json_response(Ready("ready", "connected" if services.backends.broker.connected else "disconnected"))


async def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    services: Services = request.state.services
    measured = services.backends.metrics
    # These are counted in other places, and only read here.
    measured.connections.set(len(services.connections))
    measured.broker_connected.set(services.backends.broker.connected)
    measured.outbox_bytes.set(services.connections.outboxes.bytes + services.connections.outboxes.leaving)
    measured.runs.labels("running").set(services.runs.running)
    measured.runs.labels("left_behind").set(len(services.runs.left_behind))
    measured.runs.labels("waiting").set(len(services.runs) - services.runs.running)
    return Response(measured.text(), media_type=CONTENT_TYPE)
