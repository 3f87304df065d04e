"""Views of the protocols' own contracts, for the health of accounts and for liquidations.

A ``Place`` is one protocol of the devnet as its contracts describe it, independent of the keeper. A
further protocol is a further class with its line in ``PLACES``.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from keeper.chain.abi import address_at, checksum, topic, word
from keeper.devnet.market import AAVE_V3, MORPHO_BLUE, Devnet
from keeper.devnet.morpho import Morpho
from keeper.domain.reads import Log
from keeper.domain.units import UINT256_MAX, WAD, Address, BlockHash, MarketKey, TransactionHash

Spot = tuple[str, str]
"""A market's key, as the keeper writes it, and an account in it."""

LIQUIDATION_CALL: Final = topic(
    "LiquidationCall(address,address,address,uint256,uint256,address,bool)"
)
"""Source: aave-dao/aave-v3-origin ``IPool`` at fd1fbd91; the same in 3.0."""

LIQUIDATE: Final = topic(
    "Liquidate(bytes32,address,address,uint256,uint256,uint256,uint256,uint256)"
)
"""Source: morpho-org/morpho-blue ``EventsLib``."""

NO_DEBT: Final = UINT256_MAX
"""The health factor of an account without debt."""

_ORACLE_SCALE: Final = 10**36


@dataclass(frozen=True, slots=True, kw_only=True)
class Seizure:
    """One liquidation by the protocol's own log, with symbols for tokens."""

    market: str = ""
    account: str
    transaction: str
    spent_token: str
    spent: int
    received_token: str
    received: int


class Place(Protocol):
    """One protocol of the devnet."""

    @property
    def title(self) -> str:
        """The protocol's name for people."""
        ...

    def kinds(self) -> dict[Spot, str]:
        """Return every borrower with its kind."""
        ...

    def health_factors(self, block: int) -> dict[Spot, int]:
        """Read every borrower's health factor (wad) at a block from the contracts."""
        ...

    def seizures(self, since: int) -> tuple[Seizure, ...]:
        """List the liquidations in the protocol's logs after block ``since``."""
        ...


@dataclass(frozen=True, slots=True)
class AavePlace:
    """Aave v3: one pool, which states each account's health factor itself."""

    devnet: Devnet

    @property
    def title(self) -> str:
        """The protocol with its version."""
        return f"Aave v{self.devnet.aave.version}"

    @property
    def market(self) -> str:
        """The pool's key in the keeper."""
        return MarketKey(f"{AAVE_V3}:{self.devnet.aave.provider.address}")

    def kinds(self) -> dict[Spot, str]:
        """Return every borrower's shape."""
        return {(self.market, each.address): each.kind for each in self.devnet.borrowers}

    def health_factors(self, block: int) -> dict[Spot, int]:
        """Return ``getUserAccountData``'s health factors."""
        found = self.devnet.health_factors(block)
        return {(self.market, account): health for account, health in found.items()}

    def seizures(self, since: int) -> tuple[Seizure, ...]:
        """Return the pool's ``LiquidationCall`` logs."""
        logs = logs_since(self.devnet, self.devnet.aave.pool.address, LIQUIDATION_CALL, since)
        return tuple(self._build_seizure(each) for each in logs)

    def _build_seizure(self, log: Log) -> Seizure:
        topics = b"".join(log.topics)
        return Seizure(
            market=self.market,
            account=address_at(topics, 3),
            transaction=log.transaction_hash,
            spent_token=symbol_of(self.devnet, address_at(topics, 2)),
            spent=word(log.data, 0),
            received_token=symbol_of(self.devnet, address_at(topics, 1)),
            received=word(log.data, 1),
        )


