"""Generated borrowers with their debts, health factors and assets.

Nothing here is measured on a chain. These are the shapes that lending markets are known for, stated
so that figures computed from them can be understood:

- debt is log-normal: half of the accounts owe less than 1 500 dollars, one in a hundred
  more than 250 000 (``DEBT_MEDIAN``, ``DEBT_SPREAD``), none more than ``DEBT_MOST``
- ``health factor - 1`` is log-normal around 0.6 (``SLACK_MEDIAN``, ``SLACK_SPREAD``): one account
  in three hundred is within 5 % of liquidation
- a part of the accounts loops like assets in an eMode, a few percent above liquidation
  (``LOOPING``, ``LOOP_SLACK_MEDIAN``)
- one in a thousand is liquidatable and owes less than 5 dollars, too little for its gas (``DUST``)
- assets are chosen by popularity: each is used ``POPULARITY`` times as often as the next
- of 100 accounts 50 have two positions, 27 three, 13 four, 6 five and 4 six, one of which is debt
  (two of five and six) unless a number of positions is given

The same seed makes the same accounts.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from keeper.columns.words import ADDRESS_BYTES, Bytes, Flags, Floats, Words

DEBT_MEDIAN: Final = 1_500.0
DEBT_SPREAD: Final = 2.2
DEBT_MOST: Final = 100e6
SLACK_MEDIAN: Final = 0.6
SLACK_SPREAD: Final = 0.9
LOOPING: Final = 0.12
LOOP_SLACK_MEDIAN: Final = 0.06
LOOP_SLACK_SPREAD: Final = 0.4
DUST: Final = 0.001
DUST_MOST: Final = 5.0
DUST_HEALTH: Final = (0.3, 0.99)
POPULARITY: Final = 1.25
POSITIONS: Final = {2: 0.50, 3: 0.27, 4: 0.13, 5: 0.06, 6: 0.04}
TWO_DEBTS_FROM: Final = 5

Counts = NDArray[np.int64]

_TWO_64: Final = 2.0**64


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Columns of generated accounts with debt in dollars, health factor, leg counts and looping."""

    address: Bytes
    debt: Floats
    health: Floats
    collaterals: Counts
    debts: Counts
    looping: Flags

    def __len__(self) -> int:
        return len(self.debt)


def people(random: np.random.Generator, count: int, positions: int | None) -> People:
    """Generate accounts with ``positions`` (at least 2) each, or with a mixture."""
    debt = np.exp(np.log(DEBT_MEDIAN) + DEBT_SPREAD * random.standard_normal(count))
    looping = random.random(count) < LOOPING
    normal = random.standard_normal(count)
    slack = np.where(
        looping,
        LOOP_SLACK_MEDIAN * np.exp(LOOP_SLACK_SPREAD * normal),
        SLACK_MEDIAN * np.exp(SLACK_SPREAD * normal),
    )
    dust = random.random(count) < DUST
    debt = np.where(dust, random.random(count) * DUST_MOST, np.minimum(debt, DEBT_MOST))
    health = np.where(dust, random.uniform(*DUST_HEALTH, count), 1.0 + slack)
    legs = np.full(count, positions) if positions else _draw_position_counts(random, count)
    debts = np.where((legs >= TWO_DEBTS_FROM) & ~looping, 2, 1)
    return People(
        address=random.integers(0, 256, (count, ADDRESS_BYTES), dtype=np.uint8),
        debt=debt,
        health=health,
        collaterals=legs - debts,
        debts=debts,
        looping=looping,
    )


def _draw_position_counts(random: np.random.Generator, count: int) -> Counts:
    return random.choice(list(POSITIONS), size=count, p=list(POSITIONS.values()))


def popularity(assets: int) -> Floats:
    """Compute the frequency of each asset, the most frequent first."""
    return np.asarray(POPULARITY ** -np.arange(assets), dtype=np.float64)


def chosen(random: np.random.Generator, counts: Counts, weight: Floats) -> Counts:
    """Draw different assets for each account, ``counts`` of them, one account after another.

    ``weight`` has the frequency of each asset for each account.
    """
    # The first arrivals of a weighted race are a weighted choice without repetition.
    order = np.argsort(random.exponential(size=weight.shape) / weight, axis=1)
    return np.asarray(order[np.arange(weight.shape[1]) < counts[:, None]], dtype=np.int64)


def split_up(random: np.random.Generator, counts: Counts, total: Floats) -> Floats:
    """Return each account's total as unequal parts, one account after another."""
    owner = np.repeat(np.arange(len(counts)), counts)
    part = random.uniform(0.2, 1.0, len(owner))
    whole = np.bincount(owner, weights=part, minlength=len(counts))
    return np.asarray(part / whole[owner] * total[owner], dtype=np.float64)


def as_words(balances: Floats) -> Words:
    """Return balances as low and high words, rounded down to whole units, one at least."""
    whole = np.floor(np.maximum(balances, 1.0))
    high = np.floor(whole / _TWO_64)
    return np.stack([whole - high * _TWO_64, high], axis=1).astype(np.uint64)
