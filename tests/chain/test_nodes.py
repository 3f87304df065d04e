"""A few cells of ``scripts/nodes``: real keepers in a real crash, before nodes that misbehave."""

import pytest

from keeper.devnet.nodes import process
from keeper.devnet.nodes.campaign import Campaign, Order


@pytest.mark.timeout(600)
async def test_what_pays_is_sent_before_nodes_that_misbehave_or_the_reason_is_said():
    """One cell of a kind each; the whole campaign is ``scripts/nodes``."""
    process.prepare()
    verdicts = await Campaign(Order(short=True), lambda _: None).run()

    assert len(verdicts) == 4
    assert [one for one in verdicts if not one.passed] == []
    assert all(one.met for one in verdicts), "each node did misbehave"
