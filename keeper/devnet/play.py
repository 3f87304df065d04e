"""
A recorded price path through the real feeds, step by step and faster than it was.

Each asset moves by the path's proportions from where it stands, so that the devnet's
borrowers begin as healthy as they are: what fell by a tenth falls by a tenth.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from keeper.devnet.assets import BY_SYMBOL, RATIO_ASSET, RATIO_BASE
from keeper.devnet.market import Devnet
from keeper.domain.errors import ConfigError
from keeper.rehearse.prices import PricePath

STAKED: Final = "stETH"
"""Its price relative to ether's moves the ratio asset, never above its own ratio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step with its number and total, the record's time, and the feeds' new prices."""

    number: int
    of: int
    recorded_at: int
    prices: Mapping[str, int]


def played(
    devnet: Devnet,
    path: PricePath,
    *,
    step_seconds: int,
    pause: float,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Step]:
    """Move the feeds along the path, yielding after each step, as the chain's time passes.

    ``pause`` is the least duration of a step in seconds of this machine's time, for a watching
    keeper.

    Raises:
        ConfigError: none of the path's assets is listed on the devnet.
    """
    starts = devnet.prices()
    if not _list_followed(path):
        raise ConfigError(
            "none of the path's assets is on the devnet", hint=f"it lists {', '.join(BY_SYMBOL)}"
        )
    times = range(path.times[0], path.times[-1] + 1, step_seconds)
    for number, when in enumerate(times):
        if number:
            devnet.node.pass_time(step_seconds)
        devnet.set_prices(moved_prices(starts, path, when))
        yield Step(number=number, of=len(times), recorded_at=when, prices=devnet.prices())
        sleep(pause)


def moved_prices(starts: Mapping[str, int], path: PricePath, when: int) -> dict[str, int]:
    """Compute the feeds' prices at a time of the path, in proportion to the ``starts``."""
    now, first = path.at(when), path.at(path.times[0])
    moved = {one: starts[one] * now[one] // first[one] for one in _list_followed(path)}
    if STAKED in path.symbols and RATIO_BASE in moved:
        staked = starts[RATIO_ASSET] * now[STAKED] // first[STAKED]
        most = starts[RATIO_ASSET] * moved[RATIO_BASE] // starts[RATIO_BASE]
        moved[RATIO_ASSET] = min(staked, most)
    return moved


def _list_followed(path: PricePath) -> list[str]:
    return [one for one in path.symbols if one in BY_SYMBOL and one != RATIO_ASSET]
