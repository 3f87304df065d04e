import pytest

from keeper.domain.errors import ConfigError
from keeper.notify.subscribed import Subscribed
from tests.support.notices import notice

TO_OPS = '[[subscription]]\nchannels = ["ops"]\n'


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "subscriptions.toml"
    path.write_text(TO_OPS)
    return path


def rewritten(path, text):
    """Write the file as an editor does: another one in its place."""
    other = path.with_suffix(".new")
    other.write_text(text)
    other.replace(path)


def test_a_changed_file_holds_from_then_on(file):
    """Without a restart: a keeper must not stop for a new telephone number."""
    subscribed = Subscribed(file, ["ops", "mail"])
    rewritten(file, TO_OPS.replace("ops", "mail"))
    before = subscribed(notice())
    subscribed.refresh()

    assert before == ["ops"]
    assert subscribed(notice()) == ["mail"]


@pytest.mark.parametrize("text", ["", "[[subscription]", '[[subscription]]\nchannels = ["gone"]\n'])
def test_a_file_that_is_wrong_now_leaves_the_old_ones_in_effect(file, text, caplog):
    """Half-written files happen; a call must still reach somebody."""
    subscribed = Subscribed(file, ["ops"])
    rewritten(file, text)
    subscribed.refresh()

    assert subscribed(notice()) == ["ops"]
    assert "subscriptions_kept" in caplog.text


def test_a_file_that_is_gone_leaves_the_old_ones_in_effect(file):
    """It may be on its way back."""
    subscribed = Subscribed(file, ["ops"])
    file.unlink()
    subscribed.refresh()

    assert subscribed(notice()) == ["ops"]


def test_a_wrong_file_stops_the_start(file):
    """There is nothing older to go by."""
    file.write_text("nonsense")

    with pytest.raises(ConfigError):
        Subscribed(file, ["ops"])
