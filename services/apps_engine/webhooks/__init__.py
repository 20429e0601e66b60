"""Incoming and outgoing webhooks, as Rocket.Chat has them. Scripts are not run.

* `managing`  making, changing, showing and forgetting integrations
* `incoming`  a payload from outside becomes messages
* `outgoing`  something that happened here becomes calls, each repeated until it succeeds or is
              given up; what is still to be done is in the database
* `places`    rooms and people behind `#name` and `@name`
"""
