import pytest

from keeper.composition.limiting import limits_of
from keeper.config import SettingsInvalid, load
from keeper.domain.units import WAD
from tests.unit.cli.test_breaker_command import SETTINGS


def loaded(tmp_path, *lines):
    path = tmp_path / "keeper.toml"
    path.write_text(SETTINGS + "\n[limits]\n" + "\n".join(lines))
    return load(path, environ={}).settings


def test_ether_becomes_wei_exactly(tmp_path):
    """A limit is compared with what receipts say, to the wei."""
    limits = limits_of(loaded(tmp_path, 'max_gas_per_hour_eth = "0.000000000000000001"'))

    assert limits.max_gas_per_hour == limits.one_transaction == 1
    assert limits.max_gas_per_day == 50 * WAD


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('max_gas_per_hour_eth = "51"', "max_gas_per_hour_eth is more than max_gas_per_day_eth"),
        ('min_balance_eth = "25"', "min_balance_eth is not less than max_balance_eth"),
        ("max_consecutive_reverts = 0", "max_consecutive_reverts"),
        ('max_gas_per_transaction_eth = "0"', "max_gas_per_transaction_eth"),
        ('max_gas_per_day_eth = "1e3"', "max_gas_per_day_eth"),
    ],
)
def test_limits_that_make_no_sense_are_refused(tmp_path, line, told):
    """Before anything is signed under them."""
    with pytest.raises(SettingsInvalid) as caught:
        loaded(tmp_path, line)

    assert told in str(caught.value)
