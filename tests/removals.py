"""What is taken away of reading, of the process and its limits, and of what survives faults."""

from tests.support.removal import Mutation

ANSWERS = "tests/flow/test_fault_answers.py"
NONCES = "tests/flow/test_fault_nonces.py"
ENDPOINTS = "tests/flow/test_fault_endpoints.py"
PROCESS = "tests/flow/test_fault_process.py"
HEADS = "tests/flow/test_fault_heads.py"
SENDS = "tests/flow/test_fault_sends.py"
HEALTH = "tests/flow/test_health.py"
RECOVERY = "tests/flow/test_submit_recovery.py"
ORACLE = "tests/unit/margin/test_oracle.py"
CHANNELS = "tests/notify/test_channels.py"
TRACKER = "keeper/execution/tracker.py"
MATCHING = "tests/unit/execution/test_matching.py"
JOURNAL = "tests/unit/storage/test_journal.py"
HOLDING = "tests/unit/storage/test_holding.py"
RECOGNITION = "tests/unit/storage/test_recognition.py"
UPGRADES = "tests/unit/storage/test_upgrades.py"
JUMPS = "tests/notify/test_clock_jumps.py"
STANDING = "tests/unit/chain/test_standing.py"
ENCODING = "tests/unit/execution/test_executor_encoding.py"
FINALIZED = "tests/flow/test_fault_finalized.py"
TRANSPORT = "tests/chain/test_dry_run_transport.py"
MODES = "tests/chain/test_submission_modes.py"
RECORD = "tests/unit/storage/test_record.py"
GUARD = "tests/unit/margin/test_guard.py"
HISTORY = "tests/chain/test_log_history.py"
RPC = "tests/chain/test_rpc.py"
MARKET = "tests/chain/test_aave_market.py"
REDACTION = "tests/unit/observe/test_redaction.py"
GUARDING = "tests/unit/cli/test_guarding.py"
READING = "tests/unit/protocols/test_aave_reading.py"
WORDS = "tests/unit/notify/test_words.py"
SETTINGS = "tests/flow/test_modes.py"
STRANGERS = "tests/flow/test_health_strangers.py"
FEES = "tests/unit/execution/test_fees.py"
FLOOR = "tests/unit/execution/test_limits_guard.py"
SETUP = "tests/unit/test_install.py"

