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
from collections.abc import Sequence
from pathlib import Path

from tests.removals import PROCESS_AND_FAULTS
from tests.removals_of_contracts import CONTRACTS
from tests.support.removal import Mutation

ROOT = Path(__file__).resolve().parents[1]
COPIED = (
    *("keeper", "tests", "contracts", "docs", "requirements", "scripts", "pyproject.toml"),
    *("keeper.example.toml", ".env.example", "README.md", "setup.py"),
)
PATIENCE = 300
"""Seconds for a test: one that hangs without the code has failed."""
SUBMITTER = "keeper/execution/submitter.py"
TESTS = "tests/unit/execution/test_submitter.py"
RECOVERY = "tests/flow/test_submit_recovery.py"
REFUSED = "tests/flow/test_refused_sends.py"
JOURNAL = "tests/unit/storage/test_journal.py"
CALLS = "tests/flow/test_margin_calls.py"
TRACKER = "keeper/execution/tracker.py"
OBSERVATION = "keeper/execution/observation.py"
FEES = "tests/unit/execution/test_fees.py"
LIMITS = "tests/unit/execution/test_limits_guard.py"
CLOCK = "tests/unit/test_clock.py"
BOUNDS = "tests/flow/test_fault_bounds.py"
STRUCTURE = "tests/unit/chain/test_structure.py"
QUARANTINE = "tests/flow/test_fault_quarantine.py"
RECORD = "        try:\n            await self.tracker.journal.record(bound, news)"
SENT = "            await self._broadcast.send(self._unconsumed(count), head)\n"
UNSENT = "        if count is not None:\n"


