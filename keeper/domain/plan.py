"""A liquidation that is worth sending: amounts, way out, funding, what it should earn."""

import enum
from dataclasses import dataclass
from typing import Final

from keeper.domain.curve import Route
from keeper.domain.units import Address, BlockHash, Gas, MarketKey, Timestamp, TokenUnits, Wei

_NO_GAS: Final = Gas(0)
_NOTHING: Final = TokenUnits(0)
_NO_FEE: Final = Wei(0)
_NO_SUBSIDY: Final = Wei(0)


class FundingKind(enum.StrEnum):
    """Where the spend token comes from until the collateral is sold."""

    FLASH_LOAN = "flash_loan"  # a lender of the spend token; its kind and address say which
    CALLBACK = "callback"  # nobody: the protocol takes the repayment after it paid out
    CLEARANCE = "clearance"  # the operator's own money: the vault liquidates, and keeps it
    VAULT = "vault"  # the operator's own money: it is a cure, and nothing comes back
    FLASH_SWAP = "flash_swap"  # the route's own last pool pays first and is paid in collateral


@dataclass(frozen=True, slots=True, kw_only=True)
class Funding:
    """
    How the spend token is had.

    ``source`` is the executor's number for it, ``name`` the word for people,
    ``lender`` the contract that lends (the flash swap's pool, the flash lender, or the
    protocol that calls back), ``amount`` what is borrowed or owed to the callback (enough at
    the deadline), ``fee`` what that costs.
    """

    kind: FundingKind
    source: int
    name: str
    lender: Address
    amount: TokenUnits
    fee: TokenUnits


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    One liquidation, sized and priced.

    The profit is in the spend token: what the sale brings, less what is spent and
    the funding's fee. ``gross_profit`` is the expectation at the earliest landing,
    ``net_profit`` its worth less ``gas`` at ``gas_price`` and the ``bid``; ``min_profit`` is
    what the executor enforces on chain, in units of the spend token, and ``sure_profit``
    what every landing in the window brings. ``bid`` is what is offered as tip on top of the
    market's, ``least_net`` what has to be left of the profit after gas and bid. ``gas`` is the gas
    expected, after simulation the plan's share of what was used; ``step_gas`` is the
    limit of its step, with headroom. ``bad_debt`` is what the protocol is expected to
    write off with it, in the spend token (see ``Outcome``). ``data_fee`` is its share of
    what a rollup takes for publishing the transaction; the net profit is less that too.
    ``native_usd_e8`` is the native coin's price in 1e-8 US dollars, 0 where unknown;
    ``native_base`` in what a clearing counts its loss in, 0 where that is the same.
    ``subsidy`` is what it may lose, at most, in wei; ``episode`` is the margin call's that a
    cure answers.
    """

    market: MarketKey
    account: Address
    spend_token: Address
    receive_token: Address
    amount: TokenUnits
    spend: TokenUnits
    receive: TokenUnits
    route: Route
    funding: Funding
    module: int
    step_data: bytes
    gross_profit: TokenUnits
    gross_profit_wei: Wei
    gas: Gas
    gas_price: Wei
    net_profit: Wei
    min_profit: TokenUnits
    health_factor: int
    deadline: Timestamp
    step_gas: Gas = _NO_GAS
    sure_profit: TokenUnits = _NOTHING
    bad_debt: TokenUnits = _NOTHING
    data_fee: Wei = _NO_FEE
    native_usd_e8: int = 0
    native_base: int = 0
    subsidy: Wei = _NO_SUBSIDY
    episode: int = 0
    bid: Wei = _NO_FEE
    least_net: Wei = _NO_FEE
    alternatives: tuple[str, ...] = ()

    @property
    def is_cure(self) -> bool:
        """Whether it spends the vault's money for the account, and liquidates nothing."""
        return self.funding.kind is FundingKind.VAULT

    @property
    def is_clearance(self) -> bool:
        """Whether the vault liquidates with its own money and keeps the collateral."""
        return self.funding.kind is FundingKind.CLEARANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFee:
    """
    What a rollup takes for publishing a transaction's data, in wei.

    ``gas`` is what of the gas limit goes into it, where it is paid as gas; 0 where it is taken
    beside the gas.
    """

    fee: Wei = _NO_FEE
    gas: Gas = _NO_GAS


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Plans that share one transaction, ready to be signed but for nonce and fees."""

    plans: tuple[Plan, ...]
    executor: Address
    calldata: bytes
    gas_limit: Gas
    deadline: Timestamp
    net_profit: Wei

    @property
    def data_fee(self) -> Wei:
        """What a rollup takes for publishing it, by its plans' shares."""
        return Wei(sum(plan.data_fee for plan in self.plans))


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedPlan:
    """
    What one plan of a simulated batch did; ``failure`` is empty when it worked.

    ``gas_used`` is what its own step took, 0 where the executor's version does not say.
    """

    profit: TokenUnits
    gas_used: Gas = _NO_GAS
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedBatch:
    """What the executor reported for a batch, run on the pinned block and not sent."""

    plans: tuple[SimulatedPlan, ...]
    gas_used: Gas
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What a block says of those acted on, as it is kept with the nonces that do it."""

    block_hash: BlockHash
    document: str
