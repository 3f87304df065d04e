"""Cells of the campaign, the keeper's requests times a node's misbehaviours."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keeper.devnet.nodes.behaviours import Behaviour, Trouble
from keeper.devnet.nodes.crash import ALONE, ALONE_HTTP, SECOND, SECOND_HTTP, Arrangement
from keeper.devnet.nodes.forms import (
    BATCH,
    NEW_HEADS,
    NEW_HEADS_REQUEST,
    OTHER_FIELDS,
    READ_FIELDS,
)
from keeper.domain.errors import ConfigError

_OF_BATCHES: Final = (Behaviour.REFUSED, Behaviour.DISAPPEARS, Behaviour.ONE_IN_TWENTY)
_SHORT: Final = (
    ("eth_call by hash", Behaviour.LATE_50_MS),
    ("eth_getLogs by hash", Behaviour.NULL),
    ("eth_simulateV1 by hash", Behaviour.REFUSED),
    ("eth_feeHistory", Behaviour.DISAPPEARS),
)
_BUNDLED: Final[Mapping[Behaviour, int]] = {
    Behaviour.LATE_50_MS: 4,
    Behaviour.ONE_IN_TWENTY: 4,
    Behaviour.MISSING: 4,
    Behaviour.LATE_1_S: 2,
}
"""How many cells share a crash where the keeper is expected to do without another way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A crash before an endpoint with these troubles, the last of them under test."""

    arrangement: Arrangement
    troubles: tuple[Trouble, ...]

    @property
    def trouble(self) -> Trouble:
        """Tested trouble. The others lead the keeper to the tested request."""
        return self.troubles[-1]

    @property
    def name(self) -> str:
        """Name in the output."""
        return f"{' + '.join(str(one) for one in self.troubles)} ({self.arrangement.name})"


def plan_cells(samples: Mapping[str, set[str]], forms: Iterable[str]) -> list[Cell]:
    """Plan the cells of request forms with these result fields."""
    return [
        Cell(arrangement=arrangement, troubles=(trouble,))
        for form in sorted(forms)
        for trouble in _iterate_troubles(form, samples.get(form, set()))
        for arrangement in _choose_arrangements(trouble)
    ]


def plan_second_ways(
    first: Cell, forms: Iterable[str], samples: Mapping[str, set[str]]
) -> list[Cell]:
    """Return the cells of what is asked only where something else is refused."""
    return [
        Cell(arrangement=first.arrangement, troubles=(first.trouble, *cell.troubles))
        for cell in plan_cells(samples, forms)
        if cell.arrangement == first.arrangement
    ]


def choose(cells: Sequence[Cell], wanted: str) -> list[Cell]:
    """Choose the cells that match ``METHOD:BEHAVIOUR``, or a part of either.

    Raises:
        ConfigError: it matches none.
    """
    form, _, behaviour = wanted.partition(":")
    chosen = [
        cell
        for cell in cells
        if form in cell.trouble.form and behaviour in str(cell.trouble).partition(":")[2]
    ]
    if not chosen:
        forms = ", ".join(sorted({cell.trouble.form for cell in cells}))
        raise ConfigError(f"no cell {wanted}", hint=f"the keeper asks for: {forms}")
    return chosen


def short(cells: Sequence[Cell]) -> list[Cell]:
    """Select a few cells of different kinds."""
    return [
        cell
        for cell in cells
        if (cell.trouble.form, cell.trouble.behaviour) in _SHORT and not cell.arrangement.second
    ]


def bundled(cells: Sequence[Cell]) -> list[tuple[Cell, ...]]:
    """Group cells by the crash that they share.

    Similar forms are in different crashes, since one would hide the other. Slow crashes leave the
    machine idle, so they are spread over the whole.
    """
    groups = dict[tuple[str, Behaviour], list[Cell]]()
    alone = list[tuple[Cell, ...]]()
    for cell in cells:
        if _is_mild(cell):
            groups.setdefault((cell.arrangement.name, cell.trouble.behaviour), []).append(cell)
        else:
            alone.append((cell,))
    shared = list[tuple[Cell, ...]]()
    for (_, behaviour), group in groups.items():
        crashes = -(-len(group) // _BUNDLED[behaviour])
        shared += [tuple(group[first::crashes]) for first in range(crashes)]
    slow = [bundle for bundle in shared if _is_slow(bundle)]
    quick = [bundle for bundle in shared + alone if not _is_slow(bundle)]
    ranked = [
        (place / len(group), bundle)
        for group in (slow, quick)
        for place, bundle in enumerate(group)
    ]
    return [bundle for _, bundle in sorted(ranked, key=lambda pair: pair[0])]


def _is_mild(cell: Cell) -> bool:
    """Whether a trouble costs the keeper time at most, as far as its kind goes."""
    if len(cell.troubles) > 1 or cell.trouble.behaviour not in _BUNDLED:
        return False
    return cell.trouble.name in ("", OTHER_FIELDS)


def _is_slow(bundle: Sequence[Cell]) -> bool:
    return bundle[0].trouble.behaviour is Behaviour.LATE_1_S


def _iterate_troubles(form: str, fields: set[str]) -> Iterator[Trouble]:
    behaviours = _OF_BATCHES if form == BATCH else tuple(Behaviour)
    for behaviour in behaviours:
        if behaviour is not Behaviour.MISSING:
            yield Trouble(form=form, behaviour=behaviour)
            continue
        for name in sorted(fields & READ_FIELDS):
            yield Trouble(form=form, behaviour=behaviour, name=name)
        if fields - READ_FIELDS:
            yield Trouble(form=form, behaviour=behaviour, name=OTHER_FIELDS)


def _choose_arrangements(trouble: Trouble) -> tuple[Arrangement, Arrangement]:
    """Choose arrangements of one and of two endpoints, over http for http-specific troubles."""
    over_socket = trouble.form in (NEW_HEADS, NEW_HEADS_REQUEST)
    if trouble.behaviour is Behaviour.HUGE and not over_socket:
        return ALONE_HTTP, SECOND_HTTP
    return ALONE, SECOND
