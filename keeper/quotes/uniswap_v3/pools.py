"""Finds pools by the factory's fee tiers and pairs of tokens."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from keeper.chain.abi import WORD, address_at, calldata, signed_word, topic, word
from keeper.domain.errors import RpcMalformed
from keeper.domain.head import Basis, Head
from keeper.domain.reads import Call, CallResult, LogFilter
from keeper.domain.units import Address, Pips
from keeper.ports import ChainReader

TokenPair = tuple[Address, Address]
"""Two tokens in the pools' order: by the number that the address is."""

COMMON_FEES: Final = (100, 200, 300, 400, 500, 1000, 2500, 3000, 5000, 10000)
"""Fees that deployments are known to enable; the factory says which of them it has."""

_YOUNG_CHAIN: Final = 20_000  # blocks: the factory's logs are read without being told from where
_RECHECK: Final = 100  # blocks until a pair with pools is asked for new ones
_RECHECK_EMPTY: Final = 10  # blocks until a pair without pools is asked again
TIERS_HOLD: Final = 7_200  # blocks for which kept tiers are taken for all that there are
_NO_POOL: Final = bytes(WORD)
_FEE_ENABLED: Final = "FeeAmountEnabled(uint24,int24)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The immutable properties of one pool."""

    address: Address
    tokens: TokenPair
    fee: Pips
    spacing: int


def ordered(a: Address, b: Address) -> TokenPair:
    """Return two tokens in the pools' order."""
    return (a, b) if int(a, 16) < int(b, 16) else (b, a)


class PoolDirectory:
    """The factory's pools by pair of tokens, cached and refreshed from time to time."""

    def __init__(self, reader: ChainReader, factory: Address, from_block: int | None) -> None:
        """Send no request yet. ``from_block`` is the first block of the factory's logs."""
        self._reader, self._factory, self._from_block = reader, factory, from_block
        self._spacings = dict[int, int]()
        self._pools = dict[TokenPair, tuple[Pool, ...]]()
        self._asked = dict[TokenPair, int]()
        self._blocks, self._newest, self._tiers_asked = 0, "", -_RECHECK
        self._tiers_read_at: int | None = None

    async def learn(self, basis: Basis) -> None:
        """Fetch the fee tiers unless they are known."""
        await self._fetch_tiers(basis)

    def facts(self) -> Mapping[str, object]:
        """Return the permanent fee tiers, and the block at which they were read."""
        if self._tiers_read_at is None:
            return {}
        return {
            "spacings": self._spacings,
            "logs_to": self._from_block,
            "read_at": self._tiers_read_at,
        }

    def restore(self, facts: Mapping[str, Any], head: Head) -> None:
        """Restore the facts of an earlier process. Old facts cause a new search for tiers."""
        logs_to, read_at = facts["logs_to"], int(facts["read_at"])
        self._spacings = {int(fee): int(spacing) for fee, spacing in facts["spacings"].items()}
        if logs_to is not None:
            self._from_block = int(logs_to)
        self._tiers_read_at = read_at
        if 0 <= head.number - read_at <= TIERS_HOLD:
            self._tiers_asked = self._blocks

    async def pools(
        self, pairs: Collection[TokenPair], basis: Basis
    ) -> Mapping[TokenPair, tuple[Pool, ...]]:
        """Return the pools of the pairs, by fee.

        Known pairs cost no request, except for a periodic search for new pools.
        """
        if basis.block_hash != self._newest:
            self._blocks, self._newest = self._blocks + 1, basis.block_hash
        due = sorted(pair for pair in set(pairs) if self._is_due(pair))
        if due:
            await self._fetch_pairs(due, basis)
        return {pair: self._pools[pair] for pair in pairs}

    def _is_due(self, pair: TokenPair) -> bool:
        """Return whether the pair needs a request to the factory."""
        patience = _RECHECK if self._pools.get(pair) else _RECHECK_EMPTY
        return pair not in self._asked or self._blocks - self._asked[pair] >= patience

    async def _fetch_pairs(self, pairs: Collection[TokenPair], basis: Basis) -> None:
        """Fetch every fee tier of every pair from the factory in one request."""
        spacings = await self._fetch_tiers(basis)
        wanted = [(pair, fee) for pair in pairs for fee in sorted(spacings)]
        calls = [
            self._build_call("getPool(address,address,uint24)", *pair, fee) for pair, fee in wanted
        ]
        answers = await self._reader.aggregate(calls, basis)
        found: dict[TokenPair, list[Pool]] = {pair: [] for pair in pairs}
        for (pair, fee), answer in zip(wanted, answers, strict=True):
            raw = self._check_word(answer)
            if raw != _NO_POOL:
                address, spacing = address_at(raw, 0), spacings[fee]
                found[pair].append(
                    Pool(address=address, tokens=pair, fee=Pips(fee), spacing=spacing)
                )
        for pair, pools in found.items():
            self._pools[pair], self._asked[pair] = tuple(pools), self._blocks

    async def _fetch_tiers(self, basis: Basis) -> Mapping[int, int]:
        """Return the tick spacing of every fee that the factory has enabled."""
        if self._blocks - self._tiers_asked < _RECHECK:
            return self._spacings
        fees = sorted({*COMMON_FEES, *self._spacings, *await self._fetch_fees_from_logs(basis)})
        calls = [self._build_call("feeAmountTickSpacing(uint24)", fee) for fee in fees]
        answers = await self._reader.aggregate(calls, basis)
        spacings = {
            fee: signed_word(self._check_word(answer), 0)
            for fee, answer in zip(fees, answers, strict=True)
        }
        self._spacings = {fee: spacing for fee, spacing in spacings.items() if spacing > 0}
        self._tiers_asked = self._blocks
        return self._spacings

    async def _fetch_fees_from_logs(self, basis: Basis) -> set[int]:
        """Return the fees in the factory's logs, if reading these is cheap enough."""
        head = await self._reader.head(basis.block_hash)
        self._tiers_read_at = head.number
        first = self._from_block
        if first is None:
            if head.number > _YOUNG_CHAIN:
                return set()
            first = 0
        self._from_block = head.number
        wanted = LogFilter(addresses=(self._factory,), topics=((topic(_FEE_ENABLED),),))
        logs = await self._reader.logs_between(wanted, first, head.number)
        return {word(log.topics[1], 0) for log in logs if len(log.topics) > 1}

    def _build_call(self, signature: str, *values: object) -> Call:
        """Build a call of the factory."""
        return Call(target=self._factory, data=calldata(signature, *values))

    def _check_word(self, answer: CallResult) -> bytes:
        """Return the answer's single word."""
        if not answer.success or len(answer.data) != WORD:
            raise RpcMalformed(f"{self._factory} does not answer as a Uniswap v3 factory does")
        return answer.data
