"""Rate, errors and duration of every call, and what the services do."""

from __future__ import annotations

from typing import Final

from deploy.dashboards.common import NONE, level, per_second, percentile
from deploy.dashboards.grafana import Dashboard, Query, Row, graph, strip

_FAILED = 'outcome=~"timeout|no_responders|circuit_open"'
_ALL = "sum by (service) (rate(hubbub_rpc_client_requests_total{@}[$__rate_interval]))"

_CALLS = Row(
    "Calls, as callers see them",
    [
        graph(
            "Calls",
            per_second("hubbub_rpc_client_requests_total", "service, method"),
            unit="cps",
            stacked=True,
        ),
        graph(
            "Calls without an answer",
            Query(
                f"(sum by (service) (rate(hubbub_rpc_client_requests_total{{{_FAILED},@}}"
                f"[$__rate_interval])) or 0 * {_ALL}) / {_ALL}",
                "{{service}}",
            ),
            unit="percentunit",
            about="Shares of all calls; 2 % is an alert.",
        ),
        graph(
            "Calls by how they ended",
            per_second(
                "hubbub_rpc_client_requests_total", "service, outcome", only='outcome!="ok"'
            ),
            unit="cps",
            about="`error` is what users may not do, besides defects.",
        ),
        graph(
            "Duration, p99",
            percentile(0.99, "hubbub_rpc_client_duration_seconds", "service, method"),
            unit="s",
            about="With repetitions. The actions that are called first have lines of their own.",
        ),
        graph("Repeated", per_second("hubbub_rpc_client_retries_total", "service"), unit="cps"),
        graph(
            "Answers that came too late or twice",
            per_second("hubbub_rpc_client_late_total", legend="late"),
            per_second("hubbub_rpc_client_duplicates_total", legend="twice"),
            unit="cps",
        ),
        strip(
            "Circuits",
            Query(
                "max by (app_kubernetes_io_component, service) (hubbub_rpc_circuit_state{@})",
                "{{app_kubernetes_io_component}} to {{service}}",
            ),
            {
                "0": ("closed", "green"),
                "1": ("half-open", "orange"),
                "2": ("open", "red"),
            },
        ),
    ],
)

_ANSWERS = Row(
    "Calls, as services see them",
    [
        graph(
            "Calls answered",
            per_second(
                "hubbub_rpc_server_requests_total",
                "app_kubernetes_io_component, method",
            ),
            unit="cps",
            stacked=True,
        ),
        graph(
            "Defects, time-outs and refusals",
            per_second(
                "hubbub_rpc_server_requests_total",
                "app_kubernetes_io_component, outcome",
                only='outcome=~"internal|invalid|timeout|expired|shed"',
                rare=True,
            ),
            unit="cps",
        ),
        graph(
            "Duration of the work, p99",
            percentile(
                0.99,
                "hubbub_rpc_server_duration_seconds",
                "app_kubernetes_io_component, method",
            ),
            unit="s",
        ),
        graph(
            "Being worked on",
            level("hubbub_rpc_server_inflight", "app_kubernetes_io_component"),
            stacked=True,
        ),
        graph(
            "Refused for want of room, too late to begin",
            per_second(
                "hubbub_rpc_server_shed_total",
                "app_kubernetes_io_component",
                legend="refused: {{app_kubernetes_io_component}}",
            ),
            per_second(
                "hubbub_rpc_server_expired_total",
                "app_kubernetes_io_component",
                legend="too late: {{app_kubernetes_io_component}}",
            ),
            unit="cps",
        ),
        graph(
            "Event loop's lag, p99",
            percentile(0.99, "hubbub_event_loop_lag_seconds", "app_kubernetes_io_component, pod"),
            unit="s",
        ),
    ],
)

_PROCESSES = Row(
    "Processes and MongoDB",
    [
        graph(
            "Failed background tasks",
            per_second(
                "hubbub_task_failures_total", "app_kubernetes_io_component, kind", rare=True
            ),
            unit="cps",
        ),
        graph("Background tasks", level("hubbub_tasks", "app_kubernetes_io_component, kind")),
        graph(
            "What a process needs and has not",
            Query(
                "count by (app_kubernetes_io_component, dependency)"
                f" (hubbub_dependency_up{{@}} == 0){NONE}",
                "{{app_kubernetes_io_component}}: {{dependency}}",
            ),
        ),
        graph(
            "Commands to MongoDB, p99",
            percentile(0.99, "hubbub_mongo_command_duration_seconds", "command"),
            unit="s",
        ),
        graph(
            "Commands to MongoDB",
            Query(
                "sum by (command, outcome) "
                "(rate(hubbub_mongo_command_duration_seconds_count{@}[$__rate_interval]))",
                "{{command}} {{outcome}}",
            ),
            unit="cps",
        ),
        graph(
            "Connections to MongoDB, and waiting for one",
            level(
                "hubbub_mongo_pool_connections",
                "app_kubernetes_io_component",
                only='state="in_use"',
                legend="in use: {{app_kubernetes_io_component}}",
            ),
            percentile(0.99, "hubbub_mongo_checkout_wait_seconds", legend="wait, p99 (s)"),
        ),
    ],
)

