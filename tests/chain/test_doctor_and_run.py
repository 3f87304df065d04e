"""``doctor`` and ``run`` come to the same verdict of an endpoint, each over the same bad node."""

import pytest

from keeper.devnet.nodes import process
from keeper.devnet.nodes.behaviours import Behaviour, Trouble
from keeper.devnet.nodes.chain import Chain
from keeper.devnet.nodes.crash import ALONE, Examine, Run

ACTED_ON = (
    "eth_simulateV1 by hash",
    "eth_getLogs by hash",
    "eth_feeHistory",
)
"""What the keeper does without."""
NOT_ACTED_ON = (
    "eth_sendRawTransaction",
    "eth_getBlockByHash",
    "eth_getTransactionCount latest",
)
"""What it cannot do without."""


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    process.prepare()
    chain = Chain.bring_up(tmp_path_factory.mktemp("doctor-and-run"))
    yield chain
    chain.stop()


def refusing(*forms):
    return tuple(Trouble(form=form, behaviour=Behaviour.REFUSED) for form in forms)


@pytest.mark.timeout(600)
async def test_doctor_and_run_agree_on_what_a_node_refuses(chain):
    """All that pays is sent and nothing fails, or nothing is sent and the method is named."""
    clean = await Run(chain, ALONE)(Examine.NEVER)
    acting = await Run(chain, ALONE, refusing(*ACTED_ON), clean.liquidated)(Examine.ALWAYS)

    assert acting.met.total() >= len(ACTED_ON)
    assert acting.liquidated == clean.liquidated
    assert (acting.acts, acting.doctor) == (True, [])

    for form in NOT_ACTED_ON:
        seen = await Run(chain, ALONE, refusing(form), clean.liquidated)(Examine.ALWAYS)
        method = form.partition(" ")[0]
        reason = f"does not act on this node, because {method} answered that it does not have"

        assert (form, seen.liquidated, seen.acts) == (form, set(), False)
        assert any(reason in line for line in seen.doctor), form
