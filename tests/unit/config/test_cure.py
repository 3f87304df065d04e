"""Settings of cures: amounts are exact, and what contradicts itself is refused."""

from pathlib import Path

import pytest

from keeper.config import SettingsInvalid, load
from keeper.domain.units import WAD

EXAMPLE = Path(__file__).parents[3] / "keeper.example.toml"
VAULT = "0x" + "5" * 40
ALICE, TOKEN = "0x" + "6" * 40, "0x" + "7" * 40
ACCOUNT = f'[[cure.account]]\naccount = "{ALICE}"\n'
AMOUNTS = 'per_transaction = "1"\nper_day = "2"\nper_account = "1.5"\n'
LIMIT = f'[[cure.limit]]\ntoken = "{TOKEN}"\n{AMOUNTS}'


def cure(tmp_path, text):
    plain = EXAMPLE.read_text().replace("[cure] ", "[unused_cure]").split("[unused_cure]")
    rest = plain[1].split("[journal]", 1)[1]
    path = tmp_path / "keeper.toml"
    path.write_text(f"{plain[0]}[cure]\n{text}\n[journal]{rest}")
    return load(path, environ={}).settings.cure


def test_a_listed_account_has_a_tier_and_a_target(tmp_path):
    """The defaults are those of the example."""
    found = cure(tmp_path, f'vault = "{VAULT}"\nmax_gas_eth = "0.01"\n{ACCOUNT}{LIMIT}')

    (one,) = found.account
    assert (one.listed.tier, one.listed.target, one.listed.market) == (
        "urgent",
        130 * WAD // 100,
        None,
    )
    assert found.max_gas == WAD // 100
    assert found.limit_of(one.account) is None
    assert str(found.limit_of(found.limit[0].token).per_account) == "1.5"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (ACCOUNT, "cure.vault is not set"),
        (f'vault = "{VAULT}"\n{ACCOUNT}{ACCOUNT}', "listed twice"),
        (f'vault = "{VAULT}"\n{LIMIT}{LIMIT}', "two limits"),
        (LIMIT.replace('"1.5"', '"3"'), "cannot be more than per_day"),
        (ACCOUNT + 'target = "1"\n', "target"),
        (ACCOUNT + 'tier = "soon"\n', "tier"),
        ('vault = "0xcA11bde05977b3631167028862bE2a173976CA11"', "chain.multicall"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path, text, why):
    """One line each, before anything is read from the chain."""
    with pytest.raises(SettingsInvalid) as refused:
        cure(tmp_path, text)

    assert why in str([*refused.value.problems, str(refused.value)])


def test_clearing_is_off_until_asked_for_and_needs_a_vault(tmp_path):
    """It spends the vault's money."""
    assert not cure(tmp_path, f'vault = "{VAULT}"').clear
    assert cure(tmp_path, f'vault = "{VAULT}"\nclear = true').clear
    with pytest.raises(SettingsInvalid, match=r"cure\.vault is not set"):
        cure(tmp_path, "clear = true")