_RIGHTS = Row(
    "Authorization and accounts",
    [
        graph(
            "Share of facts found in the cache",
            Query(
                'sum(rate(hubbub_authz_cache_total{result="hit",@}[$__rate_interval]))'
                " / sum(rate(hubbub_authz_cache_total{@}[$__rate_interval]))",
                "hits",
            ),
            Query(
                'sum(rate(hubbub_authz_cache_total{result="stale",@}[$__rate_interval]))'
                " / sum(rate(hubbub_authz_cache_total{@}[$__rate_interval]))",
                "old, as the database does not answer",
            ),
            unit="percentunit",
        ),
        graph(
            "Decisions",
            per_second("hubbub_authz_decisions_total", "permission, result"),
            unit="cps",
        ),
        graph(
            "Until a change is heeded, p99",
            percentile(0.99, "hubbub_authz_invalidation_lag_seconds"),
            unit="s",
        ),
        graph(
            "Facts in the cache, and what is forgotten",
            level("hubbub_authz_cache_entries", "pod"),
            per_second(
                "hubbub_authz_invalidations_total", "event", legend="forgotten/s: {{event}}"
            ),
        ),
        graph(
            "Logins",
            per_second("hubbub_account_logins_total", "variant, outcome"),
            unit="cps",
        ),
        graph(
            "Passwords waiting for a thread",
            level("hubbub_account_password_waiting", "pod"),
            percentile(0.99, "hubbub_account_password_wait_seconds", legend="wait, p99 (s)"),
            per_second("hubbub_account_password_refused_total", legend="refused/s"),
        ),
    ],
)

_PRESENCE = Row(
    "Presence",
    [
        graph(
            "Users",
            Query(
                "sum by (status) (max by (namespace, app_kubernetes_io_instance, status) "
                "(hubbub_presence_users{@}))",
                "{{status}}",
            ),
        ),
        graph(
            "Changes",
            per_second("hubbub_presence_transitions_total", "from, to", legend="{{from}} → {{to}}"),
            unit="cps",
        ),
        graph(
            "Announcements",
            per_second("hubbub_presence_broadcast_total", "outcome"),
            per_second("hubbub_presence_stale_reaped_total", legend="users of lost streamers"),
            unit="cps",
        ),
        graph(
            "Until a change is announced, p99",
            percentile(0.99, "hubbub_presence_update_delay_seconds"),
            unit="s",
        ),
        graph(
            "Connections of signed-in users",
            Query(
                "sum(max by (namespace, app_kubernetes_io_instance) "
                "(hubbub_presence_connections{@}))",
                "connections",
            ),
        ),
    ],
)

_APPS = Row(
    "Apps",
    [
        graph("Installed", Query("max by (state) (hubbub_apps{@})", "{{state}}")),
        graph(
            "Calls into apps",
            per_second("hubbub_app_calls_total", "app, hook, outcome"),
            unit="cps",
            stacked=True,
        ),
        graph(
            "How long they take, p99",
            percentile(0.99, "hubbub_app_call_duration_seconds", "hook"),
            unit="s",
        ),
        graph(
            "Messages that apps were asked about",
            per_second("hubbub_messaging_hooks_total", "outcome"),
            unit="cps",
        ),
        graph(
            "Not in time, and started again",
            per_second("hubbub_app_timeouts_total", "app", legend="{{app}}: not in time"),
            per_second("hubbub_app_restarts_total", "app", legend="{{app}}: started again"),
            unit="cps",
        ),
        graph(
            "Calls of outgoing webhooks",
            per_second("hubbub_webhook_calls_total", "outcome"),
            unit="cps",
            stacked=True,
        ),
        graph(
            "How long servers outside take, p99",
            percentile(0.99, "hubbub_webhook_call_duration_seconds"),
            unit="s",
        ),
        graph(
            "What came to incoming webhooks",
            per_second("hubbub_webhook_deliveries_total", "outcome"),
            unit="cps",
        ),
    ],
)

DASHBOARD: Final = Dashboard(
    "services",
    "Services",
    "Calls between services: how many, how many fail, how long they take.",
    [_CALLS, _ANSWERS, _PROCESSES, _RIGHTS, _PRESENCE, _APPS],
)
