"""Adapters by their name in the settings. A new one needs only its folder.

A protocol is ``keeper/protocols/<protocol>/adapter.py``, a venue
``keeper/quotes/<kind>/adapter.py``. Each has ``Options`` (a pydantic model of its settings) and
``build``.
"""

import functools
import importlib
import importlib.util
import pkgutil
from types import ModuleType
from typing import Any, Final

import keeper.protocols
import keeper.quotes
from keeper.config import Market, Plugged, SettingsInvalid, Venue, nearest, validated
from keeper.config.problems import Problem
from keeper.domain.units import Address
from keeper.forms import Forms, MarketForm, VenueForm
from keeper.ports import ChainReader, ExitVenue, LendingMarket


def load_market(
    settings: Market, reader: ChainReader, from_block: int | None = None
) -> LendingMarket:
    """Build the market of a ``[[market]]`` section. Nothing is read yet.

    Its history starts at ``from_block`` if the settings do not state it.

    Raises:
        SettingsInvalid: there is no such protocol, or its options are wrong.
    """
    adapter = _load_adapter(keeper.protocols, settings.protocol, settings, "protocol")
    market: LendingMarket = adapter.build(
        _parse_options(adapter, settings),
        from_block=settings.from_block or from_block or 0,
        reader=reader,
    )
    return market


def load_venue(settings: Venue, reader: ChainReader) -> ExitVenue:
    """Build the venue of a ``[[venue]]`` section. Nothing is read yet.

    Raises:
        SettingsInvalid: there is no such kind, or its options are wrong.
    """
    adapter = _load_adapter(keeper.quotes, settings.kind, settings, "kind")
    venue: ExitVenue = adapter.build(_parse_options(adapter, settings), reader=reader)
    return venue


def check_options(settings: Market | Venue) -> None:
    """Check a section's options without building anything. SettingsInvalid if they are wrong."""
    if isinstance(settings, Market):
        _parse_options(
            _load_adapter(keeper.protocols, settings.protocol, settings, "protocol"), settings
        )
    else:
        _parse_options(_load_adapter(keeper.quotes, settings.kind, settings, "kind"), settings)


def venue_addresses(settings: Venue) -> dict[str, Address]:
    """List every address in a ``[[venue]]`` section, by the setting's name."""
    options = _parse_options(
        _load_adapter(keeper.quotes, settings.kind, settings, "kind"), settings
    )
    found: dict[str, Address] = {}
    for name, value in options.model_dump().items():
        several = value if isinstance(value, tuple) else (value,)
        texts = [one for one in several if isinstance(one, str) and one.startswith("0x")]
        found.update(
            {
                name if one == value else f"{name}[{at}]": Address(one)
                for at, one in enumerate(texts)
            }
        )
    return found


def market_form(protocol: str) -> MarketForm | None:
    """Load a protocol's record codec. None if it has none."""
    found: MarketForm | None = _load_codec(keeper.protocols, protocol)
    return found


def venue_form(kind: str) -> VenueForm | None:
    """Load the record codec of a kind of venue. None if it has none."""
    found: VenueForm | None = _load_codec(keeper.quotes, kind)
    return found


FORMS: Final = Forms(market=market_form, venue=venue_form)
"""Record codecs of all adapters, by name."""


@functools.cache
def _load_codec(package: ModuleType, name: str) -> Any:  # noqa: ANN401 (a module that is the form)
    where = f"{package.__name__}.{name}"
    if not name.isidentifier() or importlib.util.find_spec(where) is None:
        return None
    found = importlib.util.find_spec(f"{where}.record")
    return None if found is None else importlib.import_module(f"{where}.record")


def adapters(package: ModuleType) -> list[str]:
    """List the names of a package's adapters, sorted."""
    return sorted(
        found.name
        for found in pkgutil.iter_modules(package.__path__)
        if found.ispkg and importlib.util.find_spec(f"{package.__name__}.{found.name}.adapter")
    )


def _load_adapter(package: ModuleType, name: str, settings: Plugged, key: str) -> ModuleType:
    known = adapters(package)
    if name not in known:
        match = nearest(name, known)
        problem = Problem(
            setting=f"{settings.where}.{key}",
            origin=settings.origins.get(key, settings.origins.get("", "")),
            reason=f"{name!r} is not one this keeper knows",
            hint=f"did you mean {match}?" if match else f"allowed: {', '.join(known)}",
        )
        raise SettingsInvalid([problem])
    return importlib.import_module(f"{package.__name__}.{name}.adapter")


def _parse_options(adapter: ModuleType, settings: Plugged) -> Any:  # noqa: ANN401 (the adapter's own model)
    return validated(
        adapter.Options, settings.options, where=settings.where, origins=settings.origins
    )
