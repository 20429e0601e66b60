"""The apps engine: other people's programs, each in a process of its own.

It owns `rocketchat_apps`, `hubbub_app_packages`, `hubbub_app_store`, `hubbub_app_jobs` and
`hubbub_app_logs`.

* `service`    the contract's actions and the process
* `domain`     rules: what an app may, when a job is due, which event a frame is
* `store`      the queries
"""
