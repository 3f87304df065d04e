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
    first = keeper.command("vault", "check", "--json")
    assert first.code == 3
    text = first.out
    place = "0x" + "0" * 24 + keeper.devnet.aave.pool.address[2:].lower()
    assert f"setListing({place}, {account}, {130 * 10**16}, {1287 * 10**15})" in text
    assert f"setLimit({usdc}, {1000 * 10**6}, {2000 * 10**6})" in text
    assert f"setAccountLimit({account}, {usdc}, {1500 * 10**6})" in text

    world = vaults.VaultWorld(keeper.devnet, vaults.at(keeper.devnet, vault))
    world.limit(usdc, each=1000 * 10**6, day=2000 * 10**6)
    world.owned("setListing", world.aave_place(), account, 130 * 10**16, 1287 * 10**15)
    world.owned("setAccountLimit", account, usdc, 1500 * 10**6)
    keeper.devnet.tokens["USDC"].send("transfer", vault, 10**9)
    second = keeper.command("vault", "check", "--json")
    assert second.code == 0, second.out
    assert "setLi" not in second.out
    doctor = keeper.command("doctor", "--json")
    assert "vault operator" in doctor.out


def test_a_target_that_ends_no_call_is_warned_of(keeper):
    """It would be cured once, and then no more until it has left every tier."""
    vault = keeper.command(
        "vault", "deploy", "--owner", keeper.devnet.accounts.owner, "--init-journal"
    )
    account, _ = listed(keeper, vault.out.strip())
    path = keeper.folder / "keeper.toml"
    path.write_text(path.read_text().replace(account + '"\n', account + '"\ntarget = "1.15"\n'))

    assert "is not cured again" in keeper.command("vault", "check").out


def test_a_vault_that_is_none_is_said_so(keeper):
    """Or is somebody else's contract."""
    vault = keeper.devnet.tokens["USDC"].address
    listed(keeper, vault)
    assert "is not this version's vault" in keeper.command("vault", "check").out
