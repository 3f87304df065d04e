"""Hash of the effective settings, independent of their sources."""

import hashlib
import json
from typing import Final

from keeper.config.models import Settings

_WHENCE: Final = frozenset({"origins", "where"})


def settings_hash(settings: Settings) -> str:
    """Return the SHA-256 of the effective settings. A secret counts as set or not set."""
    document = _strip_origins(settings.model_dump(mode="json"))
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _strip_origins(value: object) -> object:
    """Return a document without the origins of its values."""
    if isinstance(value, dict):
        return {k: _strip_origins(one) for k, one in value.items() if k not in _WHENCE}
    return [_strip_origins(one) for one in value] if isinstance(value, list) else value
