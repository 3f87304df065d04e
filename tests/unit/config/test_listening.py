"""Where the keeper listens: nowhere but on this machine, unless it is said twice."""

import pytest

from keeper.config import Observe, SettingsInvalid
from tests.unit.config.conftest import MINIMAL


def observe(*lines):
    return "\n".join([MINIMAL, "[observe]", *lines, ""])


def test_without_a_word_it_listens_on_this_machine_only(loaded):
    """Health and metrics are there for the operator of the machine and for nobody else."""
    assert loaded().settings.observe == Observe(listen="127.0.0.1:9464", expose=False, hosts=())


@pytest.mark.parametrize("listen", ["", "[::1]:9464", "localhost:1", "127.0.0.2:0"])
def test_an_address_of_this_machine_is_taken(loaded, listen):
    """Switched off, the other protocol, any port, one that the system chooses."""
    assert loaded(observe(f'listen = "{listen}"')).settings.observe.listen == listen


@pytest.mark.parametrize("listen", ["0.0.0.0:9464", "[::]:9464", "192.0.2.1:80"])
def test_an_address_that_others_reach_needs_a_second_word(loaded, listen):
    """A mistyped address must not publish what the keeper earns."""
    with pytest.raises(SettingsInvalid, match=r"other machines could reach") as caught:
        loaded(observe(f'listen = "{listen}"'))
    allowed = loaded(observe(f'listen = "{listen}"', "expose = true")).settings

    assert "observe.expose" in str(caught.value.problems[0].hint)
    assert allowed.observe.listen == listen


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('listen = "9464"', "not an address and a port"),
        ("listen = 9464", "is not text"),
        ('listen = "127.0.0.1"', "not an address and a port"),
        ('listen = "http://127.0.0.1:9464"', "not an address and a port"),
        ('listen = "keeper.example:9464"', "not an address of this machine"),
        ('listen = "127.0.0.1:70000"', "no port 70000"),
        ('expose = "yes"', "neither true nor false"),
        ('hosts = ["http://keeper"]', "not a host's name"),
        ('hosts = ["keeper:80"]', "not a host's name"),
    ],
)
def test_what_is_no_address_is_refused(loaded, line, reason):
    """Each with the reason, before anything is started."""
    with pytest.raises(SettingsInvalid, match=reason):
        loaded(observe(line))


def test_the_environment_switches_it_off(loaded):
    """A container's manifest has no file to edit."""
    settings = loaded(environ={"KEEPER_OBSERVE__LISTEN": ""}).settings

    assert settings.observe.listen == ""
