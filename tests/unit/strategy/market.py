"""A small exact market for the strategy's tests: pools, pairs, lenders, prices."""

from dataclasses import dataclass, replace

from keeper.domain.curve import Hop, Route, Trade
from keeper.domain.decision import SkipReason
from keeper.domain.exits import Exits
from keeper.domain.opportunity import ExecutorStep, LiquidityKey, Outcome, Refusal
from keeper.domain.units import UINT256_MAX, WAD
from keeper.domain.value import TokenPrice, Valuation
from keeper.strategy.candidate import Candidate, Terms
from keeper.strategy.gas import GasModel
from keeper.strategy.policy import Costs, Policy

WETH, USDC, WBTC = ("0x" + letter * 40 for letter in "abc")
MARKET = "aave_v3:0x" + "1" * 40
GWEI = 10**9
USD = 10**6
"""One US dollar in units of USDC."""

PRICES = {
    WETH: TokenPrice(token=WETH, symbol="WETH", decimals=18, price=2_000 * 10**8),
    USDC: TokenPrice(token=USDC, symbol="USDC", decimals=6, price=10**8),
    WBTC: TokenPrice(token=WBTC, symbol="WBTC", decimals=8, price=60_000 * 10**8),
}
VALUATION = Valuation(
    prices=PRICES, base_unit=10**8, native_price=2_000 * 10**8, usd_per_base=(1, 1)
)
POLICY = Policy()
COSTS = Costs(gas_price=2 * GWEI, block_gas_limit=30_000_000)
GAS = GasModel()
TERMS = Terms(valuation=VALUATION, costs=COSTS, policy=POLICY, gas_model=GAS)


def address(number: int) -> str:
    return f"0x{number:040x}"


@dataclass(frozen=True, slots=True)
class Pool:
    """A constant-product pool, in exact integers; it cannot pay out its last unit."""

    pool: str
    tokens: tuple[str, str]
    reserves: tuple[int, int]
    fee: int = 3_000

    def sold(self, token_in, amount_in):
        side = self.tokens.index(token_in)
        have_in, have_out = self.reserves[side], self.reserves[1 - side]
        net_in = amount_in * (10**6 - self.fee) // 10**6
        amount_out = have_out * net_in // (have_in + net_in)
        return self._traded(side, amount_in, amount_out)

    def bought(self, token_out, amount_out):
        side = 1 - self.tokens.index(token_out)
        have_in, have_out = self.reserves[side], self.reserves[1 - side]
        if amount_out >= have_out:
            return None
        net_in = -(-have_in * amount_out // (have_out - amount_out))
        amount_in = -(-net_in * 10**6 // (10**6 - self.fee))
        return self._traded(side, amount_in, amount_out)

    def _traded(self, side, amount_in, amount_out):
        reserves = list(self.reserves)
        reserves[side] += amount_in
        reserves[1 - side] -= amount_out
        after = replace(self, reserves=tuple(reserves))
        return Trade(amount_in=amount_in, amount_out=amount_out, after=after, ticks_crossed=0)


def weth_pool(usd: int, *, number: int = 900, fee: int = 3_000, price: int = 2_000) -> Pool:
    """A pool of WETH and USDC with ``usd`` dollars on each side."""
    return Pool(address(number), (WETH, USDC), (usd * WAD // price, usd * USD), fee)


def route(*pools: Pool, start: str = WETH, venue: str = "uniswap_v3") -> Route:
    hops, token = [], start
    for pool in pools:
        other = pool.tokens[1 - pool.tokens.index(token)]
        hops.append(Hop(pool=pool.pool, token_in=token, token_out=other, fee=pool.fee))
        token = other
    return Route(venue=venue, factory=address(1), hops=tuple(hops))


def exits(*routes_of, pools=(), lenders=None) -> Exits:
    """Exits from routes; the pairs are read off their ends."""
    routes = {}
    for one in routes_of:
        pair = (one.hops[0].token_in, one.hops[-1].token_out)
        routes[pair] = (*routes.get(pair, ()), one)
    return Exits(routes=routes, curves={pool.pool: pool for pool in pools}, lenders=lenders or {})


@dataclass(frozen=True)
class Pair:
    """An opportunity that pays ``bonus_bps`` on any amount, with optional growth until landing."""

    account: str
    debt: int
    receive_token: str = WETH
    spend_token: str = USDC
    market: str = MARKET
    bonus_bps: int = 500
    partial: tuple[int, int] | None = None
    gas: int = 350_000
    growth: int = 0
    shrinkage: int = 0
    drawn_from: LiquidityKey | None = None
    repaid_to: LiquidityKey | None = None
    refuses: Refusal | None = None
    own_funding: tuple = ()

    @property
    def bonus_at_most(self):
        return VALUATION.base_floor(self.spend_token, self.debt) * self.bonus_bps // 10_000

    def outcome(self, amount):
        everything = amount == UINT256_MAX
        if everything and self.refuses is not None:
            return self.refuses
        spend = self.debt if everything else amount
        given, got = PRICES[self.spend_token], PRICES[self.receive_token]
        value = spend * given.price * (10_000 + self.bonus_bps) * 10**got.decimals
        receive = value // (got.price * 10_000 * 10**given.decimals)
        drawn = ((self.drawn_from, receive),) if self.drawn_from else ()
        repaid = ((self.repaid_to, spend),) if self.repaid_to else ()
        return Outcome(
            amount=amount,
            spend=spend,
            spend_at_most=spend + (self.growth if everything else 0),
            receive=receive,
            receive_at_least=receive - self.shrinkage,
            drawn=drawn,
            repaid=repaid,
        )

    def step(self, amount):
        return ExecutorStep(module=1, data=amount.to_bytes(32, "big"))


@dataclass(frozen=True)
class Lender:
    """A flash lender with a fee in basis points, rounded up."""

    token: str = USDC
    available: int = 10**15
    lender: str = address(700)
    fee_bps: int = 5
    source: int = 1
    kind: str = "aave_v3_flash_loan"
    gas: int = 80_000
    holder: str = address(701)

    @property
    def liquidity(self):
        return LiquidityKey(holder=self.holder, token=self.token)

    def fee(self, amount):
        return -(-amount * self.fee_bps // 10_000)


def candidate(*pairs, account=None, **changes) -> Candidate:
    values = {
        "market": MARKET,
        "account": account or pairs[0].account,
        "health_factor": 95 * 10**16,
        "deadline": 1_700_000_120,
        "valuation": VALUATION,
        "opportunities": pairs,
        "lenders": {USDC: (Lender(),)},
    }
    return Candidate(**{**values, **changes})


def refusal(reason: SkipReason) -> Refusal:
    return Refusal(reason=reason, detail=reason.value)
