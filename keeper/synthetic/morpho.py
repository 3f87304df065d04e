"""A made-up Morpho Blue market with as many borrowers as one likes."""

import dataclasses
from dataclasses import dataclass
from typing import Final

import numpy as np

from keeper.columns.block import Block, Side
from keeper.columns.table import Columns
from keeper.columns.view import View
from keeper.domain.units import (
    WAD,
    BaseCurrency,
    MarketKey,
    Timestamp,
    TokenUnits,
    Wad,
)
from keeper.protocols.morpho_blue.accounts import Role, new_columns
from keeper.protocols.morpho_blue.model import (
    Irm,
    Market,
    OraclePrice,
    Params,
    Shares,
    State,
    Token,
)
from keeper.protocols.morpho_blue.reader import USD_UNIT
from keeper.protocols.morpho_blue.snapshot import MorphoSnapshot
from keeper.synthetic.aave import BATCH
from keeper.synthetic.blocks import NOW, block_after, made_address
from keeper.synthetic.people import People, as_words, people

LLTV: Final = Wad(86 * WAD // 100)
WETH_PRICE: Final = 3_400
"""Dollars; an oracle's price is USDC (6 decimals) for WETH (18), times 1e36."""
ORACLE_UNIT: Final = 10**24
USDC_UNIT: Final = 10**6
RATE_AT_TARGET: Final = 1_268_391_679
"""Four percent a year, in wad per second."""
UTILIZATION: Final = (9, 10)
SHARES_PER_ASSET: Final = 950_000
"""Assets have grown by some five percent since the first shares at a million for each."""


@dataclass(slots=True, kw_only=True)
class MorphoBook:
    """Market without a chain, with the adapter's own snapshots block after block."""

    columns: Columns
    snapshot: MorphoSnapshot

    def after(self, seconds: int = 12, price: OraclePrice | None = None) -> MorphoSnapshot:
        """Return the market a block later, with interest accrued and a changed price."""
        before = self.snapshot
        self.snapshot = dataclasses.replace(
            before,
            head=block_after(before.head, seconds),
            price=before.price if price is None else price,
            view=View(self.columns),
        )
        return self.snapshot


def morpho_book(accounts: int, seed: int = 0) -> MorphoBook:
    """Build a market with ``accounts`` borrowers (see ``keeper.synthetic.people``)."""
    random, columns = np.random.default_rng(seed), new_columns()
    columns.reserve(accounts)
    for start in range(0, accounts, BATCH):
        some = people(random, min(BATCH, accounts - start), 2)
        columns.put(some.address, _build_block(some, columns))
    words = columns.words[1][: len(columns)]
    shares = int(words[:, 0].astype(object).sum() + (words[:, 1].astype(object).sum() << 64))
    loan = Token(address=made_address("token", 1), symbol="USDC", decimals=6)
    collateral = Token(address=made_address("token", 0), symbol="WETH", decimals=18)
    read, morpho = _build_market(loan, collateral), made_address("Morpho", 0)
    state = _state(shares)
    return MorphoBook(
        columns=columns,
        snapshot=MorphoSnapshot(
            head=block_after(None, 0),
            morpho=morpho,
            read=read,
            state=state,
            price=OraclePrice(WETH_PRICE * ORACLE_UNIT),
            usd={loan.address: USD_UNIT, collateral.address: BaseCurrency(WETH_PRICE * USD_UNIT)},
            tokens={one.address: one for one in (loan, collateral)},
            held={loan.address: TokenUnits(state.supply_assets - state.borrow_assets)},
            view=View(columns),
        ),
    )


def _build_market(loan: Token, collateral: Token) -> Market:
    params = Params(
        loan_token=loan.address,
        collateral_token=collateral.address,
        oracle=made_address("oracle", 1),
        irm=made_address("rate model", 0),
        lltv=LLTV,
    )
    return Market(
        id=params.id,
        key=MarketKey(f"morpho_blue:synthetic:{params.id}"),
        params=params,
        loan=loan,
        collateral=collateral,
        irm=Irm.ADAPTIVE_CURVE,
    )


def _state(shares: int) -> State:
    borrowed = shares // SHARES_PER_ASSET
    supplied = borrowed * UTILIZATION[1] // UTILIZATION[0]
    return State(
        supply_assets=TokenUnits(supplied),
        supply_shares=Shares(supplied * SHARES_PER_ASSET),
        borrow_assets=TokenUnits(borrowed),
        borrow_shares=Shares(shares),
        last_update=Timestamp(NOW),
        fee=Wad(0),
        rate_at_target=RATE_AT_TARGET,
    )


def _build_block(some: People, columns: Columns) -> Block:
    worth = WETH_PRICE / 10**18 * LLTV / WAD
    pledged = some.debt * some.health / worth
    shares = some.debt * USDC_UNIT * SHARES_PER_ASSET
    codes = [
        columns.codes.code((0, 0, role), side)
        for role, side in ((Role.COLLATERAL, Side.BACKS), (Role.DEBT, Side.OWED))
    ]
    return Block(
        category=np.zeros(len(some), dtype=np.uint16),
        count=np.full(len(some), 2, dtype=np.uint16),
        code=np.tile(np.array(codes, dtype=np.uint16), len(some)),
        words=as_words(np.stack([pledged, shares], axis=1).ravel()),
    )
