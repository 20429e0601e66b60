"""The push service: which devices a user could be reached on.

It owns the collection `_raix_push_app_tokens`. It keeps the tokens of devices and forgets them
with the user, or with the login they were registered under. It delivers nothing: there is no
connection to Apple, Google or a Web Push service yet.

* `service`   the contract's actions, the listener and the process
* `domain`    which registrations a new one replaces, and what clients see of one
* `store`     the queries
"""
