"""Settings files that other users of the machine may read, change or replace."""

import os
import re

import pytest

from keeper.config import load
from keeper.config.keys import has_key
from keeper.config.subscriptions import load_subscriptions
from keeper.domain.errors import ConfigError
from tests.unit.config.conftest import MINIMAL

STRANGER = 65_534

LOCAL = '["ws://127.0.0.1:8545"]'
KEYED = {
    "alchemy": MINIMAL.replace(LOCAL, '["wss://eth-mainnet.g.alchemy.com/v2/a1B2c3D4e5F6"]'),
    "second endpoint": MINIMAL.replace(
        LOCAL, f'["http://127.0.0.1:8545", "https://h/?apikey={"x" * 9}"]'
    ),
    "user": MINIMAL.replace(LOCAL, '["https://me:word@node.local"]'),
    "escaped": MINIMAL.replace(LOCAL, '["https:\\u002f\\u002fh/v3/AbCdEf"]'),
    "comment": MINIMAL + '# endpoints = ["wss://mainnet.infura.io/v3/0123456789abcdef"]\n',
    "second source": MINIMAL + '\n[[oracle.second]]\nurl = "https://h/v2/AbCdEf1"\n',
    "channel": MINIMAL
    + '\n[[notify.channel]]\nname = "a"\nkind = "apprise"\nurl = "tgram://1:a/2"\n',
    "alertmanager": MINIMAL
    + '\n[[notify.channel]]\nname = "a"\nkind = "alertmanager"\nurl = "http://127.0.0.1:9093"\n',
    "webhook": MINIMAL
    + '\n[[notify.channel]]\nname = "a"\nkind = "webhook"\nurl = "http://127.0.0.1:1"\n'
    + 'secret = "abc"\n',
}


@pytest.mark.parametrize("text", KEYED.values(), ids=KEYED)
@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o620, 0o602, 0o666])
def test_a_key_in_a_file_of_everybody_is_refused(written, text, mode):
    """The line says which file, where the key stands, what is wrong and what is allowed."""
    path = written(text)
    path.chmod(mode)

    with pytest.raises(ConfigError, match=r"keeper\.toml holds a secret") as caught:
        load(path, environ={})

    assert re.search(
        rf"mode is {mode:04o}, allowed is 0600 \(keeper\.toml:\d+\)", str(caught.value)
    )
    assert caught.value.hint == f"chmod 600 {path}"
    assert "AbC" not in str(caught.value)
    assert "alchemy" not in str(caught.value)


@pytest.mark.parametrize("text", [text for name, text in KEYED.items() if name != "second source"])
@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_file_may_hold_a_key(written, text, mode):
    """What ``keeper init`` writes is read without a word."""
    path = written(text)
    path.chmod(mode)

    assert load(path, environ={}).warnings == ()


def test_a_file_of_everybody_without_a_key_is_warned_of(written):
    """Nothing is given away yet, and the next key would be."""
    path = written()
    path.chmod(0o644)

    (warning,) = load(path, environ={}).warnings

    assert "keeper.toml: other users may read it: its mode is 0644" in warning
    assert f"chmod 600 {path}" in warning


@pytest.mark.parametrize(
    "line",
    [
        'KEEPER_CHAIN__ENDPOINTS=["wss://h/v2/AbCdEf"]',
        "KEEPER_CHAIN__ENDPOINTS__0=wss://h/?key=abcdef",
        "KEEPER_NOTIFY__CHANNEL__0__URL=http://127.0.0.1:9093",
        "# KEEPER_CHAIN__ENDPOINTS=wss://h/v2/AbCdEf",
        "KEEPER_WALLET__PRIVATE_KEY=" + "1f" * 32,
    ],
)
def test_a_key_in_an_env_file_of_everybody_is_refused(written, line):
    """The settings file beside it is private, which helps nobody."""
    path = written(env=line + "\n", mode=0o644)

    with pytest.raises(ConfigError, match=r"^\.env holds a secret and other users may read it"):
        load(path, environ={})


def test_subscriptions_of_everybody_with_a_key_are_refused(tmp_path):
    """Each file that the settings name is looked at, also one that no key belongs in."""
    path = tmp_path / "people.toml"
    path.write_text('# was: tgram://12:ab/3\n[[subscription]]\nchannels = ["a"]\n')
    path.chmod(0o644)

    with pytest.raises(ConfigError, match=r"people\.toml holds a secret .*people\.toml:1"):
        load_subscriptions(path, ["a"])


def _give_away(path, monkeypatch, *, follow=True):
    """Make a file a stranger's: really so as root, else this user becomes one."""
    if os.geteuid() == 0:
        os.chown(path, STRANGER, STRANGER, follow_symlinks=follow)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: STRANGER)


