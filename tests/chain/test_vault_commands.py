"""``keeper vault``: deployed by the hot key for a cold owner, checked against the settings."""

import json

import pytest

from tests.chain import vault_world as vaults
from tests.chain.worlds import Keeper


@pytest.fixture
def keeper(tmp_path, aave36):
    made = Keeper(tmp_path, aave36)
    made.configure()
    return made


def listed(keeper, vault):
    """Add a borrower and a token to the settings."""
    account = next(one.address for one in keeper.devnet.borrowers if one.kind == "plain")
    usdc = keeper.devnet.tokens["USDC"].address
    with (keeper.folder / "keeper.toml").open("a") as settings:
        settings.write(
            f'\n[cure]\nvault = "{vault}"\n[[cure.account]]\naccount = "{account}"\n'
            f'[[cure.limit]]\ntoken = "{usdc}"\nper_transaction = "1000"\nper_day = "2000"\n'
            'per_account = "1500"\n'
        )
    return account, usdc


def test_a_vault_is_deployed_and_checked_until_nothing_is_missing(keeper):
    """Each thing that the owner has still to do is said with its arguments; then it is done."""
    owner = keeper.devnet.accounts.owner
    refused = keeper.command("vault", "deploy")
    assert refused.code == 2
    assert "cold account" in refused.err
    hot = keeper.command("vault", "deploy", "--owner", keeper.devnet.accounts.hot)
    assert "is the hot key" in hot.err

    made = keeper.command("vault", "deploy", "--owner", owner, "--json", "--init-journal")
    assert made.code == 0, made.err
    vault = json.loads(made.out)["address"]
    account, usdc = listed(keeper, vault)
    world = vaults.VaultWorld(keeper.devnet, vaults.at(keeper.devnet, vault))
    world.owned("setLossLimit", world.aave_place(), 20 * 10**8, 50 * 10**8)
    first = keeper.command("vault", "check", "--json")
    assert first.code == 3
    text = first.out
    place = "0x" + "0" * 24 + keeper.devnet.aave.pool.address[2:].lower()
    assert f"setListing({place}, {account}, {130 * 10**16}, {1287 * 10**15})" in text
    assert f"setLimit({usdc}, {1000 * 10**6}, {2000 * 10**6})" in text
    assert f"setAccountLimit({account}, {usdc}, {1500 * 10**6})" in text
    assert f"setCounted({place}, collateral, bps)" in text

    weth = keeper.devnet.tokens["WETH"].address
    world.owned("setCounted", world.aave_place(), weth, 9_500)
    world.limit(usdc, each=1000 * 10**6, day=2000 * 10**6)
    world.owned("setListing", world.aave_place(), account, 130 * 10**16, 1287 * 10**15)
    world.owned("setAccountLimit", account, usdc, 1500 * 10**6)
    keeper.devnet.tokens["USDC"].send("transfer", vault, 10**9)
    second = keeper.command("vault", "check", "--json")
    assert second.code == 0, second.out
    assert "setLi" not in second.out
    doctor = keeper.command("doctor", "--json")
    assert "vault operator" in doctor.out

    limits, counted = (
        one["figures"] for one in json.loads(second.out)["checks"] if "clearing" in one["what"]
    )
    assert limits == {
        "place": place,
        "unit": "USD",
        "decimals": "8",
        "per_transaction": str(20 * 10**8),
        "per_day": str(50 * 10**8),
        "left_today": str(50 * 10**8),
    }
    assert counted == {"token": weth, "symbol": "WETH", "counted_bps": "9500"}


def test_a_target_that_ends_no_call_is_warned_of(keeper):
    """It would be cured once, and then no more until it has left every tier."""
    world = vaults.deployed(keeper.devnet, "CureVault")
    account, _ = listed(keeper, world.vault.address)
    path = keeper.folder / "keeper.toml"
    path.write_text(path.read_text().replace(account + '"\n', account + '"\ntarget = "1.15"\n'))

    assert "is not cured again" in keeper.command("vault", "check").out


def test_clearing_that_the_owner_has_not_opened_is_warned_of(keeper):
    """With what he has to call; a collateral that counts in full is warned of, too."""
    world = vaults.deployed(keeper.devnet, "CureVault")
    with (keeper.folder / "keeper.toml").open("a") as settings:
        settings.write(f'\n[cure]\nvault = "{world.vault.address}"\nclear = true\n')
    first = keeper.command("vault", "check")
    assert f"the owner calls setLossLimit(0x{world.aave_place().hex()}, " in first.out

    world.owned("setLossLimit", world.aave_place(), 20 * 10**8, 50 * 10**8)
    weth, usdc = (keeper.devnet.tokens[symbol].address for symbol in ("WETH", "USDC"))
    world.owned("setCounted", world.aave_place(), weth, 9_500)
    world.owned("setCounted", world.aave_place(), usdc, 10_000)
    plain = keeper.command("vault", "check").out
    assert "may lose 20 USD in a transaction and 50 a day, 50 of it left today" in plain
    assert "WETH counts at 95 % of the market's price" in plain
    assert "USDC counts at 100 % of the market's price: by that nothing is ever lost" in plain


def test_a_vault_that_is_none_is_said_so(keeper):
    """Or is somebody else's contract."""
    vault = keeper.devnet.tokens["USDC"].address
    listed(keeper, vault)
    assert "is not this version's vault" in keeper.command("vault", "check").out
