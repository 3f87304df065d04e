"""Slips of the finger that would look like "nobody": named, with what was meant."""

from dataclasses import dataclass, field

import pytest

from keeper.cli import root
from keeper.cli.addresses import refuse_no_address
from keeper.cli.picking import Picking
from keeper.cli.strangers import find_strangers
from keeper.config import load
from keeper.domain.account import AccountHealth, Balance
from keeper.domain.errors import ConfigError
from keeper.domain.oracle import Reading
from keeper.domain.value import TokenPrice
from tests.unit.cli.test_breaker_command import SETTINGS
from tests.unit.cli.test_schemas import CHANNEL

WETH, USDC, ODD = ("0x" + digit * 40 for digit in "123")
BORROWER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
STRANGER = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"


@dataclass
class Snapshot:
    """A market with two priced tokens, and one whose price fails, held by the borrower."""

    market: str = "m:1"
    prices: dict = field(
        default_factory=lambda: {
            WETH: TokenPrice(token=WETH, symbol="WETH", decimals=18, price=1),
            USDC: TokenPrice(token=USDC, symbol="USDC", decimals=6, price=1),
        }
    )

    def account(self, account):
        if account != BORROWER:
            return None
        return AccountHealth(
            market=self.market, account=account, health_factor=1, collateral_base=1, debt_base=1,
            liquidatable=True,
        )  # fmt: skip

    def accounts(self):
        return [self.account(BORROWER)]

    def readings(self):
        return [Reading(token=ODD, symbol="ODD", feed=ODD, price=1)]

    def balances(self, account):
        return (Balance(token=ODD, symbol="ODD", decimals=18, amount=1, value=0),), ()


@pytest.mark.parametrize("asset", ["", "weth", "USDC", USDC, "odd", ODD.upper().replace("X", "x")])
def test_a_token_of_a_market_is_taken_by_symbol_or_address_priced_or_not(asset):
    """A token whose price fails today is there all the same."""
    Picking(asset=asset).refuse_unknown([Snapshot()])


@pytest.mark.parametrize(
    ("asset", "hint"), [("WETT", "did you mean WETH?"), ("FOO", "there: USDC, WETH")]
)
def test_a_token_that_no_market_has_is_not_an_empty_answer(asset, hint):
    """An empty list with code 0 reads as: nobody holds it."""
    with pytest.raises(ConfigError, match=f"no market has a token {asset}") as caught:
        Picking(asset=asset).refuse_unknown([Snapshot()])
    assert caught.value.hint == hint


@pytest.mark.parametrize("good", [BORROWER, BORROWER.lower(), "0x5a", "0x5AAEB6", "0x"])
def test_an_address_with_its_checksum_without_one_or_its_beginning_is_taken(good):
    """A beginning has no checksum."""
    assert refuse_no_address(good) == good.lower()


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD", "wrong checksum; is it"),
        (BORROWER + "0", "longer than an address"),
        ("5aAeb6", "is not an address"),
        ("0xg", "is not an address"),
    ],
)
def test_a_mistyped_address_is_no_other_account(bad, said):
    """It would be told of as an account that owes nothing."""
    with pytest.raises(ConfigError, match=said):
        refuse_no_address(bad)


@pytest.mark.parametrize("command", ["explain {} --recorded", "calls ack {}"])
def test_commands_about_an_account_say_so(command, capsys, tmp_path, monkeypatch):
    """Before anything is looked for."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keeper.toml").write_text(SETTINGS)
    wrong = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD"

    assert root.run(command.format(wrong).split()) == 2
    assert "wrong checksum; is it" in capsys.readouterr().err


def test_a_subscribed_account_that_owes_nothing_is_named(tmp_path):
    """One digit off, and nobody would ever be told."""
    (tmp_path / "who.toml").write_text(
        f'[[subscription]]\nchannels = ["bot"]\naccounts = ["{BORROWER}", "{STRANGER}"]\n'
    )
    text = SETTINGS + '\n[notify]\nsubscriptions = "who.toml"\n' + CHANNEL
    (tmp_path / "keeper.toml").write_text(text)
    settings = load(tmp_path / "keeper.toml").settings

    assert [one.detail.split()[0] for one in find_strangers(settings, [Snapshot()])] == [STRANGER]
    assert [one.detail.split()[0] for one in find_strangers(settings, [])] == [BORROWER, STRANGER]
    assert {one.what for one in find_strangers(settings, [])} == {"notifications"}


CURES = """
[cure]
vault = "0x4444444444444444444444444444444444444444"

[[cure.account]]
account = "{account}"
{market}

[[cure.limit]]
token = "{token}"
per_transaction = "1"
per_day = "1"
per_account = "1"

[[oracle.feed]]
address = "{rests_on}"
heartbeat_seconds = 60

[[oracle.second]]
token = "{second}"
feed = "0x5555555555555555555555555555555555555555"
"""


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, []),
        ({"market": 'market = "m:1"'}, []),
        ({"account": STRANGER}, [("cure.account[0]", "owes nothing in any market", False)]),
        (
            {"account": STRANGER, "market": 'market = "m:1"'},
            [("cure.account[0]", "owes nothing in m:1", False)],
        ),
        (
            {"market": 'market = "M:1"'},
            [("cure.account[0].market", "no market is M:1: the account is never cured", True)],
        ),
        ({"token": STRANGER}, [("cure.limit[0]", "no market has a price of", False)]),
        ({"rests_on": STRANGER}, [("oracle.feed[0]", "no market's price rests on", False)]),
        ({"second": STRANGER}, [("oracle.second[0]", "no market has a price of", False)]),
    ],
)
def test_what_is_to_be_cured_limited_or_compared_is_somewhere(tmp_path, change, found):
    """A section about nobody does nothing, and says nothing: until the day it is needed."""
    values = {
        "account": BORROWER,
        "market": "",
        "token": WETH,
        "second": USDC,
        "rests_on": ODD,
    } | change
    (tmp_path / "keeper.toml").write_text(SETTINGS + CURES.format(**values))
    settings = load(tmp_path / "keeper.toml").settings

    strangers = find_strangers(settings, [Snapshot()])

    assert [(one.what, one.is_void) for one in strangers] == [
        (what, void) for what, _, void in found
    ]
    assert all(said in one.detail for one, (_, said, _) in zip(strangers, found, strict=True))
    assert all(one.fix for one in strangers)
