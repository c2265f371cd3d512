"""Whatever a user does to a chat, in whatever order: its streams end once, and what is stored is what was told."""

from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from tests.support.chat_machine import ChatLife

ChatLife.TestCase.settings = hypothesis_settings(
    max_examples=20, stateful_step_count=25, suppress_health_check=list(HealthCheck)
)
