"""An account's stories as a person reads them."""

from types import SimpleNamespace

from keeper.cli.story import Story, told

WHO = "0x00000000000000000000000000000000000000A1"


def story(market):
    """A market in which an account owes nothing and of which nothing is on record."""
    return Story(
        head=SimpleNamespace(number=7),
        snapshot=SimpleNamespace(market=market),
        account=WHO,
        health=None,
        verdicts=(),
        past=(),
        thresholds=None,
    )


def test_markets_that_an_account_has_nothing_to_do_with_are_one_line():
    """Morpho Blue has a market for each pair: a story of forty empty ones hides the one that is."""
    (line,) = told([story(f"m:{at}") for at in range(12)])

    assert line == (
        f"{WHO} owes nothing in any of the 12 markets at block 7, and nothing is on record of it"
        " there"
    )
    assert next(told([story("m:1")])).startswith(f"{WHO} owes nothing in m:1 at block 7")
