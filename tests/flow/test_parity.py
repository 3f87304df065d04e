"""The rotating sample over scripted snapshots: constant, fair, and slow to forgive."""

import inspect
from dataclasses import dataclass, field

from keeper.book.parity import SAMPLE, Guarded, Parity
from keeper.domain.decision import SkipReason
from keeper.domain.parity import Difference, ParityNews
from keeper.domain.reads import Call, CallResult
from keeper.node import Node
from tests.flow.test_node import ALICE, ListLog, RecordingSubmitter, ScriptedBook, ScriptedHeads

ASKED = CallResult(success=True, data=b"")


class Book(ScriptedBook):
    """A scripted book that has news."""

    def __init__(self, by_block, news):
        super().__init__(by_block)
        self._news = list(news)

    def parity_news(self):
        return self._news.pop(0)


@dataclass
class Snapshot:
    """A market whose accounts differ where ``wrong`` names them."""

    market: str = "m:1"
    names: tuple = ()
    wrong: set = field(default_factory=set)
    unpriced: set = field(default_factory=set)

    def everyone(self):
        return self.names

    def is_auditable(self, account):
        return account in self.names and account not in self.unpriced

    def audit_calls(self, account):
        return (Call(target=account, data=b""),)

    def audited(self, account, results):
        assert len(results) == 1
        if not self.is_auditable(account):
            return None
        if account not in self.wrong:
            return ()
        return (Difference(market=self.market, account=account, what="debt", ours="1", theirs="2"),)

    def opportunities(self, account, window):
        return (account, window), ()


def people(count, letter="a"):
    return tuple(f"{letter}{at}" for at in range(count))


def block(parity, *snapshots):
    """Do a block's share: ask about the block before's accounts, judge with this one's."""
    questions = parity.questions()
    found = parity.judge(questions, snapshots, [ASKED] * sum(len(one.calls) for one in questions))
    return [one.subject for one in questions], [one.subject for one in found]


def test_the_first_block_has_nobody_to_ask_about():
    """The sample is taken from the block before: its calls have to be known in time."""
    parity = Parity()
    assert block(parity, Snapshot(names=people(20)))[0] == []
    assert len(block(parity, Snapshot(names=people(20)))[0]) == SAMPLE


def test_every_market_has_its_turn():
    """A small one after a large one, and nobody twice before everybody once."""
    parity, markets = Parity(), (Snapshot("m:1", people(20)), Snapshot("m:2", people(4, "b")))
    block(parity, *markets)
    asked = [one for _ in range(3) for one in block(parity, *markets)[0]]
    assert len(asked) == len(set(asked)) == 24


def test_a_book_smaller_than_the_sample_is_asked_about_once():
    """Three accounts are three questions, not eight."""
    parity = Parity()
    block(parity, Snapshot(names=people(3)))
    assert sorted(block(parity, Snapshot(names=people(3)))[0]) == [("m:1", x) for x in people(3)]


def test_who_differs_stays_in_doubt_until_he_agrees():
    """Asked again in every block, refused meanwhile, told once when it begins and when it ends."""
    parity = Parity()
    block(parity, Snapshot(names=people(20)))
    odd = Snapshot(names=people(20), wrong={"a3"})
    assert block(parity, odd)[1] == [("m:1", "a3")]
    for _ in range(3):
        assert ("m:1", "a3") in block(parity, odd)[0]
    (guarded,) = parity.guarded([odd])
    assert [one.reason for one in guarded.opportunities("a3", None)[1]] == [SkipReason.PARITY]
    assert guarded.opportunities("a4", None) == (("a4", None), ())
    assert guarded.everyone() == people(20)
    assert [one.agrees for one in parity.news()] == [False]

    right = Snapshot(names=people(20))
    block(parity, right)
    assert [one.agrees for one in parity.news()] == [True]
    assert parity.guarded([right]) == [right]
    assert parity.differed == 1


def test_doubts_do_not_crowd_out_the_others():
    """A whole market in doubt takes half of the sample, each in turn; others are still asked."""
    parity = Parity()
    odd = Snapshot("m:1", people(30), wrong=set(people(30)))
    good = Snapshot("m:2", people(40, "b"))
    block(parity, odd, good)
    asked = [block(parity, odd, good)[0] for _ in range(20)]
    assert {len(one) for one in asked} == {SAMPLE}
    assert {account for one in asked for _, account in one} == {*people(30), *people(40, "b")}


def test_what_cannot_be_valued_is_not_asked_and_not_forgiven():
    """An account without a price is neither right nor wrong."""
    parity = Parity()
    block(parity, Snapshot(names=people(5)))
    block(parity, Snapshot(names=people(5), wrong={"a1"}))
    dark = Snapshot(names=people(5), unpriced={"a1"})
    block(parity, dark)
    assert ("m:1", "a1") not in block(parity, dark)[0]
    assert ("m:1", "a1") in parity.doubted


def test_a_market_that_cannot_be_read_is_passed_over():
    """Its answers are nobody's; the others' are still judged."""
    parity, good = Parity(), Snapshot("m:2", people(3, "b"), wrong={"b1"})
    block(parity, Snapshot("m:1", people(3)), Snapshot("m:2", people(3, "b")))
    assert block(parity, good)[1] == [("m:2", "b1")]
    assert {market for market, _ in block(parity, good)[0]} == {"m:2"}


async def test_the_node_tells_of_a_difference_once():
    """An event with both figures and the block; nothing where the book has no news."""
    found = Difference(market="m:1", account=ALICE, what="debt_base", ours="1", theirs="2")
    told = []
    book = Book({}, [[ParityNews(difference=found, agrees=False)], []])
    node = Node(
        heads=ScriptedHeads(1, 2), book=book, decide=None, submitter=RecordingSubmitter(),
        decisions=ListLog(), emit=told.append,
    )  # fmt: skip

    await node.run(blocks=2)

    (event,) = [one for one in told if one["event"] == "parity"]
    assert (event["state"], event["account"], event["block_number"]) == ("differs", ALICE, 1)
    assert (event["what"], event["ours"], event["theirs"]) == ("debt_base", "1", "2")


def test_a_snapshot_with_accounts_in_doubt_can_all_that_it_could():
    """Whoever asks what it is able to does so by its class, and never by asking it."""
    snapshot = Snapshot(names=(ALICE,))
    guarded = Guarded.by_words(snapshot, {ALICE: "its debt differs"})

    able = [name for name in dir(Snapshot) if not name.startswith("_")]
    for name in able:
        assert inspect.getattr_static(guarded, name, None) is not None, name
    assert guarded.everyone() == (ALICE,)
    assert guarded.market == "m:1"
    assert guarded.opportunities(ALICE, None)[0] == ()


def test_a_sample_chosen_ahead_is_the_one_that_would_have_been_chosen():
    """Choosing costs time that a block's decision would wait for; each sample is asked once."""
    ahead, late = Parity(), Parity()
    market = Snapshot(names=people(20), wrong={"a3"})
    asked = list[list[object]]()
    for _ in range(6):
        ahead.prepare()
        ahead.prepare()
        asked.append([block(parity, market) for parity in (ahead, late)])

    assert [mine for mine, _ in asked] == [other for _, other in asked]
    assert len({account for (_, account) in asked[1][0][0] + asked[2][0][0]}) > SAMPLE
