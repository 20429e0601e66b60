"""The apps engine: other people's programs, each in a process of its own.

It owns `rocketchat_apps`, `hubbub_app_packages`, `hubbub_app_store`, `hubbub_app_jobs` and
`hubbub_app_logs`.

* `service`       the contract's actions and the process
* `keeper`        what administrators do with apps; `lives` is those that are meant to run
* `provisioning`  the same for apps that are declared in a cluster
* `supervisor`    keeps one app running; `processes` is one process of it, `confinement` its walls
* `packages`      opens what was uploaded, believing nothing of it
* `bridge`        what an app may do here, as a user of its own
* `log_reader`    reads the event log; `deliveries` brings events to apps
* `hooks`         asks apps before a message is stored; `asking` leads commands and requests to them
* `bot_rooms`     where apps may hear and judge what is said
* `herald`        tells clients of apps and commands; `farewell` people of an app that was disabled
* `scheduler`     wakes apps for what they planned
* `webhooks`      incoming and outgoing webhooks, which are no apps; `egress` is the way outside
* `domain`        rules, without I/O
* `store`         the queries
"""
