"""Which test stands for which known hole: in products like this one, and in the first server.

Tests are named `module::function`, with modules below `tests`. A row without a test here would
be a hole that nobody looks at, so `test_coverage` counts them.
"""

from __future__ import annotations

from typing import Final

_LOGINS: Final = "security.test_advisories_logins::"
_CONTENT: Final = "security.test_advisories_content::"
_FILES: Final = "security.test_advisories_files::"
_READS: Final = "security.test_reads_and_writes::"
_STREAMS: Final = "security.test_streams::"
_CANARIES: Final = "security.test_canaries::"
_DEFECTS: Final = "security.test_defects::"
_NETWORK: Final = "security.test_network::"
_CORPUS: Final = "conformance.test_corpus::"
_STRANGERS: Final = _READS + "test_cve_2022_35249_strangers_and_a_private_room"
_REMOVED: Final = _READS + "test_mattermost_cve_2026_1629_nothing_is_left_after_a_removal"
_OTHERS: Final = _STREAMS + "test_zulip_cve_2022_31017_nothing_of_a_room_reaches_others"

ADVISORIES: Final[dict[str, tuple[str, ...]]] = {
    "CVE-2026-28514": (
        _LOGINS + "test_cve_2026_28514_wrong_credentials",
        "conformance.test_login_doors::test_wrong_password",
    ),
    "CVE-2026-30831": (
        _LOGINS + "test_cve_2026_30831_no_door_skips_a_check",
        "conformance.test_login_doors::test_deactivated",
        "conformance.test_login_doors::test_second_factor",
    ),
    "CVE-2021-22911, CVE-2021-22910": (
        _LOGINS + "test_cve_2021_22911_operators_before_a_login",
        _CORPUS + "test_operators_in_parameters_of_methods",
        _CORPUS + "test_operators_in_parameters_of_endpoints",
    ),
    "CVE-2026-45688, CVE-2026-45689, CVE-2026-29198": (
        _LOGINS + "test_cve_2026_45688_operators_as_credentials",
    ),
    "CVE-2022-32219": (_CONTENT + "test_cve_2022_32219_queries_of_clients_are_not_run",),
    "CVE-2022-32226, CVE-2022-32229, CVE-2022-32228, CVE-2022-35246, CVE-2023-28359": (
        _CONTENT + "test_cve_2022_35246_unchecked_types_in_lookups",
        _CORPUS + "test_operators_in_parameters_of_methods",
    ),
    "CVE-2022-35249, CVE-2022-35250": (
        _STRANGERS,
        _READS + "test_cve_2022_35250_strangers_and_a_direct_room",
    ),
    "CVE-2023-28325": (
        _CONTENT + "test_cve_2023_28325_the_stored_room_decides",
        _CORPUS + "test_bad_input_changes_nothing",
    ),
    "CVE-2026-72918": (
        _STREAMS + "test_cve_2026_72918_nobody_writes_into_streams",
        _STREAMS + "test_streams_are_written_on_sockets_only",
        "conformance.test_streams_more::test_056_calls_reach_only_those_who_share_a_room",
    ),
    "CVE-2024-46936": (_CONTENT + "test_cve_2024_46936_the_server_says_who_sends",),
    "CVE-2022-35248": (_LOGINS + "test_cve_2022_35248_another_service_skips_no_factor",),
    "CVE-2023-28316": (
        _LOGINS + "test_cve_2023_28316_a_new_factor_ends_other_sessions",
        "conformance.test_ddp_account::test_040_enabling_ends_other_sessions",
    ),
    "CVE-2023-28356, CVE-2024-46935, CVE-2021-32832": (
        _CONTENT + "test_cve_2024_46935_crafted_texts_cost_no_time",
        _CORPUS + "test_odd_input_that_is_fine",
    ),
    "CVE-2024-39713": (
        _FILES + "test_cve_2024_39713_the_server_fetches_nothing_from_within",
        "conformance.test_integrations"
        "::test_a_message_is_told_and_the_network_inside_is_not_reached",
        "integration.apps_engine.test_egress::test_nothing_inside_is_reached",
        "integration.apps_engine.test_egress::test_redirects_are_judged_anew",
    ),
    "CVE-2026-45687": (_FILES + "test_cve_2026_45687_fields_of_an_upload_are_the_servers",),
    "CVE-2026-48616": (
        _FILES + "test_cve_2026_48616_files_belong_to_their_room",
        "conformance.test_rest_files::test_downloads",
    ),
    "CVE-2026-23477, CVE-2026-49278": (_CANARIES + "test_cve_2026_23477_canaries",),
    "CVE-2026-72919": (_READS + "test_cve_2026_72919_a_name_is_checked_as_an_id_is", _STRANGERS),
    "CVE-2026-47733": (_CONTENT + "test_cve_2026_47733_links_that_run_something_are_not_stored",),
    "CVE-2026-55666, CVE-2026-55759, CVE-2026-46423": (
        _LOGINS + "test_cve_2026_55666_identity_tokens_are_taken_from_nobody",
    ),
    "CVE-2020-28208": (_LOGINS + "test_cve_2020_28208_addresses_are_not_told",),
    "Mattermost CVE-2026-2578, CVE-2026-19621": (_OTHERS,),
    "Mattermost CVE-2026-1629, CVE-2026-2458, Zulip GHSA-478x-rfqr-w4jf, GHSA-c9wc-65fh-9x8p": (
        _REMOVED,
        "conformance.test_removal::test_043_a_thousand_removals_while_messages_flow",
    ),
    "Zulip CVE-2022-31017, CVE-2026-100404": (_OTHERS, _REMOVED),
    "Mattermost CVE-2026-5740": (
        _CONTENT + "test_mattermost_cve_2026_5740_lengths_are_not_believed",
        _CORPUS + "test_frames",
    ),
    "Mattermost GHSA-q7rx-w656-fwmv": (
        _CANARIES + "test_mattermost_ghsa_q7rx_w656_fwmv_shared_frames_tell_of_nobody",
    ),
    "Synapse CVE-2020-26890, CVE-2018-10657, CVE-2025-30355": (
        _CONTENT + "test_synapse_cve_2025_30355_numbers_that_break_readers_are_not_stored",
        _CORPUS + "test_bad_input_changes_nothing",
    ),
    "Synapse CVE-2021-29471": (
        _NETWORK + "test_synapse_cve_2021_29471_what_clients_look_for_is_no_pattern",
        "conformance.test_rest_marks::test_searching",
    ),
    "Zulip CVE-2021-43799": (
        _NETWORK + "test_zulip_cve_2021_43799_the_bus_is_closed_to_strangers",
        "unit.bus.test_settings::test_nobody_uses_a_server_elsewhere_without_signing_in",
        "integration.bus.test_permissions::test_nobody_gets_in_without_a_key",
    ),
}
"""Advisories about products like this one → tests."""

