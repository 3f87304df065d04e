"""
Take a guarantee's code away and see its test fail: a test that passes without it shows nothing.

``scripts/mutations`` copies the tree, changes one place at a time and runs the tests that are named
for it. docs/guarantees.md has the results. Not part of the suite: it runs tests that must fail.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.removals import PROCESS_AND_FAULTS
from tests.removals_of_contracts import CONTRACTS
from tests.support.removal import (
    ALWAYS,
    NEVER,
    Become,
    Copy,
    Delete,
    Keep,
    Mutation,
    files_of_tests,
    marked_places,
    mutated,
)

ROOT = Path(__file__).resolve().parents[1]
COPIED = (
    *("keeper", "tests", "contracts", "docs", "requirements", "scripts", "pyproject.toml"),
    *("keeper.example.toml", ".env.example", "README.md", "setup.py"),
)
PATIENCE = 300
"""Seconds for a test: one that hangs without the code has failed."""

MUTATIONS = (
    Mutation(
        guarantee="G1",
        what="an account that has a transaction under way gets another one",
        changes={"G1 busy-account": ALWAYS},
        tests=("test_no_second_transaction_for_an_account_that_has_one",),
    ),
    Mutation(
        guarantee="G2",
        what="the bytes leave before they are recorded",
        changes={"G2 before-record": Copy("G2 sent-after-record")},
        tests=(
            "test_every_record_precedes_every_send_lowest_nonce_first",
            "test_a_journal_that_fails_keeps_the_bytes_inside",
        ),
    ),
    Mutation(
        guarantee="G3",
        what="an answer that nobody knows counts as a refusal",
        changes={"G3 unanswered-send": Copy("G3 refusal-words")},
        tests=("test_no_answer_and_a_broken_answer_prove_nothing",),
    ),
    Mutation(
        guarantee="G3",
        what="what was unclear once counts as refused from the first time",
        changes={"G3 perhaps-taken": Delete()},
        tests=("test_what_was_unclear_once_is_never_released",),
    ),
    Mutation(
        guarantee="G3",
        what="an endpoint that does not say whether it has bytes counts as one that has not",
        changes={"G3 unknown-presence": Keep("orelse")},
        tests=("test_without_proof_nothing_is_released",),
    ),
    Mutation(
        guarantee="G4",
        what="a start does not take up what an earlier process left",
        changes={"G4 load-journal": Delete()},
        tests=(
            "test_a_restart_sends_what_was_recorded_before_anything_else",
            "test_nothing_is_decided_before_every_used_nonce_is_explained",
        ),
    ),
    Mutation(
        guarantee="G5",
        what="what was sent once is not sent again",
        changes={"G5 resend": Delete()},
        tests=("test_the_same_bytes_are_sent_again_on_every_head_until_they_are_mined",),
    ),
    Mutation(
        guarantee="G6",
        what="the node's count is the next nonce",
        changes={"G6 next-nonce": Keep("args[1]")},
        tests=("test_a_node_cannot_lower_the_nonce",),
    ),
    Mutation(
        guarantee="G7",
        what="nonces that the journal does not know are nobody's business",
        changes={"G7 foreign-count": NEVER},
        tests=(
            "test_a_nonce_that_the_journal_never_bound_means_a_foreign_signer",
            "test_a_foreign_transaction_that_only_waits_stops_the_start_too",
        ),
    ),
    Mutation(
        guarantee="G8",
        what="a replacement may bid above its cap",
        changes={"G8 replacement-cap": Keep("args[0]")},
        tests=("test_a_replacement_is_always_accepted_and_never_above_the_cap",),
    ),
    Mutation(
        guarantee="G8",
        what="a replacement rises by less than nodes accept",
        changes={"G8 least-rise": Become("900", at="args[0]")},
        tests=("test_a_replacement_is_always_accepted_and_never_above_the_cap",),
    ),
    Mutation(
        guarantee="G9",
        what="failures in a row trip nothing",
        changes={"G9 reverts-in-a-row": NEVER},
        tests=("test_failures_in_a_row_hold_until_a_reset_over_any_restart",),
    ),
    Mutation(
        guarantee="G10",
        what="what is past its deadline is sent on",
        changes={"G10 past-deadline": Become("False")},
        tests=(
            "test_a_batch_past_its_deadline_is_cancelled_although_still_unhealthy",
            "test_a_start_cancels_what_is_past_its_deadline_and_sends_the_rest_again",
        ),
    ),
    Mutation(
        guarantee="G11",
        what="what a reorganisation took back stays included",
        changes={"G11 taken-back": Keep("values[0]")},
        tests=("test_a_reorg_opens_the_nonce_again_and_its_bytes_are_sent_again",),
    ),
    Mutation(
        guarantee="G11",
        what="a receipt of a block that is not the chain's is believed",
        changes={"G11 canonical-receipt": ALWAYS},
        tests=("test_a_receipt_of_a_block_that_is_not_canonical_is_not_believed",),
    ),
    Mutation(
        guarantee="G21",
        what="what a block said of those acted on is not kept with the act",
        changes={"G21 news-with-act": NEVER},
        tests=("test_what_a_block_said_of_those_acted_on_is_kept_with_the_nonces_or_not_at_all",),
    ),
    Mutation(
        guarantee="G21",
        what="a start draws no conclusion from what was kept with the act",
        changes={"G21 news-at-start": Delete()},
        tests=("test_a_kill_between_the_act_and_the_calls_loses_and_repeats_none",),
    ),
    Mutation(
        guarantee="G12",
        what="any number of nonces may wait",
        changes={"G12 most-in-flight": Keep("left")},
        tests=("test_the_limit_of_nonces_in_flight_holds",),
    ),
    Mutation(
        guarantee="G14",
        what="an old block is as good as a new one",
        changes={"G14 untimely-block": NEVER},
        tests=("test_on_an_old_block_nothing_is_signed_and_what_is_signed_is_not_bid_up",),
    ),
    Mutation(
        guarantee="G14",
        what="a clock that was set back is believed",
        changes={"G14 clock-set-back": NEVER},
        tests=("test_f25_a_clock_that_was_set_back_takes_no_old_block_for_a_new_one",),
    ),
    Mutation(
        guarantee="G28",
        what="an answer is read however long it is",
        changes={"G28 answer-size": NEVER},
        tests=("test_f12_a_bomb_of_anything_is_bounded_by_what_it_becomes",),
    ),
    Mutation(
        guarantee="G28",
        what="an answer is decoded however many values it has",
        changes={"G28 answer-values": NEVER},
        tests=("test_a_bound_is_on_values_and_not_on_what_texts_look_like",),
    ),
    Mutation(
        guarantee="G28",
        what="an endpoint that sends bombs is asked again at once",
        changes={"G28 bomb": Become("False", at="args[1].test")},
        tests=("test_f12_a_bad_endpoint_of_two_is_told_once_and_not_asked_again",),
    ),
    *PROCESS_AND_FAULTS,
    *CONTRACTS,
)


def main(arguments: Sequence[str]) -> int:
    """Try every mutation, or those of the guarantees that are named; 1 where one survived."""
    options = argparse.ArgumentParser(prog="scripts/mutations", description=__doc__)
    options.add_argument(
        "guarantee", nargs="*", help="numbers of guarantees and faults; all of them by default"
    )
    wanted = options.parse_args(arguments).guarantee
    survived = 0
    with tempfile.TemporaryDirectory(prefix="keeper-mutations-") as folder:
        tree = copied(Path(folder))
        for mutation in MUTATIONS:
            if wanted and mutation.guarantee not in wanted:
                continue
            result = tried(mutation, tree)
            survived += result != "killed"
            places = ", ".join(mutation.changes)
            sys.stdout.write(f"{mutation.guarantee:>4} {result:<9} {mutation.what} ({places})\n")
            sys.stdout.flush()
    return 1 if survived else 0


def copied(folder: Path) -> Path:
    """Return a copy of the tree, with the same interpreter and cache."""
    for name in COPIED:
        place = ROOT / name
        if place.is_dir():
            shutil.copytree(place, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(place, folder / name)
    (folder / ".cache").symlink_to(ROOT / ".cache")
    return folder


def tried(mutation: Mutation, tree: Path) -> str:
    """Return ``killed`` where the tests pass as it is and every one fails without the code."""
    try:
        changed = mutated(mutation, marked_places(tree))
        tests = located(mutation.tests, tree)
    except LookupError:
        return "misplaced"
    if failed(tests, tree):
        return "broken"
    before = {path: path.read_text() for path in changed}
    try:
        write(changed, tree)
        return "killed" if len(failed(tests, tree)) == len(tests) else "SURVIVED"
    finally:
        write(before, tree)


def located(tests: Sequence[str], tree: Path) -> list[str]:
    """Return tests with the files that they are in; LookupError where it is not exactly one."""
    files = files_of_tests(tree)
    found = []
    for test in tests:
        if len(places := files.get(test, [])) != 1:
            raise LookupError(f"{test} is in {len(places)} files")
        found.append(f"{places[0]}::{test}")
    return found


def write(texts: Mapping[Path, str], tree: Path) -> None:
    """Write files of a tree, and build anew what is built of them."""
    for path, text in texts.items():
        path.write_text(text)
        build(path, tree)


def build(changed: Path, tree: Path) -> None:
    """Make a tree's artifacts anew where a contract's source was changed."""
    if changed.suffix == ".sol":
        command = [sys.executable, "-m", "contracts.build"]
        environ = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
        subprocess.run(command, cwd=tree, env=environ, capture_output=True, check=True)


def failed(tests: Sequence[str], tree: Path) -> list[str]:
    """Return which of the tests fail in a tree."""
    environ = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    found = []
    for test in tests:
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test]
        try:
            done = subprocess.run(
                command,
                cwd=tree,
                env=environ,
                capture_output=True,
                check=False,
                timeout=PATIENCE,
            )
        except subprocess.TimeoutExpired:
            found.append(test)
            continue
        if done.returncode != 0:
            found.append(test)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
