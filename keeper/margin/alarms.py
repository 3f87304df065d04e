"""Alarms about unreadable markets and untrusted prices."""

from collections.abc import Mapping
from dataclasses import replace

from keeper.domain.notice import Notice
from keeper.domain.units import MarketKey
from keeper.margin.guard import Block
from keeper.margin.notices import about_trouble
from keeper.margin.settings import Response
from keeper.margin.state import Alarm, Breach


def alarmed(block: Block) -> tuple[Mapping[str, Alarm], list[Notice]]:
    """Return the alarms after a block, and notices of those that began or ended in it."""
    troubles, alarms = _collect_failures(block), dict(block.state.alarms)
    notices = list[Notice]()
    for name in sorted(troubles.keys() | alarms.keys()):
        before = alarms.get(name)
        after = _advance_alarm(block, before, troubles.get(name))
        if after is None:
            continue
        alarms[name] = after
        began = not after.ended and (before is None or before.ended)
        ended = after.ended and before is not None and not before.ended
        if began or ended:
            notices.append(about_trouble(block, name, after))
    return alarms, notices


def _collect_failures(block: Block) -> Mapping[str, tuple[MarketKey, str]]:
    """Collect everything that fails at a block, keyed by a stable name."""
    found = dict[str, tuple[MarketKey, str]]()
    for market, why in block.facts.failed.items():
        found[f"market/{market}"] = (market, f"the market cannot be read: {why}")
    found |= _find_silent_sources(block)
    for market, suspicions in block.suspicions.items():
        for one in suspicions:
            if one.response is not Response.EXECUTE:
                name = f"price/{market}/{one.token}/{one.feed}/{one.check}"
                left = ", its accounts are left alone" if one.response is Response.SKIP else ""
                found[name] = (market, f"{one.check}: {one.detail}{left}")
    return found


def _find_silent_sources(block: Block) -> Mapping[str, tuple[MarketKey, str]]:
    """Find second sources without a price in every market that uses them."""
    heard, silent = set[str](), dict[str, tuple[MarketKey, str]]()
    for market, stated in block.facts.markets.items():
        symbols = {one.token: one.symbol for one in stated.readings}
        for token, seconds in stated.seconds.items():
            for one in seconds:
                name = f"second/{token}/{one.source}"
                if one.price:
                    heard.add(name)
                    continue
                what = f"the second source of {symbols.get(token, token)} fails: {one.source}"
                silent.setdefault(name, (market, what))
    return {name: one for name, one in silent.items() if name not in heard}


def _advance_alarm(
    block: Block, before: Alarm | None, trouble: tuple[MarketKey, str] | None
) -> Alarm | None:
    """Return an alarm's state after a block. A market without data ends no alarm."""
    if trouble is not None:
        market, detail = trouble
        if before is None or before.ended:
            number = 1 if before is None else before.number + 1
            return Alarm(number=number, since=block.mark, detail=detail, market=market)
        return replace(before, over=None)
    if before is None or before.ended or before.market not in block.facts.markets:
        return before
    over = before.over
    over = Breach(since=block.mark) if over is None else over.again()
    ended = over.count >= block.settings.tiers.closing_after_blocks
    return replace(before, over=over, ended=ended)