PROCESS_AND_FAULTS = (
    Mutation(
        guarantee="G7",
        what="in the quiet period nobody looks at what waits",
        file=TRACKER,
        old="            await self.check_waiting()\n            if (await",
        new="            if (await",
        tests=(f"{NONCES}::test_f21_what_only_waits_ends_the_quiet_time_too",),
    ),
    Mutation(
        guarantee="G13",
        what="a block is signed upon although it was reorganised meanwhile",
        file=TRACKER,
        old="        if known.hash != head.hash:\n            raise NotBroadcast(f",
        new="        if not known.hash:\n            raise NotBroadcast(f",
        tests=(f"{RECOVERY}::test_a_head_that_was_reorganised_while_deciding_signs_nothing",),
    ),
    Mutation(
        guarantee="G15",
        what="an endpoint of another chain is as good as any",
        file="keeper/chain/identity.py",
        old="        if served != self.chain_id:\n",
        new="        if served == -1:\n",
        tests=(
            f"{ENDPOINTS}::test_f09_wrong_chain_on_one_of_three_is_quarantined",
            f"{ENDPOINTS}::test_f09_wrong_chain_later_quarantines_until_it_is_right_again",
        ),
    ),
    Mutation(
        guarantee="G16",
        what="nonces that differ between endpoints are no contradiction",
        file="keeper/chain/quorum.py",
        old="        if len(set(counts.values())) > 1:\n            said",
        new="        if len(set(counts.values())) > 9:\n            said",
        tests=(f"{ENDPOINTS}::test_f10_different_nonces_hold_signing_and_lag_does_not",),
    ),
    Mutation(
        guarantee="G17",
        what="a feed that stands at its bound is believed",
        file="keeper/margin/oracle.py",
        old="    if reading.minimum is not None and stated.answer <= reading.minimum:\n",
        new="    if reading.minimum is not None and stated.answer < 0:\n",
        tests=(f"{ORACLE}::test_what_a_feed_says_of_itself",),
    ),
    Mutation(
        guarantee="G19",
        what="what is bid up was not simulated again",
        file="keeper/execution/replacing.py",
        old="        if self.rehearse is None or not any(one.nonce in due for one in acting):\n",
        new="        if self.rehearse is None or acting is not None:\n",
        tests=(f"{NONCES}::test_g19_what_would_fail_now_is_cancelled_and_not_bid_up",),
    ),
    Mutation(
        guarantee="G20",
        what="an account that failed is tried again at once",
        file="keeper/execution/cooling.py",
        old="        return block + (self.blocks << min(times - 1, DOUBLINGS))\n",
        new="        return block\n",
        tests=(f"{NONCES}::test_f32_an_account_that_failed_is_left_alone_for_longer_each_time",),
    ),
    Mutation(
        guarantee="G26",
        what="a stop has no last timer",
        file="keeper/cli/run.py",
        old="        last.start()\n",
        new="",
        tests=(f"{PROCESS}::test_g26_what_does_not_end_when_it_is_asked_to_is_ended",),
    ),
    Mutation(
        guarantee="G29",
        what="a run that gets nowhere goes on for ever",
        file="keeper/composition/stalling.py",
        old="self.clock() - self.got_on_at > seconds:\n",
        new="self.clock() - self.got_on_at < 0:\n",
        tests=(f"{HEADS}::test_f06_a_run_that_gets_nowhere_ends_for_its_supervisor",),
    ),
    Mutation(
        guarantee="G30",
        what="a journal that failed is signed without",
        file="keeper/execution/recording.py",
        old="        self.fault = str(error)\n        log.error(",
        new="        log.error(",
        tests=(
            f"{NONCES}::test_g30_a_journal_that_fails_after_the_send_signs_nothing_until_it_works_again",
        ),
    ),
    Mutation(
        guarantee="G31",
        what="an address is shown with its path",
        file="keeper/observe/redaction.py",
        old="""    return f"{scheme}://{host or HIDDEN}"\n""",
        new="    return url\n",
        tests=(
            f"{REDACTION}::test_an_endpoint_shows_scheme_and_host_only",
            f"{REDACTION}::test_no_part_of_a_path_survives",
        ),
    ),
    Mutation(
        guarantee="G31",
        what="a process that holds a key may dump core",
        file="keeper/cli/guarding.py",
        old="        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n",
        new="        pass\n",
        tests=(f"{GUARDING}::test_c8_no_command_dumps_its_memory",),
    ),
    Mutation(
        guarantee="G32",
        what="a dry run has a signer where there is a key",
        file="keeper/app.py",
        old="_signer(session, key, head) if options.mode is Mode.LIVE else None\n",
        new="_signer(session, key or b'1' * 32, head)\n",
        tests=(
            f"{MODES}::test_a_dry_run_makes_no_signer_and_no_sender",
            f"{TRANSPORT}::test_nothing_that_changes_anything_leaves_the_process",
        ),
    ),
    Mutation(
        guarantee="G34",
        what="a page is served to whatever host is asked for",
        file="keeper/observe/http.py",
        old="not in window.hosts:\n",
        new="is None:\n",
        tests=(f"{HEALTH}::test_every_page_is_for_reading_on_this_machine",),
    ),
    Mutation(
        guarantee="G34",
        what="it listens on every address",
        file="keeper/observe/http.py",
        old="loop.create_server(accept, host, port,",
        new="loop.create_server(accept, '0.0.0.0', port,",
        tests=(f"{HEALTH}::test_it_listens_on_no_other_address",),
    ),
    Mutation(
        guarantee="F03",
        what="a lost answer is answered by sending the bytes to the same endpoint again",
        file="keeper/chain/sender.py",
        old="        sent = TransactionHash(",
        new='        await self._rpc.request("eth_sendRawTransaction", "0x" + raw.hex())\n'
        "        sent = TransactionHash(",
        tests=(f"{RPC}::test_a_receipt_is_read_and_a_send_goes_out_once",),
    ),
    Mutation(
        guarantee="F05",
        what="a node's wish for patience is not kept",
        file="keeper/chain/standing.py",
        old="    asked = min(rules.longest_asked, max(own, seconds or 0.0))\n",
        new="    asked = own\n",
        tests=(f"{STANDING}::test_f05_a_stated_delay_is_kept_and_repeated_ones_grow",),
    ),
    Mutation(
        guarantee="F07",
        what="a subscription that says nothing is waited for",
        file="keeper/chain/listening.py",
        old="                async with asyncio.timeout(silence):\n",
        new="                async with asyncio.timeout(None):\n",
        tests=(f"{HEADS}::test_f07_no_heads_while_pings_are_fine_is_found_by_asking",),
    ),
    Mutation(
        guarantee="F08",
        what="a node that falls back to a block of before is a reorganisation",
        file="keeper/chain/heads.py",
        old="        fell_back = head.hash in self._known\n",
        new="        fell_back = False\n",
        tests=(f"{HEADS}::test_f08_a_head_that_goes_backwards_is_not_taken_for_a_reorganisation",),
    ),
    Mutation(
        guarantee="F11",
        what="a receipt of another sender is ours",
        file="keeper/execution/matching.py",
        old="receipt.sender not in (None, sender),\n",
        new="False,\n",
        tests=(f"{MATCHING}::test_f11_a_lying_receipt_is_refused_by_the_field_that_betrays_it",),
    ),
    Mutation(
        guarantee="F12",
        what="an answer to another request is taken",
        file="keeper/chain/envelope.py",
        old="    if isinstance(given, bool) or (given != number and not (given is None and"
        " error is not None)):\n",
        new="    if isinstance(given, bool):\n",
        tests=(f"{ANSWERS}::test_f12_an_answer_that_is_none_has_its_class",),
    ),
    Mutation(
        guarantee="F20",
        what="a hole below the own high water is left",
        file="keeper/execution/replacing.py",
        old="        missing = await journal.unbound(first, water)\n",
        new="        missing = []\n",
        tests=(f"{NONCES}::test_f20_a_hole_below_our_own_high_water_is_filled_by_nothing",),
    ),
    Mutation(
        guarantee="F21",
        what="nobody asks again whether the key was delegated",
        file="keeper/execution/submitter.py",
        old="        if self.limit is None or head.number < self._limited_at + after:\n",
        new="        if self.limit is None or head.number:\n",
        tests=(f"{NONCES}::test_f21_a_key_that_is_delegated_meanwhile_has_one_in_flight",),
    ),
    Mutation(
        guarantee="F22",
        what="a second process takes the journal, too",
        file="keeper/storage/lock.py",
        old="            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        new="            fcntl.flock(self._descriptor, fcntl.LOCK_UN)\n",
        tests=(f"{HOLDING}::test_f22_each_lock_alone_refuses_a_second_keeper",),
    ),
    Mutation(
        guarantee="F22",
        what="the journal's own file is not locked: another name is a way round",
        file="keeper/storage/holding.py",
        old="            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        new="            fcntl.flock(self._descriptor, fcntl.LOCK_UN)\n",
        tests=(f"{HOLDING}::test_f22_each_lock_alone_refuses_a_second_keeper",),
    ),
    Mutation(
        guarantee="F22",
        what="nobody notices that the lock is gone",
        file="keeper/storage/lock.py",
        old="        if found is None or ",
        new="        if found == 0 and ",
        tests=(
            f"{HOLDING}::test_c5_without_its_lock_a_keeper_signs_no_more_and_no_second_one_starts",
        ),
    ),
    Mutation(
        guarantee="F24",
        what="a journal that was cut short is gone on from",
        file="keeper/storage/holding.py",
        old="and now.size < before.size:\n",
        new="and now.size < 0:\n",
        tests=(f"{HOLDING}::test_c7_what_was_cut_is_not_trusted_when_it_is_whole_again",),
    ),
    Mutation(
        guarantee="F24",
        what="a journal that was written over is gone on from",
        file="keeper/storage/holding.py",
        old="        if not has_other_writer():\n",
        new="        if has_other_writer is None:\n",
        tests=(f"{HOLDING}::test_c7_an_older_copy_over_the_file_ends_signing",),
    ),
    Mutation(
        guarantee="F24",
        what="another program's database becomes a journal",
        file="keeper/storage/recognition.py",
        old="    if header.application or not (is_blank or _is_early_journal(tables)):\n",
        new="    if not (is_blank or tables or header):\n",
        tests=(f"{RECOGNITION}::test_c6_another_programs_file_is_refused_and_left_as_it_is",),
    ),
    Mutation(
        guarantee="G33",
        what="a key may stand in a file that others read",
        file="keeper/exposure.py",
        old="    if mode & _OTHERS:\n",
        new="    if mode & ~0o7777:\n",
        tests=("tests/unit/config/test_exposed.py::test_a_key_in_a_file_of_everybody_is_refused",),
    ),
    Mutation(
        guarantee="F22",
        what="a link in the lock's place is followed",
        file="keeper/storage/lock.py",
        old=" | os.O_NOFOLLOW",
        new="",
        tests=(f"{JOURNAL}::test_a_lock_that_leads_elsewhere_is_not_followed",),
    ),
    Mutation(
        guarantee="F24",
        what="a lost journal of a used key is a new one",
        file="keeper/storage/journal.py",
        old="    if chain_nonce > 0 and not init:\n",
        new="    if chain_nonce < 0 and not init:\n",
        tests=(f"{JOURNAL}::test_f24_a_lost_journal_of_a_used_key_is_refused_unless_asked_for",),
    ),
    Mutation(
        guarantee="F26",
        what="a price that answers nothing above zero is believed",
        file="keeper/margin/oracle.py",
        old="    if (answer is not None and answer <= 0) or reading.price == 0:\n",
        new="    if answer is not None and answer < -(2**255):\n",
        tests=(f"{ORACLE}::test_what_a_feed_says_of_itself",),
    ),
    Mutation(
        guarantee="F26",
        what="a price of other decimals is believed",
        file="keeper/margin/oracle.py",
        old="reading.decimals != reading.expected_decimals:\n",
        new="reading.decimals < 0:\n",
        tests=(f"{ORACLE}::test_what_a_feed_says_of_itself",),
    ),
    Mutation(
        guarantee="F26",
        what="how much a price may be off does not depend on the leverage",
        file="keeper/margin/oracle.py",
        old="    limit = rules.deviation_bps * equity_bps(exposure) // BPS\n",
        new="    limit = rules.deviation_bps\n",
        tests=(f"{ORACLE}::test_a_small_difference_matters_to_the_highly_leveraged",),
    ),
    Mutation(
        guarantee="F27",
        what="the sequencer's sentinel is not asked",
        file="keeper/protocols/aave_v3/reader.py",
        old="    allowed = structure.sentinel is None or answers.maybe_integer() == 1\n",
        new="    allowed = structure.sentinel is None or answers.maybe_integer() is not False\n",
        tests=(f"{MARKET}::test_the_sentinel_protects_down_to_95_percent",),
    ),
    Mutation(
        guarantee="F28",
        what="a token's name is shown as it is",
        file="keeper/domain/names.py",
        old="        one if one in _PLAIN or",
        new="        one if one or one in _PLAIN or",
        tests=(
            f"{WORDS}::test_a_token_cannot_write_into_a_message",
            f"{READING}::test_symbols_of_all_kinds_are_tolerated",
        ),
    ),
    Mutation(
        guarantee="F30",
        what="a reason is as long as the contract made it",
        file="keeper/execution/reverts.py",
        old="    return printable if len(printable) <= MAX_REASON",
        new="    return reason if len(printable) <= 10**9",
        tests=(f"{ENCODING}::test_f30_reason_is_bounded",),
    ),
    Mutation(
        guarantee="F41",
        what="the environment's proxy sees every request",
        file="keeper/chain/http.py",
        old="                trust_env=False,\n",
        new="                trust_env=True,\n",
        tests=(f"{ANSWERS}::test_f41_proxies_of_the_environment_are_not_used",),
    ),
    Mutation(
        guarantee="F42",
        what="many are told one by one",
        file="keeper/notify/pace.py",
        old="        if len(waiting) > min(self.digest_above, room):\n",
        new="        if not waiting:\n",
        tests=(f"{CHANNELS}::test_ten_thousand_accounts_in_one_block_are_one_message_a_channel",),
    ),
    Mutation(
        guarantee="F42",
        what="a message that is refused is told of to nobody",
        file="keeper/notify/dispatcher.py",
        old='await self._alarm(f"{ABOUT_CHANNEL}{name}\\ndead {outgoing.message.key}", told)\n',
        new="_ = told\n",
        tests=(f"{CHANNELS}::test_a_refused_message_is_given_up_and_the_others_hear_of_it",),
    ),
    Mutation(
        guarantee="F43",
        what="a connection lasts as long as its other end likes",
        file="keeper/observe/connections.py",
        old="        self.loop.call_later(self.seconds, made.end)\n",
        new="",
        tests=(f"{HEALTH}::test_a_connection_that_says_nothing_is_ended",),
    ),
    Mutation(
        guarantee="F43",
        what="any number of connections is taken",
        file="keeper/observe/connections.py",
        old="        if len(self.open) >= self.most or len(waiting) >= self.most - share:\n",
        new="        if len(self.open) < 0:\n",
        tests=(f"{STRANGERS}::test_c7_the_number_of_open_connections_stays_bounded",),
    ),
    Mutation(
        guarantee="F44",
        what="a journal of a newer version is upgraded all the same",
        file="keeper/storage/upgrading.py",
        old="        raise JournalError(\n",
        new="        return\n        raise JournalError(\n",
        tests=(f"{UPGRADES}::test_f44_a_journal_of_a_later_version_is_refused_with_the_way_out",),
    ),
    Mutation(
        guarantee="F45",
        what="a reader that has gone ends the writing",
        file="keeper/observe/sink.py",
        old="            except (OSError, ValueError) as error:",
        new="            except ZeroDivisionError as error:",
        tests=(f"{PROCESS}::test_f45_a_reader_that_has_gone_ends_nothing",),
    ),
    Mutation(
        guarantee="G22",
        what="the first block of a breach is no spike",
        file="keeper/margin/guard.py",
        old="            return breach.count >= guard.blocks\n",
        new="            return breach.count >= 1\n",
        tests=(
            f"{GUARD}::test_two_blocks_are_a_spike_and_three_are_not",
            f"{GUARD}::test_a_spike_calls_nobody",
        ),
    ),
    Mutation(
        guarantee="G23",
        what="a message that failed counts as told",
        file="keeper/notify/dispatcher.py",
        old="            await self._failed(outgoing, _explained(error))\n            return\n",
        new="            _ = _explained(error)\n",
        tests=(
            f"{CHANNELS}::test_a_webhook_gets_each_message_once_signed_whatever_happened_first",
        ),
    ),
    Mutation(
        guarantee="G25",
        what="an entry's hash does not cover what it says",
        file="keeper/audit/chain.py",
        old="    return sha256(canonical([previous, number, *facts, entry.body]))\n",
        new="    return sha256(canonical([previous, number, *facts]))\n",
        tests=(f"{RECORD}::test_one_changed_byte_of_an_entry_is_found",),
    ),
    Mutation(
        guarantee="G33",
        what="a key that is no setting is passed over",
        file="keeper/config/section.py",
        old='extra="forbid"',
        new='extra="ignore"',
        tests=(f"{SETTINGS}::test_an_unknown_key_names_the_nearest",),
    ),
    Mutation(
        guarantee="G36",
        what="packages are installed without a look at their hashes",
        file="scripts/setup",
        old="        --require-hashes -r",
        new="        -r",
        tests=(f"{SETUP}::test_every_package_is_installed_by_its_hash",),
    ),
    Mutation(
        guarantee="F04",
        what="a send goes to the first endpoint alone",
        file="keeper/execution/everywhere.py",
        old="        places = await self._places()\n",
        new="        places = (await self._places())[:1]\n",
        tests=(f"{SENDS}::test_f04_swallowed_by_one_it_is_with_all_the_others",),
    ),
    Mutation(
        guarantee="F13",
        what="nobody compares what logs say with the block's filter and receipts",
        file="keeper/chain/logs.py",
        old="        return bool(self._asked_windows % SAMPLE_EVERY) or await",
        new="        return True or await",
        tests=(f"{HISTORY}::test_holes_in_the_middle_are_an_error",),
    ),
    Mutation(
        guarantee="F14",
        what="the first block is final for ever",
        file="keeper/chain/finalized.py",
        old="    if head.number == 0 and newest is not None and newest",
        new="    if head.number < 0 and newest is not None and newest",
        tests=(f"{FINALIZED}::test_the_first_block_is_not_final_for_ever",),
    ),
    Mutation(
        guarantee="F25",
        what="a retry is due by the clock that people set",
        file="keeper/notify/dispatcher.py",
        old="            return self.monotonic() >= due\n",
        new="            return message.due_at <= self._now()\n",
        tests=(f"{JUMPS}::test_f25_a_retry_comes_in_its_time_however_the_clock_was_set",),
    ),
    Mutation(
        guarantee="F40",
        what="nobody measures how long the event loop stood still",
        file="keeper/composition/watching.py",
        old="        metrics.lag.observe(max(0.0, time.monotonic() - due))\n",
        new="        metrics.lag.observe(0.0 * (time.monotonic() - due))\n",
        tests=(f"{PROCESS}::test_f40_an_event_loop_that_stood_still_is_measured",),
    ),
    Mutation(
        guarantee="F16",
        what="a final block that changed is no reason to stop",
        file="keeper/execution/finality.py",
        old="        return self._changed or self._older\n",
        new='        return ""\n',
        tests=(f"{NONCES}::test_f16_a_finalized_block_that_changes_ends_signing_and_says_so",),
    ),
    Mutation(
        guarantee="F17",
        what="the first bid has no headroom",
        file="keeper/execution/fees.py",
        old="    max_fee = min(asked.max_fee, cap)\n",
        new="    max_fee = min(market.base_fee + 1, cap)\n",
        tests=(f"{FEES}::test_the_first_bid_has_headroom_and_the_markets_tip",),
    ),
    Mutation(
        guarantee="F18",
        what="nothing that is stuck is ever bid up",
        file="keeper/execution/replacing.py",
        old=">= self.bump_after_blocks\n",
        new=">= 10**9\n",
        tests=(
            f"{NONCES}::test_f18_a_stuck_nonce_is_bid_up_to_a_multiple_of_the_market_then_left_as_it_is",
        ),
    ),
    Mutation(
        guarantee="F37",
        what="a wallet below its floor sends on",
        file="keeper/execution/limits.py",
        old="    if history.balance is None or history.balance >= limits.min_balance:\n",
        new="    if history.balance is None or history.balance >= 0:\n",
        tests=(f"{FLOOR}::test_below_the_floor_nothing_new_is_sent_until_it_is_topped_up",),
    ),
)
