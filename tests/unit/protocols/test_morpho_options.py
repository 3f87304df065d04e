"""Which sections of Morpho Blue let in markets that anybody can create."""

import re
import tomllib

import pytest

from keeper.devnet.toolchain import ROOT
from keeper.protocols.morpho_blue.options import Options

MORPHO, ONE = "0x" + "1" * 40, ["0x" + "2" * 40]
MARKETS = ["0x" + "3" * 64]


def risk(**lists):
    return Options(morpho=MORPHO, **lists).stranger_risk


@pytest.mark.parametrize(
    "lists",
    [
        {"all": True},
        {"loan_tokens": ONE},
        {"collateral_tokens": ONE},
        {"loan_tokens": ONE, "collateral_tokens": ONE},
        {"irms": ONE},
    ],
)
def test_without_a_market_or_an_oracle_anybodys_oracle_gets_in(lists):
    """Tokens alone bound nothing: the oracle may work in simulations only."""
    assert "an oracle of their own" in risk(**lists)


@pytest.mark.parametrize("kind", ["oracles", "oracle_factories"])
@pytest.mark.parametrize("tokens", [{}, {"loan_tokens": ONE}, {"collateral_tokens": ONE}])
def test_with_an_oracle_and_without_both_tokens_anybodys_token_gets_in(kind, tokens):
    """An oracle does not look at the tokens of the market that names it."""
    assert "a token of their own" in risk(**{kind: ONE}, **tokens)


def test_named_markets_and_bounded_oracles_let_nobody_in():
    """A market's id is the hash of all its parameters."""
    tokens = {"loan_tokens": ONE, "collateral_tokens": ONE}
    assert risk(markets=MARKETS) == risk(oracles=ONE, **tokens) == ""
    assert risk(oracle_factories=ONE, **tokens) == ""


def test_the_example_of_the_decision_lets_nobody_in():
    """People copy it."""
    text = (ROOT / "docs" / "adr" / "0006-morpho-blue.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    (section,) = tomllib.loads(example)["market"]
    plain = {name: value for name, value in section.items() if name not in _OF_ALL}

    assert Options.model_validate(plain).stranger_risk == ""


_OF_ALL = {"protocol", "from_block"}