@dataclass(frozen=True, slots=True)
class MorphoPlace:
    """Morpho Blue with isolated markets, in which an account's debt is what a repayment takes."""

    devnet: Devnet
    morpho: Morpho

    @property
    def title(self) -> str:
        """The protocol."""
        return "Morpho Blue"

    def kinds(self) -> dict[Spot, str]:
        """Return every borrower's market."""
        return {
            (self._build_key(self.morpho.markets[each.market].id), each.address): each.market
            for each in self.morpho.borrowers
        }

    def health_factors(self, block: int) -> dict[Spot, int]:
        """Compute the debt limit over the debt, rounded down, like ``_isHealthy``.

        The contract has no view of it. Its ``repay`` returns the debt, accrued and rounded by
        itself, and the market's oracle returns the price.
        """
        borrowers = self.morpho.borrowers
        prices = dict(
            zip(
                self.morpho.markets,
                self._send_calls(
                    (one.oracle.transaction("price").as_json() for one in self._list_markets()),
                    block,
                ),
                strict=True,
            )
        )
        contract = self.morpho.contract
        positions = self._send_calls(
            (
                contract.transaction(
                    "position", self._get_identity(each.market), each.address
                ).as_json()
                for each in borrowers
            ),
            block,
        )
        shares = [word(answer, 1) for answer in positions]
        repaid = self._send_calls(
            (
                contract.transaction(
                    "repay", self.morpho.markets[each.market].terms, 0, owed, each.address, b""
                ).as_json()
                for each, owed in zip(borrowers, shares, strict=True)
                if owed
            ),
            block,
        )
        debts, found = iter(repaid), dict[Spot, int]()
        for each, answer, owed in zip(borrowers, positions, shares, strict=True):
            one = self.morpho.markets[each.market]
            worth = word(answer, 2) * word(prices[each.market], 0) // _ORACLE_SCALE
            most = worth * one.spec.lltv // WAD
            spot = (self._build_key(one.id), each.address)
            found[spot] = most * WAD // word(next(debts), 0) if owed else NO_DEBT
        return found

    def seizures(self, since: int) -> tuple[Seizure, ...]:
        """Return the contract's ``Liquidate`` logs."""
        logs = logs_since(self.devnet, self.morpho.contract.address, LIQUIDATE, since)
        return tuple(self._build_seizure(each) for each in logs)

    def _build_seizure(self, log: Log) -> Seizure:
        identity = "0x" + log.topics[1].hex()
        one = next(each for each in self._list_markets() if each.id == identity)
        return Seizure(
            market=self._build_key(identity),
            account=address_at(log.topics[3], 0),
            transaction=log.transaction_hash,
            spent_token=one.spec.loan,
            spent=word(log.data, 0),
            received_token=one.spec.collateral,
            received=word(log.data, 2),
        )

    def _list_markets(self) -> Collection[Any]:
        return self.morpho.markets.values()

    def _get_identity(self, name: str) -> bytes:
        return bytes.fromhex(self.morpho.markets[name].id[2:])

    def _build_key(self, identity: str) -> str:
        return MarketKey(f"{MORPHO_BLUE}:{self.morpho.contract.address}:{identity}")

    def _send_calls(self, calls: Iterable[dict[str, str]], block: int) -> list[bytes]:
        wanted = [("eth_call", [call, hex(block)]) for call in calls]
        return [bytes.fromhex(answer[2:]) for answer in self.devnet.node.batch(wanted)]


def _build_morpho_view(devnet: Devnet) -> Place:
    assert devnet.morpho is not None  # noqa: S101 - the protocol was asked for
    return MorphoPlace(devnet, devnet.morpho)


PLACES: Final[Mapping[str, Callable[[Devnet], Place]]] = {
    AAVE_V3: AavePlace,
    MORPHO_BLUE: _build_morpho_view,
}


@dataclass(frozen=True, slots=True)
class Places:
    """Several protocols as one."""

    each: tuple[Place, ...]

    @classmethod
    def of(cls, devnet: Devnet, protocols: Iterable[str]) -> "Places":
        """Return the places of these protocols of a devnet."""
        return cls(tuple(PLACES[name](devnet) for name in protocols))

    @property
    def title(self) -> str:
        """Their names."""
        return ", ".join(one.title for one in self.each)

    def kinds(self) -> dict[Spot, str]:
        """Return every borrower with its kind."""
        return {spot: kind for one in self.each for spot, kind in one.kinds().items()}

    def health_factors(self, block: int) -> dict[Spot, int]:
        """Return every borrower's health factor (wad) at a block."""
        return {spot: each for one in self.each for spot, each in one.health_factors(block).items()}

    def seizures(self, since: int) -> tuple[Seizure, ...]:
        """Return all the liquidations after block ``since``."""
        return tuple(found for one in self.each for found in one.seizures(since))


def symbol_of(devnet: Devnet, address: Address) -> str:
    """Return a token's symbol, or the address of a token unknown to the devnet."""
    symbols = {token.address: symbol for symbol, token in devnet.tokens.items()}
    return symbols.get(address, address)


def logs_since(devnet: Devnet, address: str, name: bytes, since: int) -> list[Log]:
    """Return a contract's logs of one event after block ``since``."""
    wanted = {
        "address": address,
        "fromBlock": hex(since + 1),
        "toBlock": "latest",
        "topics": ["0x" + name.hex()],
    }
    return [log_of(each) for each in devnet.node.rpc("eth_getLogs", [wanted])]


def log_of(raw: Mapping[str, Any]) -> Log:
    """Convert a JSON-RPC log to the keeper's type."""
    return Log(
        address=checksum(raw["address"]),
        topics=tuple(bytes.fromhex(each[2:]) for each in raw["topics"]),
        data=bytes.fromhex(raw["data"][2:]),
        block_number=int(raw["blockNumber"], 16),
        block_hash=BlockHash(raw["blockHash"]),
        transaction_hash=TransactionHash(raw["transactionHash"]),
        index=int(raw["logIndex"], 16),
    )
