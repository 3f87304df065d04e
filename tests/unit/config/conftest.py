"""A minimal valid settings file, and a loader that changes one detail of it."""

import pytest

from keeper.config import load

POOL = "0x" + "12" * 20

MINIMAL = f"""\
[chain]
id = 31337
endpoints = ["ws://127.0.0.1:8545"]

[[market]]
protocol = "aave_v3"
addresses_provider = "{POOL}"
from_block = 7
"""


@pytest.fixture
def written(tmp_path):
    """Write settings (and .env) and return the file's path."""

    def write(text: str = MINIMAL, *, env: str | None = None, mode: int = 0o600):
        path = tmp_path / "keeper.toml"
        path.write_text(text)
        if env is not None:
            (tmp_path / ".env").write_text(env)
            (tmp_path / ".env").chmod(mode)
        return path

    return write


@pytest.fixture
def loaded(written):
    """Load settings text with an empty environment unless one is given."""

    def run(text: str = MINIMAL, *, environ=None, overrides=None, env=None, mode=0o600):
        return load(written(text, env=env, mode=mode), overrides, environ or {})

    return run
