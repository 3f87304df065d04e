"""Where the figures come from: the endpoint's answers, the journal's commits, the reorgs."""

from types import SimpleNamespace

import pytest
from sqlalchemy import text

from keeper.book.follower import Follower
from keeper.chain.endpoint import endpoint
from keeper.chain.rpc import Exchange, Rpc
from keeper.composition.watching import watch_of, watched
from keeper.config import Observe
from keeper.domain.errors import JournalError, RpcRefused, RpcUnavailable
from keeper.observe.health import journal_check
from keeper.observe.stages import Unwatched
from keeper.storage.database import opened
from tests.flow.test_follower import Chain, head


class ScriptedTransport:
    """Gives the answers in their order; an error is raised."""

    streams = False
    generation = 0

    def __init__(self, *answers):
        self.endpoint = endpoint("http://127.0.0.1:1")
        self._answers = list(answers)

    async def exchange(self, body, ids, timeout):  # noqa: ASYNC109 (the port's)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        told = [{"jsonrpc": "2.0", "id": one} | each for one, each in zip(ids, answer, strict=True)]
        return told if len(told) > 1 else told[0]

    async def close(self):
        """Nothing is open."""


REFUSED = {"error": {"code": 3, "message": "execution reverted"}}


async def test_every_exchange_with_a_node_is_told_with_its_errors():
    """Answered, refused, in a batch, and not at all: each once, none with its parameters."""
    told: list[Exchange] = []
    answers = ([{"result": 1}], [REFUSED], [{"result": 1}, REFUSED], RpcUnavailable("no answer"))
    rpc = Rpc([ScriptedTransport(*answers)])
    rpc.measured = told.append
    await rpc.request("eth_chainId")
    with pytest.raises(RpcRefused):
        await rpc.request("eth_call", "0xSECRET")
    await rpc.batch([("eth_call", ()), ("eth_getLogs", ())])
    with pytest.raises(RpcUnavailable):
        await rpc.request("eth_blockNumber")

    assert [(one.endpoint, one.methods, one.errors) for one in told] == [
        (0, ["eth_chainId"], []),
        (0, ["eth_call"], ["rpc_refused"]),
        (0, ["eth_call", "eth_getLogs"], ["rpc_refused"]),
        (0, ["eth_blockNumber"], ["rpc_unavailable"]),
    ]
    assert "SECRET" not in str(told)


async def test_a_reorganisation_is_told_with_its_depth():
    """Two blocks taken back by two others; going on from there takes back nothing."""
    chain, depths = Chain(), []
    follower = Follower(chain, [])
    follower.reorged = depths.append
    await follower.start(chain.mine(head(0), head(1)))
    for each in (head(2), head(3)):
        await follower.advance(chain.mine(each))
    fork = [head(2, "b", "a"), head(3, "b"), head(4, "b")]
    for each in (chain.mine(*fork[:2]), chain.mine(fork[2])):
        await follower.advance(each)

    assert depths == [2]


@pytest.mark.slow
async def test_a_commit_that_fails_is_counted_until_one_works(tmp_path):
    """No journal, no signing: who looks at readiness sees it before the next send does."""
    path = tmp_path / "keeper.sqlite"
    database = opened(path)
    check = journal_check(path, lambda: database.failing)

    with pytest.raises(JournalError):
        await database.write(lambda one: one.execute(text("insert into nothing values (1)")))
    failing = (database.failures, check())
    await database.write(lambda one: one.execute(text("select 1")).scalar())
    after = (database.failures, check())
    database.close()

    assert failing == (1, "the last commit to the journal failed")
    assert after == (1, "")


async def test_switched_off_nothing_listens_and_nothing_is_noted():
    """An operator who wants no port gets no port, and no work for it."""
    session = SimpleNamespace(settings=SimpleNamespace(observe=Observe(listen="")))

    async with watched(session, "live", own_clock=True) as watching:
        assert watching is None
        assert isinstance(watch_of(watching), Unwatched)
