"""The gas table against what was measured: limits above it, expectations below it."""

from dataclasses import dataclass

import pytest

from keeper.protocols.aave_v3 import lenders as aave_lenders
from keeper.protocols.aave_v3.pairs import LIQUIDATION_GAS, OLD_LIQUIDATION_GAS
from keeper.protocols.morpho_blue import lenders as morpho_lenders
from keeper.protocols.morpho_blue.opportunity import LIQUIDATION_GAS as MORPHO_GAS
from keeper.quotes.uniswap_v3.lenders import FLASH_GAS
from keeper.strategy.gas import GasModel
from keeper.strategy.policy import Costs, Policy

GAS = GasModel()
STORAGE_BUILD = 70_000
"""The most that a step took more where the executor has no transient storage."""


@dataclass(frozen=True)
class Part:
    gas: int
    spend_token: str = "debt"
    receive_token: str = "collateral"


AAVE_LOAN = Part(aave_lenders.FLASH_LOAN_GAS)
MORPHO_LOAN = Part(morpho_lenders.FLASH_LOAN_GAS)
CALLBACK = Part(morpho_lenders.CALLBACK_GAS)
POOL = Part(FLASH_GAS)
FLASH_SWAP = None

# Protocol's gas, lender, hops, least step gas limit that works, gas of the transaction.
MEASURED = [
    (LIQUIDATION_GAS, AAVE_LOAN, 0, 549_000, 524_000),
    (LIQUIDATION_GAS, AAVE_LOAN, 1, 642_000, 598_000),
    (LIQUIDATION_GAS, AAVE_LOAN, 3, 869_000, 786_000),
    (LIQUIDATION_GAS, MORPHO_LOAN, 0, 529_000, 502_000),
    (LIQUIDATION_GAS, MORPHO_LOAN, 1, 613_000, 567_000),
    (LIQUIDATION_GAS, MORPHO_LOAN, 3, 839_000, 754_000),
    (LIQUIDATION_GAS, FLASH_SWAP, 1, 591_000, 567_000),
    (LIQUIDATION_GAS, FLASH_SWAP, 2, 727_000, 684_000),
    (LIQUIDATION_GAS, POOL, 0, 536_000, 527_000),
    (LIQUIDATION_GAS, POOL, 1, 627_000, 601_000),
    (LIQUIDATION_GAS, POOL, 2, 734_000, 687_000),
    (OLD_LIQUIDATION_GAS, AAVE_LOAN, 1, 687_000, 643_000),
    (OLD_LIQUIDATION_GAS, AAVE_LOAN, 3, 914_000, 831_000),
    (MORPHO_GAS, AAVE_LOAN, 1, 454_000, 407_000),
    (MORPHO_GAS, AAVE_LOAN, 2, 566_000, 499_000),
    (MORPHO_GAS, FLASH_SWAP, 1, 343_000, 315_000),
    (MORPHO_GAS, FLASH_SWAP, 2, 484_000, 437_000),
    (MORPHO_GAS, POOL, 1, 378_000, 348_000),
    (MORPHO_GAS, POOL, 2, 489_000, 440_000),
    (MORPHO_GAS, CALLBACK, 0, 185_000, 177_000),
    (MORPHO_GAS, CALLBACK, 1, 294_000, 267_000),
    (MORPHO_GAS, CALLBACK, 2, 406_000, 358_000),
    (MORPHO_GAS, MORPHO_LOAN, 0, 241_000, 222_000),
    (MORPHO_GAS, MORPHO_LOAN, 1, 353_000, 312_000),
    (MORPHO_GAS, MORPHO_LOAN, 2, 464_000, 401_000),
]


@pytest.mark.parametrize(("protocol", "lender", "hops", "least", "used"), MEASURED)
def test_every_measured_step_fits_its_limit_and_is_nominated(protocol, lender, hops, least, used):
    """A step never starves, in either build; nothing that pays is called too expensive."""
    tokens = ("debt", "debt") if hops == 0 else ("debt", "collateral")
    pair = Part(protocol, *tokens)
    most = GAS.most(pair, lender, hops, 0)

    assert GAS.step_limit(most, Policy()) >= least + STORAGE_BUILD
    assert GAS.at_least(pair) <= GAS.expected(most) <= used


@pytest.mark.parametrize(
    ("parts", "used"),
    [
        (8_024_000, 4_496_810),
        (8_274_000, 4_700_859),
        (7_104_000, 3_581_793),
        (8_234_000, 4_580_256),
    ],
)
def test_a_full_transaction_of_aave_uses_more_than_is_expected(parts, used):
    """Twelve liquidations of Aave v3.6 on warm slots, as simulated on Anvil."""
    assert GAS.expected(parts) <= used < parts


@pytest.mark.parametrize(
    ("parts", "used"), [(4_924_000, 2_339_976), (4_154_000, 2_019_544), (4_394_000, 2_449_560)]
)
def test_a_full_transaction_of_morpho_uses_more_than_is_expected(parts, used):
    """Twelve liquidations of Morpho Blue markets, likewise."""
    assert GAS.expected(parts) <= used < parts


def test_a_transaction_leaves_room_to_report_every_step():
    """EIP-150 keeps a 63rd; the executor keeps its report; both are on top of the steps' limits."""
    limits = [800_000, 900_000]

    found = GAS.batch_limit(limits)

    assert found >= GAS.transaction + sum(limits) + 900_000 // 63 + 2 * GAS.report


def test_the_block_bounds_a_transaction_too():
    """A chain with small blocks takes less than the protocol's cap."""
    small = Costs(gas_price=1, block_gas_limit=1_000_000)

    assert GAS.fits(1_000_000, Policy(), small)
    assert not GAS.fits(1_000_001, Policy(), small)
