"""What an agent has found, as a step of its reasoning: assets, each kind under its own heading, or sources."""

from uuid import NAMESPACE_URL, uuid4, uuid5

from msgspec import UNSET, UnsetType

from backends.agent_events import AssetsFound, SourcesFound
from schemas.chats import Pill, PillContainer, PillsReasoning

LINKED = "https://", "http://"  # what becomes a link: any other scheme may run a script where it is clicked


def pills(found: AssetsFound | SourcesFound) -> PillsReasoning:
    containers = _assets(found) if isinstance(found, AssetsFound) else _sources(found)
    return PillsReasoning(uuid4(), found.title, None, containers, "completed")


def _assets(found: AssetsFound) -> list[PillContainer]:
    groups: dict[str, list[Pill]] = {}
    for asset in found.assets:
        groups.setdefault(str(asset.asset_type), []).append(Pill(str(asset.id), asset.name, str(asset.asset_type)))
    return [PillContainer(title, pills) for title, pills in groups.items()]


def _sources(found: SourcesFound) -> list[PillContainer]:
    """A source's id is a UUID, since nodes of the version before read no other."""
    pills = [Pill(str(uuid5(NAMESPACE_URL, url)), text, "url", _link(url)) for text, url in found.sources]
    return [PillContainer("Sources", pills)]


def _link(url: str) -> str | UnsetType:
    return url if url.lower().startswith(LINKED) else UNSET
