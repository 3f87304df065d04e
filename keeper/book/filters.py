"""Combination of log filters of several markets."""

from collections.abc import Iterable

from keeper.domain.reads import LogFilter


def merged(filters: Iterable[LogFilter]) -> LogFilter:
    """Return one filter that accepts all that the filters accept, by address and first topic."""
    every = list(filters)
    anywhere = any(not each.addresses for each in every)
    anything = any(not each.topics or not each.topics[0] for each in every)
    addresses = dict.fromkeys(address for each in every for address in each.addresses)
    topics = () if anything else dict.fromkeys(first for each in every for first in each.topics[0])
    return LogFilter(
        addresses=() if anywhere else tuple(addresses), topics=(tuple(topics),) if topics else ()
    )
