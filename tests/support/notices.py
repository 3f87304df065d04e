"""Notices to tell, with one detail changed."""

from keeper.domain.advice import Advice, Cure, CureKind, LiquidationPrice
from keeper.domain.notice import Notice, NoticeKind
from keeper.domain.units import WAD

ACCOUNT = "0x00000000000000000000000000000000000000A1"
MARKET = "aave_v3:0x00000000000000000000000000000000000000B1"
TOKEN = "0x00000000000000000000000000000000000000C1"


def advice(**changed):
    """The cures of an account: 12.5 USDC to repay, or a third of a WETH to add."""
    facts = {
        "target": 125 * WAD // 100,
        "holds_until": 1_700_086_400,
        "cures": (
            Cure(
                kind=CureKind.REPAY_DEBT,
                token=TOKEN,
                symbol="USDC",
                decimals=6,
                amount=12_500_000,
                value=12_50000000,
            ),
        ),
        "prices": (LiquidationPrice(token=TOKEN, symbol="WETH", price=2_400 * 10**8, now=10**12),),
    }
    return Advice(**{**facts, **changed})


def notice(**changed):
    """A call about ``ACCOUNT``."""
    facts = {
        "key": "31337:aave:0xa1:call:1:called",
        "kind": NoticeKind.CALLED,
        "tier": "call",
        "block_number": 7,
        "block_hash": "0x" + "07" * 32,
        "timestamp": 1_700_000_000,
        "market": MARKET,
        "account": ACCOUNT,
        "episode": 1,
        "health_factor": 108 * WAD // 100,
        "debt_usd_e8": 2_500 * 10**8,
        "collateral_usd_e8": 3_100 * 10**8,
    }
    return Notice(**{**facts, **changed})
