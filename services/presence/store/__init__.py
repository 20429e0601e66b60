"""Every query of the presence service.

* `sessions`   the connections of users, and who settles them
* `pipelines`  how a change of connections is written
* `users`      users and settings
"""
