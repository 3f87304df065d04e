"""Doctor warns of a Morpho Blue section that is bounded by tokens alone."""

from keeper.devnet import local
from tests.chain.worlds import Keeper


def test_doctor_warns_of_tokens_alone_and_not_of_named_markets(tmp_path):
    """The warning names the way out, and is no failure."""
    folder = tmp_path / "devnet"
    local.up(local.UpOptions(folder=folder, protocol="morpho_blue", borrowers=11))
    try:
        devnet = local.attach(folder)
        keeper = Keeper(folder, devnet)
        settings = folder / "keeper.toml"
        text = settings.read_text()
        tokens = f'loan_tokens = ["{devnet.tokens["USDC"].address}"]'
        ids = ", ".join(f'"{market.id}"' for market in devnet.morpho.markets.values())
        told = []
        for chosen in (tokens, f"markets = [{ids}]"):
            settings.write_text(text.replace("all = true", chosen))
            checks = keeper.command("doctor", "--json").document["checks"]
            told.append([one for one in checks if "of their own" in one["detail"]])
        devnet.node.close()
    finally:
        local.down(folder)

    assert "all = true" in text
    assert [(one["level"], "oracle_factories" in one["fix"]) for one in told[0]] == [("warn", True)]
    assert told[1] == []