NO_SUCH_DOOR: Final[dict[str, str]] = {
    "CVE-2026-47733": "nothing here renders Markdown; links are kept in attachments, and there"
    " their schemes are checked",
    "CVE-2026-55666, CVE-2026-55759, CVE-2026-46423": "nobody signs in by another service; the"
    " test tries every way that clients of such services know, and that none is offered",
    "Zulip CVE-2022-31017, CVE-2026-100404": "a member sees the whole history of a room, so no"
    " edit can tell more; who is no member gets no edit",
}
"""Advisories whose very feature does not exist here, and what their tests look at instead."""

_ACCOUNT: Final = "unit.account."
_LIVE_ACCOUNT: Final = "integration.account."
_HEADERS: Final = "integration.gateway.test_behaviour::"

RULES: Final[dict[str, tuple[str, ...]]] = {
    # Accounts and sessions
    "tokens are random, and stored as digests": (
        "security.test_advisories_logins::test_cve_2026_28514_wrong_credentials",
        _LIVE_ACCOUNT + "test_login::test_tokens_are_stored_only_hashed",
    ),
    "secrets are in no log, metric or error": (
        "unit.runtime.test_log::test_secrets_do_not_get_out",
        "unit.runtime.test_log::test_secrets_in_depth_and_in_other_spellings",
        _ACCOUNT + "test_domain::test_password_does_not_show_in_logs",
        "unit.conformance.test_leaks::test_a_token_in_a_log_is_found",
    ),
    "tokens end after 90 days, however much they are used": (
        _LIVE_ACCOUNT + "test_login::test_expired_tokens",
        _LIVE_ACCOUNT + "test_login::test_use_prolongs_no_token",
        _ACCOUNT + "test_domain::test_personal_tokens_never_expire",
    ),
    "a login takes all steps, in their order, at every door": (
        _ACCOUNT + "test_login::test_order_of_steps",
        _ACCOUNT + "test_login::test_first_refusal_wins",
        "security.test_advisories_logins::test_cve_2026_30831_no_door_skips_a_check",
    ),
    "what is forgotten to be awaited or judged is found before it runs": (
        "unit.tasks.test_rules::test_what_is_not_awaited_is_an_error",
    ),
    "passwords: old hashes are taken, new ones are strong, common words refused": (
        _ACCOUNT + "test_passwords::test_both_kinds_verify",
        _ACCOUNT + "test_passwords::test_schemes",
        _ACCOUNT + "test_passwords::test_new_passwords",
        _LIVE_ACCOUNT + "test_changes::test_stronger_hashes_at_login",
        _LIVE_ACCOUNT + "test_changes::test_commonest_passwords",
    ),
    "codes of a second factor: each once, five tries, ten for an emergency": (
        _ACCOUNT + "test_second_factor::test_codes_of_the_standard",
        _ACCOUNT + "test_second_factor::test_window",
        _LIVE_ACCOUNT + "test_second_factors::test_raced_codes",
        _LIVE_ACCOUNT + "test_second_factors::test_five_tries",
        _ACCOUNT + "test_second_factor::test_recovery_codes",
    ),
    "a second factor: ends other sessions, is given up with itself only, soon asked for again": (
        _LIVE_ACCOUNT + "test_second_factors::test_enabling_ends_other_logins",
        _LIVE_ACCOUNT + "test_second_factors::test_giving_up",
        _LIVE_ACCOUNT + "test_second_factors::test_how_long_is_remembered",
        _LIVE_ACCOUNT + "test_second_factors::test_sensitive_calls",
        "conformance.test_rest_account::test_sensitive_calls_ask_for_the_factor",
    ),
    "guesses are counted, per user and per address, and tell nothing": (
        _ACCOUNT + "test_login::test_eleventh_failure_is_refused",
        _ACCOUNT + "test_login::test_address_limit",
        _ACCOUNT + "test_login::test_success_forgets_the_users_failures_but_not_the_addresss",
        _ACCOUNT + "test_login::test_unknown_user_costs_the_same_work",
        _LIVE_ACCOUNT + "test_login::test_failures_hold_across_replicas_and_grow",
        "security.test_advisories_logins::test_cve_2020_28208_addresses_are_not_told",
    ),
    "what is revoked ends": (
        "conformance.test_3_login::test_038_only_the_revoked_session_ends",
        _LIVE_ACCOUNT + "test_login::test_revocation",
        "integration.gateway.test_behaviour::test_a_revoked_token_ends_with_the_event",
    ),
    "there is one first administrator": (
        _LIVE_ACCOUNT + "test_users::test_first_users_raced",
        _LIVE_ACCOUNT + "test_users::test_administrator_of_the_settings_is_made_once",
    ),
    "who did what is written down": (
        _LIVE_ACCOUNT + "test_audit::test_fields",
        _LIVE_ACCOUNT + "test_audit::test_logins",
        _LIVE_ACCOUNT + "test_audit::test_kept_for_400_days",
        "conformance.test_rest_account::test_audit_log",
        "conformance.test_rest_account::test_what_other_services_do_is_audited",
    ),
    # Network, NATS, MongoDB
    "no cookie signs a socket in": (
        _NETWORK + "test_nothing_that_a_browser_sends_by_itself_signs_a_socket_in",
    ),
    "pages of other origins may be kept out": (
        "unit.ddp_streamer.test_handshake::test_refused_handshakes",
        "unit.ddp_streamer.test_handshake::test_allowed_origins",
        _HEADERS + "test_cors_as_the_workspace_is_set",
        "unit.gateway.test_rules::test_origins",
    ),
    "cookies for a foreign page open no file": (
        _NETWORK + "test_cookies_sent_for_a_foreign_page_open_no_file",
    ),
    "answers are neither run nor framed": (
        _HEADERS + "test_answers_are_neither_run_nor_framed",
        _HEADERS + "test_landing_page_and_health",
        "integration.gateway.test_files::test_headers_of_a_download",
    ),
    "each service has its own rights on the bus": (
        "unit.bus.test_permissions::test_the_table_names_what_the_code_calls_and_hears",
        "integration.bus.test_permissions::test_what_is_forbidden_is_refused",
        "integration.bus.test_permissions::test_nobody_gets_in_without_a_key",
        "integration.bus.test_permissions::test_an_answer_is_no_licence_to_write_to_inboxes",
    ),
    "each service has its own rights on the database": (
        "integration.local.test_mongo_users::test_what_is_forbidden_is_refused",
        "integration.local.test_mongo_users::test_a_whole_hubbub_works_with_these_rights",
    ),
    "private fields leave nobody's service": (
        _CANARIES + "test_cve_2026_23477_canaries",
        "unit.stream_hub.test_privacy::test_no_private_field_is_in_any_event",
        _ACCOUNT + "test_names::test_secrets_never_leave",
    ),
}
"""What is promised of accounts, sessions and the network → tests."""

