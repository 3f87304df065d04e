"""``keeper audit book``: its exit code and what it prints."""

import json

import pytest

from keeper.book.parity import BookAudit
from keeper.cli import audit, root
from keeper.domain.head import Head
from keeper.domain.parity import Difference

HEAD = Head(
    number=7,
    hash="0x" + "07" * 32,
    parent_hash="0x" + "06" * 32,
    timestamp=84,
    base_fee=1,
    gas_limit=30_000_000,
    gas_used=0,
)


def differing(what):
    return Difference(market="m:1", account="0xa", what=what, ours="1", theirs="2")


@pytest.fixture
def audited(monkeypatch, tmp_path):
    """Run the command over an audit that was made elsewhere."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keeper.toml").write_text(
        '[chain]\nid = 1\nendpoints = ["http://127.0.0.1:1"]\n'
        '[[market]]\nprotocol = "aave_v3"\n'
        'addresses_provider = "0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e"\nfrom_block = 1\n'
    )

    def run(*differences, unread=None):
        found = BookAudit(head=HEAD, accounts=9, not_compared=1, differences=differences)

        async def made(settings, block, *, quiet):
            return found, unread or {}

        monkeypatch.setattr(audit, "_run_audit", made)
        return root.run(["audit", "book", "--json"])

    return run


def test_agreement_is_success(audited, capsys):
    """The block, how many were compared, how many differ."""
    assert audited() == 0
    found = json.loads(capsys.readouterr().out)
    assert found["block"] == {"number": 7, "hash": HEAD.hash}
    assert (found["accounts"], found["differing"], found["not_compared"]) == (9, 0, 1)


def test_a_difference_is_exit_three(audited, capsys):
    """Two figures of one account are one account that differs."""
    assert audited(differing("debt_base"), differing("health_factor")) == 3
    found = json.loads(capsys.readouterr().out)
    assert found["differing"] == 1
    assert [one["what"] for one in found["differences"]] == ["debt_base", "health_factor"]


def test_a_market_that_was_not_read_is_no_agreement(audited):
    """Nothing was proved about it."""
    assert audited(unread={"m:2": "the pool does not answer"}) == 3
