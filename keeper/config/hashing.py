"""One hash for the effective settings: the same settings, wherever they come from."""

import hashlib
import json
from typing import Final

from keeper.config.models import Settings

_WHENCE: Final = frozenset({"origins", "where"})


def settings_hash(settings: Settings) -> str:
    """Return the SHA-256 of the settings in effect, secrets counted as set or not set."""
    document = _without_whence(settings.model_dump(mode="json"))
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _without_whence(value: object) -> object:
    """Return a document without where its values come from."""
    if isinstance(value, dict):
        return {k: _without_whence(one) for k, one in value.items() if k not in _WHENCE}
    return [_without_whence(one) for one in value] if isinstance(value, list) else value
