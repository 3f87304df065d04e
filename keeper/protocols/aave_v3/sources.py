"""Unwraps price sources to the feed that states the age of its answer."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from keeper.chain.abi import signed_word, word
from keeper.chain.asking import Answers, ask
from keeper.domain.head import Basis
from keeper.domain.reads import Call, CallResult
from keeper.domain.units import Address
from keeper.ports import ChainReader
from keeper.protocols.aave_v3.model import ZERO_ADDRESS, PriceSource

ADAPTER_GETTERS: Final = (
    "BASE_TO_USD_AGGREGATOR()",
    "ASSET_TO_USD_AGGREGATOR()",
    "ASSET_TO_PEG()",
    "PEG_TO_BASE()",
    "baseAggregator()",
    "feed()",
)
"""How adapters name the feed below them: bgd-labs' price caps and ratio adapters, and kin."""

BOUND_GETTERS: Final = (
    "minAnswer()",
    "maxAnswer()",
    "minSubmissionValue()",
    "maxSubmissionValue()",
)
"""How aggregators state what they cut their answers to: OCR's, then FluxAggregator's."""

MOST_LAYERS: Final = 4
WORD: Final = 32
LEAST_ROUND_DATA: Final = 5 * 32


async def price_sources(
    reader: ChainReader, sources: Sequence[Address], basis: Basis
) -> list[PriceSource]:
    """Return each source with its feed. A source that cannot be unwrapped has none."""
    below: list[Address | None] = list(sources)
    found: list[PriceSource | None] = [None] * len(sources)
    for _ in range(MOST_LAYERS):
        open_ = [at for at, at_source in enumerate(below) if at_source and found[at] is None]
        open_ = [at for at in open_ if below[at] != ZERO_ADDRESS]
        if not open_:
            break
        questions = [question for at in open_ for question in _build_questions(below[at])]
        answers = Answers(await reader.aggregate(questions, basis))
        for at in open_:
            feed, next_below = _unwrap_source(below[at], answers)
            if feed is not None:
                found[at] = PriceSource(
                    source=sources[at],
                    feed=feed.feed,
                    aggregator=feed.aggregator,
                    decimals=feed.decimals,
                )
            below[at] = next_below
    known = [
        kept if kept is not None else PriceSource(source=source)
        for kept, source in zip(found, sources, strict=True)
    ]
    return await _fetch_bounds(reader, known, basis)


async def _fetch_bounds(
    reader: ChainReader, sources: Sequence[PriceSource], basis: Basis
) -> list[PriceSource]:
    """Return the sources with the bounds of their aggregators."""
    asked = [one.aggregator for one in sources if one.aggregator is not None]
    if not asked:
        return list(sources)
    calls = [ask(aggregator, name) for aggregator in asked for name in BOUND_GETTERS]
    answers = Answers(await reader.aggregate(calls, basis))
    bounds = {aggregator: _decode_bounds(answers) for aggregator in asked}
    return [
        one
        if one.aggregator is None
        else replace(one, minimum=bounds[one.aggregator][0], maximum=bounds[one.aggregator][1])
        for one in sources
    ]


def _decode_bounds(answers: Answers) -> tuple[int | None, int | None]:
    """Return the minimum and maximum of an aggregator, preferring the newer getters."""
    low, high, older_low, older_high = (_decode_signed(answers.next()) for _ in BOUND_GETTERS)
    return low if low is not None else older_low, high if high is not None else older_high


def _decode_signed(answer: CallResult) -> int | None:
    return signed_word(answer.data, 0) if answer.success and len(answer.data) == WORD else None


def _build_questions(source: Address | None) -> list[Call]:
    target = source or ZERO_ADDRESS
    names = ("latestRoundData()", "aggregator()", "decimals()", *ADAPTER_GETTERS)
    return [ask(target, name) for name in names]


def _unwrap_source(
    source: Address | None, answers: Answers
) -> tuple[PriceSource | None, Address | None]:
    """Return the source if it is a feed, else the layer below."""
    rounds = answers.next()
    aggregator, decimals = answers.maybe_address(), answers.maybe_integer()
    below = [answers.maybe_address() for _ in ADAPTER_GETTERS]
    next_below = next((address for address in below if address is not None), None)
    if source is not None and _is_round(rounds):
        feed = PriceSource(source=source, feed=source, aggregator=aggregator, decimals=decimals)
        return feed, None
    return None, next_below


def _is_round(answer: CallResult) -> bool:
    return answer.success and len(answer.data) >= LEAST_ROUND_DATA and word(answer.data, 3) > 0