def test_a_strangers_file_with_a_key_is_refused(written, monkeypatch):
    """Whoever owns it says where transactions go, whatever its mode is."""
    path = written(KEYED["alchemy"])
    _give_away(path, monkeypatch)

    with pytest.raises(ConfigError, match="holds a secret and it belongs to user"):
        load(path, environ={})


def test_a_strangers_env_file_is_refused_without_a_key(written, monkeypatch):
    """Nobody named it: a stranger who may write to the folder put it there."""
    path = written(env="KEEPER_POLICY__MIN_PROFIT_USD=0\n")
    _give_away(path.parent / ".env", monkeypatch)

    with pytest.raises(ConfigError, match=r"\.env is not used: it belongs to user"):
        load(path, environ={})


def test_a_strangers_link_is_refused(written, tmp_path, monkeypatch):
    """It can point elsewhere at the next start."""
    path = written(KEYED["alchemy"])
    link = tmp_path / "link.toml"
    link.symlink_to(path)
    _give_away(link, monkeypatch, follow=False)

    with pytest.raises(ConfigError, match=r"holds a secret and (the link|it belongs)"):
        load(link, environ={})


def test_what_a_link_points_to_is_what_counts(written, tmp_path):
    """A link has no mode of its own that means anything."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    link = folder / "keeper.toml"
    path = written(KEYED["alchemy"])
    link.symlink_to(path)
    assert load(link, environ={}).warnings == ()
    path.chmod(0o644)

    with pytest.raises(ConfigError, match="its mode is 0644"):
        load(link, environ={})


@pytest.mark.parametrize("mode", [0o777, 0o702, 0o770, 0o720])
@pytest.mark.parametrize("linked", [False, True])
def test_a_folder_that_others_may_write_to_is_refused(tmp_path, mode, linked):
    """They can put a file of theirs in its place: through the link's folder, too."""
    folder = tmp_path / "open"
    folder.mkdir()
    path = folder / "keeper.toml"
    target = tmp_path / "target.toml" if linked else path
    target.write_text(KEYED["alchemy"])
    if linked:
        path.symlink_to(target)
    folder.chmod(mode)

    with pytest.raises(
        ConfigError, match=f"other users may write to its folder.*{mode:04o}"
    ) as caught:
        load(path, environ={})
    assert caught.value.hint == f"chmod go-w {folder}"

    folder.chmod(0o1777)  # as /tmp: only owners replace files there
    assert load(path, environ={}).warnings == ()


def test_a_folder_above_that_everybody_may_write_to_is_refused(tmp_path):
    """The whole folder can be replaced."""
    folder = tmp_path / "open" / "private"
    folder.mkdir(parents=True)
    path = folder / "keeper.toml"
    path.write_text(KEYED["alchemy"])
    folder.parent.chmod(0o777)

    with pytest.raises(ConfigError, match=f"write to its folder {folder.parent}"):
        load(path, environ={})


@pytest.mark.parametrize(
    "url",
    [
        "ws://127.0.0.1:8545",
        "https://cloudflare-eth.com/v1/mainnet",
        "https://api.avax.network/ext/bc/C/rpc",
        "https://lb.drpc.org/ogrpc?network=ethereum",
        "https://eth-mainnet.g.alchemy.com/v2/demo",
        "http://[::1]:8545/",
        "/home/me/node.ipc",
    ],
)
def test_a_public_address_is_no_key(url):
    """Refusing these would teach people to look away."""
    assert not has_key(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://mainnet.infura.io/v3/0123456789abcdef0123456789abcdef",
        "https://eth-mainnet.g.alchemy.com/v2/lowercaseonly",
        "https://lb.drpc.org/ogrpc?network=ethereum&dkey=a",
        "https://name.quiknode.pro/0123456789abcdef01234567/",
        "https://0123456789abcdef0123456789abcdef.eth.rpc.rivet.cloud/",
        "https://rpc.ankr.com/eth/0123456789abcdef",
        "https://h?abcdefgh12345678",
        "https://h/%41bC9def",
        "https://h/#AbCdE",
        "https://only-a-user@h",
        "tgram://token/chat",
        "https://[h/",
    ],
)
def test_a_providers_key_is_seen_wherever_it_stands(url):
    """Path, query, user, host, fragment: each provider has its own place."""
    assert has_key(url)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("who", ["sudo", "visit"])
def test_root_may_look_at_somebodys_keeper(written, monkeypatch, who):
    """With ``sudo``, or in a folder that is wholly his: nothing of root's own stands there."""
    path = written(KEYED["alchemy"])
    os.chown(path, STRANGER, STRANGER)
    if who == "sudo":
        monkeypatch.setenv("SUDO_UID", str(STRANGER))
    else:
        os.chown(path.parent, STRANGER, STRANGER)

    assert load(path, environ={}).warnings == ()
