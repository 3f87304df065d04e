"""State of a running demo, with the unhealthy accounts and whether all is done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from keeper.devnet.demo.places import Spot
from keeper.devnet.market import LINE

QUIET_BLOCKS: Final = 2
"""Blocks in which the keeper does nothing new before the next thing happens."""

Event = Mapping[str, Any]


@dataclass(slots=True)
class Timeline:
    """The health factor (wad) by the contracts of every borrower at every block."""

    blocks: dict[int, dict[Spot, int]] = field(default_factory=dict)

    def add(self, block: int, health: Mapping[Spot, int]) -> None:
        """Keep one block's health factors."""
        self.blocks[block] = dict(health)

    def health(self, account: Spot, block: int) -> int | None:
        """Return an account's health factor after a block. None if it was not read."""
        return self.blocks.get(block, {}).get(account)

    def unhealthy(self, block: int) -> frozenset[Spot]:
        """List the liquidatable accounts after a block."""
        return frozenset(who for who, health in self.blocks[block].items() if health < LINE)

    def breach(self, account: Spot, block: int) -> int | None:
        """Find the first of the consecutive unhealthy blocks that end before ``block``."""
        first = None
        while (health := self.health(account, block - 1)) is not None and health < LINE:
            block -= 1
            first = block
        return first


@dataclass(slots=True)
class Watch:
    """Events of the keeper in order, with its last decision on each account and flights."""

    decisions: dict[Spot, Event] = field(default_factory=dict)
    planned: list[tuple[str, int]] = field(default_factory=list)
    block: int = -1
    liquidations: int = 0
    _open: set[int] = field(default_factory=set)
    _quiet_since: int = -1

    def hear(self, events: Sequence[Event]) -> None:
        """Add the keeper's events."""
        for event in events:
            self._add_event(event)

    def is_done(self, block: int) -> bool:
        """Return whether the keeper has seen ``block``, and has nothing to do about it."""
        return (
            not self._open
            and self.block >= block + QUIET_BLOCKS
            and self.block >= self._quiet_since + QUIET_BLOCKS
        )

    def _add_event(self, event: Event) -> None:
        kind, block = event["event"], event.get("block_number", -1)
        if kind == "block":
            self.block = block
        elif kind == "decision":
            self.decisions[event["market"], event["account"]] = event
            if event["action"] == "liquidate":
                self.planned.append((event["account"], block))
                self._quiet_since = block
        elif kind in ("attempt", "reopened"):
            self._open.add(event["nonce"])
            self._quiet_since = block
        elif kind == "included":
            self._open.discard(event["nonce"])
            self._quiet_since = block
            self.liquidations += sum(1 for plan in event["plans"] if not plan["failure"])
