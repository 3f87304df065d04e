"""Plans, batches of plans and their simulation results."""

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
    """Sources of the spend token until the collateral is sold."""

    FLASH_LOAN = "flash_loan"  # a lender of the spend token; its kind and address say which
    CALLBACK = "callback"  # nobody: the protocol takes the repayment after it paid out
    CLEARANCE = "clearance"  # the operator's own money: the vault liquidates, and keeps it
    VAULT = "vault"  # the operator's own money: it is a cure, and nothing comes back
    FLASH_SWAP = "flash_swap"  # the route's own last pool pays first and is paid in collateral


@dataclass(frozen=True, slots=True, kw_only=True)
class Funding:
    """Funding of the spend token.

    ``source`` is the executor's number for it, ``name`` its display name, ``lender`` the contract
    that lends (the flash swap's pool, the flash lender, or the protocol that calls back),
    ``amount`` the amount borrowed or owed to the callback (sufficient at the deadline), ``fee`` its
    cost.
    """

    kind: FundingKind
    source: int
    name: str
    lender: Address
    amount: TokenUnits
    fee: TokenUnits


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One liquidation, sized and priced.

    The profit is in the spend token. It is the proceeds of the sale less the amount spent and the
    funding's fee. ``gross_profit`` is the expectation at the earliest landing, ``net_profit`` its
    worth less ``gas`` at ``gas_price`` and the ``bid``. ``min_profit`` is the minimum that the
    executor enforces on chain, in units of the spend token, and ``sure_profit`` the minimum of
    every landing in the window. ``bid`` is offered as tip on top of the market's, ``least_net``
    must remain of the profit after gas and bid. ``gas`` is the expected gas, after simulation the
    plan's share of the gas used. ``step_gas`` is the limit of its step, with headroom. ``bad_debt``
    is the debt that the protocol is expected to write off with it, in the spend token (see
    ``LiquidationAmounts``). ``data_fee`` is its share of a rollup's data fee. The net profit is
    less that too. ``native_usd_e8`` is the native coin's price in 1e-8 US dollars, 0 if unknown.
    ``native_base`` is its price in the unit of a clearing's loss, 0 if that is the same.
    ``subsidy`` is the most that it may lose, in wei. ``episode`` is the margin call that a cure
    belongs to.
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
        """Whether the plan spends the vault's money for the account, and liquidates nothing."""
        return self.funding.kind is FundingKind.VAULT

    @property
    def is_clearance(self) -> bool:
        """Whether the vault liquidates with its own money and keeps the collateral."""
        return self.funding.kind is FundingKind.CLEARANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFee:
    """A rollup's fee for publishing a transaction's data, in wei.

    ``gas`` is the part of the gas limit that it uses if it is paid as gas, 0 if it is charged
    separately.
    """

    fee: Wei = _NO_FEE
    gas: Gas = _NO_GAS


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Plans of one transaction, ready for signing except for nonce and fees."""

    plans: tuple[Plan, ...]
    executor: Address
    calldata: bytes
    gas_limit: Gas
    deadline: Timestamp
    net_profit: Wei

    @property
    def data_fee(self) -> Wei:
        """The rollup's data fee, as the sum of its plans' shares."""
        return Wei(sum(plan.data_fee for plan in self.plans))


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedPlan:
    """Result of one plan of a simulated batch. ``failure`` is empty on success.

    ``gas_used`` is the gas of its own step, 0 if the executor's version does not report it.
    """

    profit: TokenUnits
    gas_used: Gas = _NO_GAS
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedBatch:
    """The executor's report on a batch, simulated on the pinned block."""

    plans: tuple[SimulatedPlan, ...]
    gas_used: Gas
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Block facts of acted-on accounts, stored together with the nonces that act."""

    block_hash: BlockHash
    document: str