DEFECTS: Final[dict[int, tuple[str, ...]]] = {
    1: (
        "conformance.test_reconnect::test_089_the_hub_is_killed",
        "integration.stream_hub.test_faults::test_what_is_written_while_no_hub_runs_is_told_later",
        "integration.ddp_streamer.test_streamer"
        "::test_a_streamer_cut_from_nats_gives_its_clients_everything_once",
    ),
    2: ("conformance.test_8_processes::test_027_what_is_sent_right_after_ready_arrives",),
    3: (
        "integration.presence.test_statuses::test_reconnect_within_the_grace_makes_no_noise",
        "integration.presence.test_statuses::test_frames_of_one_user_are_a_second_apart",
        "conformance.test_reconnect::test_092_a_streamer_is_drained_under_everybody",
    ),
    4: ("integration.presence.test_replicas::test_replicas_agree_on_many_users",),
    5: (
        "integration.presence.test_replicas::test_lost_streamer_takes_its_users_offline",
        "integration.presence.test_replicas::test_restart_loses_nobody",
    ),
    6: ("conformance.test_8_processes::test_029_subscribing_again_and_again_keeps_nothing",),
    7: ("conformance.test_streams_more::test_012_who_stops_reading_is_closed_and_costs_nothing",),
    8: ("conformance.test_8_processes::test_057_every_event_once_on_every_streamer",),
    9: (
        _DEFECTS + "test_09_and_26_one_session_ends_alone",
        "conformance.test_3_login::test_038_only_the_revoked_session_ends",
    ),
    10: (_DEFECTS + "test_10_nobody_is_locked_out_by_the_limits_of_others",),
    11: (_DEFECTS + "test_11_a_refused_send_is_no_success",),
    12: (_STREAMS + "test_cve_2026_72918_nobody_writes_into_streams",),
    13: (
        _DEFECTS + "test_13_presence_and_typing_are_for_those_who_may",
        _STREAMS + "test_cve_2026_72918_nobody_writes_into_streams",
    ),
    14: (
        _DEFECTS + "test_14_the_own_account_comes_without_secrets",
        _DEFECTS + "test_14_private_settings_and_join_codes_are_for_those_who_may",
        _DEFECTS + "test_14_nobody_learns_who_starred",
        _CANARIES + "test_cve_2026_23477_canaries",
    ),
    15: ("conformance.test_costs::test_what_operations_cost",),
    16: (
        "conformance.test_1_connection::test_011_a_pong_before_connect_is_tolerated",
        "unit.ddp_streamer.test_connection::test_no_ping_before_connect",
    ),
    17: ("conformance.test_8_processes::test_009_silence_is_asked_about_and_ends",),
    18: (
        "conformance.test_1_connection::test_002_sockjs_frames_both_ways",
        "conformance.test_streams_more::test_014_sockjs_breathes_and_says_goodbye",
    ),
    19: ("conformance.test_2_methods_and_subscriptions::test_017_falsy_results_are_results",),
    20: (
        _DEFECTS + "test_20_a_socket_that_signed_out_hears_nothing_more",
        "conformance.test_3_login::test_037_logout_keeps_the_socket",
    ),
    21: (
        "unit.ddp_streamer.test_fanout"
        "::test_thousands_of_sockets_do_not_hold_the_loop_and_keep_the_order",
    ),
    22: ("conformance.test_2_methods_and_subscriptions::test_025_two_ids_for_one_event",),
    23: (
        "conformance.test_8_processes::test_009_silence_is_asked_about_and_ends",
        "unit.ddp_streamer.test_connection::test_a_silent_client_is_pinged_and_then_closed",
    ),
    24: ("conformance.test_costs::test_what_operations_cost",),
    25: (
        "conformance.test_reconnect::test_094_a_session_comes_back_without_a_login",
        "conformance.test_reconnect::test_091_accounts_are_away_while_everybody_comes_back",
        "conformance.test_2_methods_and_subscriptions"
        "::test_095_a_sub_before_the_login_waits_for_it",
    ),
    26: (_DEFECTS + "test_09_and_26_one_session_ends_alone",),
    27: (
        "conformance.test_reconnect::test_087_the_primary_steps_down",
        "conformance.test_reconnect::test_099_the_database_comes_back",
    ),
    28: ("integration.stream_hub.test_faults::test_a_history_that_is_gone_is_said",),
    29: (
        "unit.ddp_streamer.test_rates::test_a_limit_counts_until_its_window_ends",
        "unit.ddp_streamer.test_session::test_a_limit_is_answered_in_the_protocol_of_the_call",
    ),
    30: (
        "conformance.test_8_processes::test_077_and_079_presence_survives_its_own_end_and_tells_a_streamers",
    ),
    31: ("conformance.test_4_streams::test_097_a_touched_date_is_no_news",),
    32: (
        _DEFECTS + "test_32_session_ids_cannot_be_guessed",
        "conformance.test_9_secrets::test_098_session_ids_are_told_to_nobody_else",
    ),
}
"""Numbers of the first server's defects → tests.

    1   events are lost when the hub restarts       17  a close code of clients for a timeout
    2   messages between login and ready are lost   18  several SockJS messages in one frame
    3   storms of reconnects and of presence        19  falsy results vanish
    4   presence ends above 200 connections         20  a logout closes the socket
    5   users online for ever after a crash         21  one loop for everything
    6   subscriptions leak                          22  two subscriptions deliver twice
    7   slow clients fill the memory                23  a dead network goes unnoticed
    8   not all streamers get everything            24  each change goes everywhere
    9   one logout closed all sockets               25  a refused reconnect ends clients
    10  the limiter locks users out                 26  one logout falls through to all
    11  a refused send is a success                 27  all ends with a restart of the database
    12  anybody writes streams of others            28  an expired resume token loops for ever
    13  typing and presence for strangers           29  limits hit ordinary users
    14  secrets in documents and frames             30  presence is told while it is off
    15  two database reads per message and bot      31  touched dates count as changes
    16  a ping before the first message             32  ids of connections hold a clock
"""
