"""A few seeds of ``scripts/faults``: the process is really killed, the books really compared."""

import pytest

from tests.faults.campaign import ORDERED, Episode, lived, planned, wanted_of
from tests.faults.world import world

pytestmark = pytest.mark.early(3)

SEEDS = (11, 12)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """One world for all of them."""
    with world(tmp_path_factory.mktemp("faults")) as made:
        yield made


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_f01_killed_at_every_point_nothing_is_lost_or_done_twice(place, seed):
    """F01, F46: after each kill the journal and the chain agree; at the end nothing is left."""
    episode = Episode(seed=seed, points=(*ORDERED, "random"))
    result = lived(place, episode)

    assert result.violations == []
    reached = {one.point for one in result.runs if one.reached}
    assert len(reached) >= len(ORDERED) - 2, result.runs


@pytest.mark.timeout(600)
def test_f02_sigterm_at_every_point_ends_in_order(place):
    """F02: exit code 0 within the bound, and what was sent is looked after by the next one."""
    episode = Episode(seed=13, points=tuple(f"{one}:1:term" for one in ORDERED))
    result = lived(place, episode)

    assert result.violations == []
    assert {one.code for one in result.runs} <= {0, 3, None}, result.runs
    assert sum(one.reached for one in result.runs) >= len(ORDERED) - 2, result.runs


def test_a_plan_reaches_every_point_as_often_as_is_wanted():
    """And is the seed's."""
    wanted = wanted_of(10)
    episodes = list(planned(1, wanted))
    points = [one for each in episodes for one in each.points]

    assert sum(wanted.values()) == len(points)
    assert sum(one.startswith("K13:") and not one.endswith("term") for one in points) == 10
    assert points.count("random") == 10
    assert episodes == list(planned(1, wanted))
    assert episodes != list(planned(2, wanted))
