"""The watch over secrets finds what is there: one that finds nothing anywhere proves nothing."""

import hashlib
import subprocess
import sys

import pytest
from pydantic import SecretStr

from keeper.execution.signer import LocalSigner
from tests.support import canaries


def fresh(name):
    """A key that no other test has."""
    return hashlib.sha256(name.encode()).digest()


@pytest.fixture(autouse=True)
def own_marks(monkeypatch):
    """What is marked here is no other test's business, and what leaks here is on purpose."""
    monkeypatch.setattr(canaries, "_marked", {})


@pytest.mark.parametrize(
    "form",
    [bytes.hex, lambda key: key.hex().upper(), lambda key: str(int.from_bytes(key)), bytes],
)
def test_a_signers_key_is_found_in_every_form(form):
    """Hexadecimal, decimal, raw: a database has them all."""
    key = fresh(repr(form))
    LocalSigner(key, 31337)
    written = form(key)

    assert canaries.leaks(written) == ["a private key"]
    assert canaries.leaks(b"nothing") == []


def test_what_gives_an_endpoint_away_is_all_but_its_host():
    """The host is shown on purpose."""
    SecretStr("wss://somebody:hunter2hunter2@node.example/v2/0123456789abcdef?token=fedcba987654")

    assert canaries.leaks("wss://node.example") == []
    for secret in ("0123456789abcdef", "hunter2hunter2", "fedcba987654"):
        assert canaries.leaks(f"cannot reach {secret}") == ["a secret setting"]


@pytest.mark.io
def test_what_a_process_prints_is_looked_at():
    """A key in its environment that it tells everybody."""
    variable = "KEEPER_WALLET__PRIVATE_KEY"
    script = f"import os; print(os.environ['{variable}'])"

    with pytest.raises(pytest.fail.Exception, match=variable):
        subprocess.run(
            [sys.executable, "-c", script],
            env={variable: fresh("process").hex()},
            capture_output=True,
            check=True,
        )


def test_what_a_command_prints_is_looked_at(capsys):
    """As commands run inside of the tests print it."""
    canaries.mark("correct horse battery", "a password")
    sys.stdout.write("the password is correct horse battery")

    with pytest.raises(pytest.fail.Exception, match="a password"):
        capsys.readouterr()


def test_files_are_looked_at_but_for_the_ones_that_hold_secrets(tmp_path):
    """The settings hold the endpoint's key; the journal must not."""
    canaries.mark(canaries.ENDPOINT_KEY, "the endpoint's key")
    for name in ("keeper.toml", ".env", "keeper.sqlite"):
        (tmp_path / name).write_text(f"at {canaries.ENDPOINT_KEY}!")

    found = canaries.leaking_files(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()

    assert found == ["keeper.sqlite: the endpoint's key"]


def test_a_tests_own_output_is_looked_at():
    """Captured prints and log lines, as the report has them."""
    canaries.mark("correct horse battery", "a password")

    sections = [("Captured log call", "using correct horse battery"), ("Captured stdout", "fine")]
    assert canaries.leaking_sections(sections) == ["Captured log call: a password"]


def test_an_endpoint_is_marked_once():
    """Chain tests put a provider's key behind the address of their node."""
    marked = canaries.marked_endpoint("ws://127.0.0.1:8545")

    assert marked == f"ws://127.0.0.1:8545/?key={canaries.ENDPOINT_KEY}"
    assert canaries.marked_endpoint(marked) == marked
    assert canaries.marked_endpoint("/run/node.ipc") == "/run/node.ipc"
