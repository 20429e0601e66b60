"""Incoming and outgoing webhooks, as Rocket.Chat has them. Scripts are not run.

* `managing`  making, changing, showing and forgetting integrations
* `incoming`  a payload from outside becomes messages
* `outgoing`  something that happened here becomes calls, which are written down
* `calling`   makes them, each repeated until it succeeds or is given up
* `places`    rooms and people behind `#name` and `@name`
"""
