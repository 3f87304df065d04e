"""Compares earnings with the chain's receipts."""

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from keeper.audit.earnings import Deal
from keeper.chain.abi import address_at, selector
from keeper.chain.concurrent import each
from keeper.composition.session import Session, opened
from keeper.config import Settings
from keeper.domain.errors import ChainError
from keeper.domain.head import Basis, Head
from keeper.domain.names import harmless
from keeper.domain.reads import Call, CallResult
from keeper.domain.submission import Submission
from keeper.domain.units import Address
from keeper.execution.settlement import Seen, settled
from keeper.storage.earnings import Booked

IN_FLIGHT: Final = 8
"""Receipts that are asked for at the same time."""
LONGEST_SYMBOL: Final = 24
_WORD: Final = 32
_MOST_DECIMALS: Final = 77


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token's symbol and decimals, as its contract states them."""

    symbol: str
    decimals: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The journal's earnings with the chain's data, and their differences.

    ``why_not`` is set if the chain could not be read. All data is the journal's then.
    """

    deals: Sequence[Deal]
    transactions: int = 0
    received: Mapping[Address, int] = field(default_factory=dict)
    differences: Sequence[str] = ()
    tokens: Mapping[Address, Token] = field(default_factory=dict)
    why_not: str = ""


async def hold_against_chain(settings: Settings, found: Booked) -> Held:
    """Check the deals against the chain's receipts.

    Raises:
        ConfigError: an endpoint serves another chain.
        ChainError: no endpoint answers.
    """
    async with opened(settings) as session:
        head = await session.reader.head()
        tokens = {deal.token for deal in found.deals if deal.token is not None}
        names = await _fetch_tokens(session, head, sorted(tokens))
        executors = sorted({one.batch.executor for one in found.submissions if one.batch})
        wrapped = {one: await _fetch_wrapped(session, head, one) for one in executors}
        seen = await each(
            list(found.submissions), lambda one: _fetch_receipt(session, one), in_flight=IN_FLIGHT
        )
    by_hash = dict[str, list[Deal]]()
    for deal in found.deals:
        by_hash.setdefault(deal.hash, []).append(deal)
    deals, differences, received = list[Deal](), list[str](), Counter[Address]()
    for one, receipt in zip(found.submissions, seen, strict=True):
        mined = one.inclusion
        own = by_hash.get(mined.hash, []) if mined is not None else []
        if receipt is None:
            deals += own
            differences.append(
                f"{mined.hash if mined else ''}: the node has no receipt of it; it lags, or the"
                " block was taken back"
            )
            continue
        made = settled(one, own, receipt, wrapped.get(one.batch.executor) if one.batch else None)
        deals += made.deals
        received.update(made.received)
        differences += made.differences
    differences += _find_received_differences(deals, received)
    return Held(
        deals=deals,
        transactions=len(seen),
        received=received,
        differences=differences,
        tokens=names,
    )


def _find_received_differences(deals: Sequence[Deal], received: Mapping[Address, int]) -> list[str]:
    """Return amounts in the tokens' logs that differ from the executor's."""
    booked = Counter[Address]()
    for deal in deals:
        if deal.token is not None and not deal.failure and deal.profit:
            booked[deal.token] += deal.profit
    return [
        f"the receiver got {received.get(token, 0)} units of {token} by the token's logs, and"
        f" {booked[token]} by the journal"
        for token in sorted(booked.keys() | received.keys())
        if received.get(token, 0) != booked[token]
    ]


async def _fetch_receipt(session: Session, one: Submission) -> Seen | None:
    if one.inclusion is None:
        return None
    receipt = await session.reader.receipt(one.inclusion.hash)
    if receipt is None:
        return None
    head = await session.reader.head(receipt.block_hash)
    return Seen(receipt=receipt, base_fee=head.base_fee)


async def _fetch_wrapped(session: Session, head: Head, executor: Address) -> Address | None:
    """Fetch the coin that an executor wraps. None if it does not state it."""
    with contextlib.suppress(ChainError):
        call = Call(target=executor, data=selector("wrappedNative()"))
        return address_at(await session.reader.call(call, Basis(block_hash=head.hash)), 0)
    return None


async def _fetch_tokens(
    session: Session, head: Head, tokens: Sequence[Address]
) -> Mapping[Address, Token]:
    """Fetch the tokens' symbols and decimals. Tokens that lack one of them are missing."""
    signatures = ("symbol()", "decimals()")
    calls = [Call(target=token, data=selector(one)) for token in tokens for one in signatures]
    answers = await session.reader.aggregate(calls, Basis(block_hash=head.hash)) if calls else []
    found = dict[Address, Token]()
    for token, symbol, decimals in zip(tokens, answers[::2], answers[1::2], strict=True):
        digits = int.from_bytes(decimals.data[:_WORD]) if len(decimals.data) >= _WORD else None
        if decimals.success and digits is not None and digits <= _MOST_DECIMALS:
            found[token] = Token(symbol=_decode_symbol(symbol) or token, decimals=digits)
    return found


def _decode_symbol(answer: CallResult) -> str:
    """Decode a token's symbol, from text or 32 bytes. Empty if it has none."""
    data = answer.data
    if not answer.success or len(data) < _WORD:
        return ""
    raw = data
    if len(data) > _WORD:
        length = int.from_bytes(data[_WORD : 2 * _WORD])
        raw = data[2 * _WORD : 2 * _WORD + min(length, LONGEST_SYMBOL)]
    return harmless(raw.rstrip(b"\0").decode(errors="replace")[:LONGEST_SYMBOL])
