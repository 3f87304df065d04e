"""What is on record about an account, in words."""

import json

import pytest

from keeper.audit.chain import Entry
from keeper.cli.past import lines
from keeper.domain.value import TokenPrice

WAD = 10**18
USDC = TokenPrice(token="0xb", symbol="USDC", decimals=6, price=10**8)


def told(kind, /, **body):
    one = Entry(
        id=7,
        kind=kind,
        block_number=12,
        block_time=1_800_000_000,
        market="m:1",
        account="0xa",
        body=json.dumps(body),
        hash="",
    )
    (line,) = lines([one], {"0xb": USDC})
    return line


HEALTH = {"health_factor": str(109 * WAD // 100), "guarded_health_factor": str(WAD)}


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        (
            "decision",
            {
                "action": "skip",
                "reason": "dust",
                "net_profit": str(-(10**15)),
                "health_factor": None,
            },
            (
                "left alone, dust: the whole bonus does not pay the gas; it would have netted"
                " -0.001000 ETH"
            ),
        ),
        (
            "decision",
            {
                "action": "skip",
                "reason": "not_sent",
                "detail": "breaker reverts is open",
                "net_profit": None,
            },
            "left alone, not_sent: the transaction was not sent (breaker reverts is open)",
        ),
        (
            "decision",
            {"action": "liquidate", "net_profit": "0", "health_factor": str(99 * WAD // 100)},
            "decided to liquidate, to net 0.000000 ETH, health 0.9900",
        ),
        (
            "episode",
            {"change": "entered", "before": "watch", "tier": "call", **HEALTH},
            "entered call (from watch), health 1.0900, 1.0000 with the spike guard",
        ),
        (
            "episode",
            {"change": "left", "before": "call", "tier": "healthy", "health_factor": None},
            "left call for healthy  (entry",
        ),
        ("episode", {"change": "opened", "episode": 2}, "episode 2 begins"),
        (
            "episode",
            {"change": "closed", "episode": 2, "outcome": "cured"},
            "episode 2 ends: out of every tier",
        ),
        (
            "call",
            {"kind": "called", "tier": "urgent", "deadline": 1_800_000_600, "detail": "soon"},
            "call due (tier urgent), the policy's waiting ends 2027-01-15 08:10:00 UTC: soon",
        ),
        (
            "call",
            {
                "kind": "called",
                "tier": "call",
                "cure": {
                    "kind": "repay_debt",
                    "symbol": "USDC",
                    "decimals": "6",
                    "amount": "1500000",
                },
            },
            "call due (tier call); a cure: repay 1.5 USDC",
        ),
        (
            "call",
            {"kind": "liquidated", "tier": "call", "channels": "0"},
            "notice of the liquidation due (tier call); no channel was configured",
        ),
        (
            "delivery",
            {
                "channel": "ops",
                "result": "sent",
                "at": 1_800_000_600,
                "notices": [{"key": "k", "waited": "61"}],
            },
            "1 notice delivered to ops at 2027-01-15 08:10:00 UTC, 1 min after due",
        ),
        (
            "delivery",
            {
                "channel": "ops",
                "result": "dead",
                "reason": "answered 400",
                "at": 1_800_000_600,
                "notices": [{"key": "k", "waited": "0"}, {"key": "l", "waited": "9"}],
            },
            "2 notices given up for ops at 2027-01-15 08:10:00 UTC: answered 400",
        ),
        (
            "outcome",
            {"state": "included", "success": True, "failure": "", "hash": "0x1", "profit_wei": "0"},
            "liquidated in 0x1, earned 0.000000 ETH before gas",
        ),
        (
            "outcome",
            {"state": "included", "success": False, "failure": "", "hash": "0x1"},
            "liquidation failed in 0x1: reverted",
        ),
        (
            "outcome",
            {"state": "included", "what": "cure", "success": True, "failure": "", "hash": "0x1"},
            "cured by the keeper in 0x1",
        ),
        (
            "outcome",
            {
                "state": "included",
                "what": "cure",
                "success": True,
                "failure": "",
                "hash": "0x1",
                "spend": "250",
                "token": "0xb",
            },
            "cured by the keeper with 0.00025 USDC in 0x1",
        ),
        (
            "outcome",
            {
                "state": "included",
                "what": "clearing",
                "success": True,
                "failure": "",
                "hash": "0x1",
                "spend": "250",
                "token": "0xc",
                "profit_wei": str(-(10**15)),
            },
            "cleared by the vault with 250 units of 0xc in 0x1, lost 0.001000 ETH before gas",
        ),
        (
            "outcome",
            {"state": "reopened", "hash": "0x1"},
            (
                "the chain took the block of its transaction 0x1 back: what it did there"
                " does not count"
            ),
        ),
        ("outcome", {"state": "final", "hash": "0x1"}, "its transaction 0x1 is final"),
        ("something", {"new": "thing", "not": None}, "new=thing"),
    ],
)
def test_each_kind_of_entry_has_its_words(kind, body, words):
    """When, what, and the number by which it can be replayed."""
    line = told(kind, **body)

    assert line.strip().startswith("block 12, 2027-01-15 08:00:00 UTC")
    assert words in line
    assert line.endswith("(entry 7)")