MUTATIONS = (
    Mutation(
        guarantee="G1",
        what="an account that has a transaction under way gets another one",
        file="keeper/execution/affording.py",
        old="if not any((plan.market, plan.account) in busy for plan in one.plans)",
        new="if one.plans and busy is not None",
        tests=(f"{RECOVERY}::test_no_second_transaction_for_an_account_that_has_one",),
    ),
    Mutation(
        guarantee="G2",
        what="the bytes leave before they are recorded",
        file="keeper/execution/dispatching.py",
        old=f'        reached("K3")\n{RECORD}',
        new=f"        await self.send(bound, head)\n{RECORD}",
        tests=(
            f"{TESTS}::test_every_record_precedes_every_send_lowest_nonce_first",
            f"{TESTS}::test_a_journal_that_fails_keeps_the_bytes_inside",
        ),
    ),
    Mutation(
        guarantee="G3",
        what="an answer that nobody knows counts as a refusal",
        file="keeper/execution/sending.py",
        old="    if not isinstance(error, RpcRefused):\n        return Answer.UNKNOWN",
        new="    if not isinstance(error, RpcRefused):\n        return Answer.REFUSED",
        tests=(
            "tests/unit/execution/test_sending.py::test_no_answer_and_a_broken_answer_prove_nothing",
        ),
    ),
    Mutation(
        guarantee="G3",
        what="what was unclear once counts as refused from the first time",
        file="keeper/execution/broadcast.py",
        old="        self._perhaps_taken.add(attempt.hash)\n",
        new="",
        tests=(f"{REFUSED}::test_what_was_unclear_once_is_never_released",),
    ),
    Mutation(
        guarantee="G3",
        what="an endpoint that does not say whether it has bytes counts as one that has not",
        file="keeper/execution/dispatching.py",
        old="        return None if None in found else False\n",
        new="        return False\n",
        tests=(f"{REFUSED}::test_without_proof_nothing_is_released",),
    ),
    Mutation(
        guarantee="G4",
        what="a start does not take up what an earlier process left",
        file=SUBMITTER,
        old="            tracker = self.tracker\n            await self._recording.load()\n",
        new="            tracker = self.tracker\n",
        tests=(
            f"{TESTS}::test_a_restart_sends_what_was_recorded_before_anything_else",
            f"{RECOVERY}::test_nothing_is_decided_before_every_used_nonce_is_explained",
        ),
    ),
    Mutation(
        guarantee="G5",
        what="what was sent once is not sent again",
        file=SUBMITTER,
        old=UNSENT + SENT,
        new="",
        tests=(f"{TESTS}::test_the_same_bytes_are_sent_again_on_every_head_until_they_are_mined",),
    ),
    Mutation(
        guarantee="G6",
        what="the node's count is the next nonce",
        file="keeper/execution/nonces.py",
        old="    return max(own, latest_count)",
        new="    return latest_count if own else own",
        tests=(f"{TESTS}::test_a_node_cannot_lower_the_nonce",),
    ),
    Mutation(
        guarantee="G7",
        what="nonces that the journal does not know are nobody's business",
        file=TRACKER,
        old="        if count > max(known, self.journal.first_nonce):\n",
        new="        if count > max(known, self.journal.first_nonce) + 10**9:\n",
        tests=(
            f"{TESTS}::test_a_nonce_that_the_journal_never_bound_means_a_foreign_signer",
            f"{RECOVERY}::test_a_foreign_transaction_that_only_waits_stops_the_start_too",
        ),
    ),
    Mutation(
        guarantee="G8",
        what="a replacement may bid above its cap",
        file="keeper/execution/fees.py",
        old="    max_fee = min(max(wanted.max_fee, asked.max_fee), cap)\n",
        new="    max_fee = max(wanted.max_fee, asked.max_fee)\n",
        tests=(f"{FEES}::test_a_replacement_is_always_accepted_and_never_above_the_cap",),
    ),
    Mutation(
        guarantee="G8",
        what="a replacement rises by less than nodes accept",
        file="keeper/execution/fees.py",
        old="NODE_REPLACEMENT_BPS: Final = Bps(1_000)",
        new="NODE_REPLACEMENT_BPS: Final = Bps(900)",
        tests=(f"{FEES}::test_a_replacement_is_always_accepted_and_never_above_the_cap",),
    ),
    Mutation(
        guarantee="G9",
        what="failures in a row trip nothing",
        file="keeper/execution/limits.py",
        old="    if reverts >= limits.max_consecutive_reverts:\n",
        new="    if reverts >= limits.max_consecutive_reverts + 10**9:\n",
        tests=(f"{LIMITS}::test_failures_in_a_row_hold_until_a_reset_over_any_restart",),
    ),
    Mutation(
        guarantee="G10",
        what="what is past its deadline is sent on",
        file="keeper/execution/replacing.py",
        old="    return acting and batch is not None and head.timestamp >= batch.deadline",
        new="    return acting and batch is not None and head.timestamp < 0",
        tests=(
            f"{TESTS}::test_a_batch_past_its_deadline_is_cancelled_although_still_unhealthy",
            f"{RECOVERY}::test_a_start_cancels_what_is_past_its_deadline_and_sends_the_rest_again",
        ),
    ),
    Mutation(
        guarantee="G11",
        what="what a reorganisation took back stays included",
        file=OBSERVATION,
        old="            if block is None or block.hash != inclusion.block_hash:\n",
        new="            if block is None:\n",
        tests=(f"{TESTS}::test_a_reorg_opens_the_nonce_again_and_its_bytes_are_sent_again",),
    ),
    Mutation(
        guarantee="G11",
        what="a receipt of a block that is not the chain's is believed",
        file=OBSERVATION,
        old="            if block.hash == receipt.block_hash:\n",
        new="            if block.hash:\n",
        tests=(f"{TESTS}::test_a_receipt_of_a_block_that_is_not_canonical_is_not_believed",),
    ),
    Mutation(
        guarantee="G21",
        what="what a block said of those acted on is not kept with the act",
        file="keeper/storage/submissions.py",
        old="    if news:\n",
        new="    if news and not news:\n",
        tests=(
            f"{JOURNAL}::test_what_a_block_said_of_those_acted_on_is_kept_with_the_nonces_or_not_at_all",
        ),
    ),
    Mutation(
        guarantee="G21",
        what="a start draws no conclusion from what was kept with the act",
        file="keeper/stages/margincalls.py",
        old="            await self._ahead(facts)\n\n    def standing_of",
        new="            pass\n\n    def standing_of",
        tests=(f"{CALLS}::test_a_kill_between_the_act_and_the_calls_loses_and_repeats_none",),
    ),
    Mutation(
        guarantee="G12",
        what="any number of nonces may wait",
        file="keeper/execution/affording.py",
        old="    return most - len([one for one in bound if one.nonce not in consumed])\n",
        new="    return most\n",
        tests=(f"{TESTS}::test_the_limit_of_nonces_in_flight_holds",),
    ),
    Mutation(
        guarantee="G14",
        what="an old block is as good as a new one",
        file=TRACKER,
        old="        if why := self.untimely(head):\n",
        new="        if why := str():\n",
        tests=(
            f"{RECOVERY}::test_on_an_old_block_nothing_is_signed_and_what_is_signed_is_not_bid_up",
        ),
    ),
    Mutation(
        guarantee="G14",
        what="a clock that was set back is believed",
        file="keeper/composition/timing.py",
        old="            if unset - now > CLOCK_PATIENCE:\n",
        new="            if unset - now > float('inf'):\n",
        tests=(f"{CLOCK}::test_f25_a_clock_that_was_set_back_takes_no_old_block_for_a_new_one",),
    ),
    Mutation(
        guarantee="G28",
        what="an answer is read however long it is",
        file="keeper/chain/http.py",
        old="            if size > bound.size:\n",
        new="            if size > 2**62:\n",
        tests=(f"{BOUNDS}::test_f12_a_bomb_of_anything_is_bounded_by_what_it_becomes",),
    ),
    Mutation(
        guarantee="G28",
        what="an answer is decoded however many values it has",
        file="keeper/chain/structure.py",
        old="        if self.values > self._bound.values_within(self._size):\n",
        new="        if self.values > 2**62:\n",
        tests=(f"{STRUCTURE}::test_a_bound_is_on_values_and_not_on_what_texts_look_like",),
    ),
    Mutation(
        guarantee="G28",
        what="an endpoint that sends bombs is asked again at once",
        file="keeper/chain/pool.py",
        old="self.happened(at, Offended(reason) if error.excessive else Garbled(reason))",
        new="self.happened(at, Garbled(reason))",
        tests=(f"{QUARANTINE}::test_f12_a_bad_endpoint_of_two_is_told_once_and_not_asked_again",),
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
        for one in MUTATIONS:
            if wanted and one.guarantee not in wanted:
                continue
            result = tried(one, tree)
            survived += result != "killed"
            sys.stdout.write(f"{one.guarantee:>4} {result:<9} {one.what} ({one.file})\n")
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
    path = tree / mutation.file
    text = path.read_text()
    if text.count(mutation.old) != 1:
        return "misplaced"
    if failed(mutation.tests, tree):
        return "broken"
    path.write_text(text.replace(mutation.old, mutation.new))
    try:
        build(path, tree)
        return "killed" if len(failed(mutation.tests, tree)) == len(mutation.tests) else "SURVIVED"
    finally:
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
