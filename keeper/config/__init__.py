"""Settings, the only reader of the environment and of the settings file."""

from keeper.config.loading import Loaded, load, overrides, settings_path
from keeper.config.models import (
    SECRETS,
    Chain,
    Executor,
    Journal,
    Log,
    Market,
    Observe,
    Policy,
    Run,
    Settings,
    Venue,
    Wallet,
)
from keeper.config.notifying import Channel, Notify
from keeper.config.problems import Problem, SettingsInvalid, nearest, validated
from keeper.config.section import Plugged, Section
from keeper.config.types import (
    AddressText,
    EndpointText,
    Exact,
    FilePath,
    Flag,
    PrivateKey,
    SecretText,
    Text,
    Whole,
)

__all__ = [
    "SECRETS",
    "AddressText",
    "Chain",
    "Channel",
    "EndpointText",
    "Exact",
    "Executor",
    "FilePath",
    "Flag",
    "Journal",
    "Loaded",
    "Log",
    "Market",
    "Notify",
    "Observe",
    "Plugged",
    "Policy",
    "PrivateKey",
    "Problem",
    "Run",
    "SecretText",
    "Section",
    "Settings",
    "SettingsInvalid",
    "Text",
    "Venue",
    "Wallet",
    "Whole",
    "load",
    "nearest",
    "overrides",
    "settings_path",
    "validated",
]
