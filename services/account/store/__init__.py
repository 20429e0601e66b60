"""Every query of the account service.

* `users`      users as people see them
* `logins`     users as login sees them: tokens, password hashes
* `factors`    users as second factors see them
* `failures`   counts of failed logins
* `audit`      what happened
* `user_roles` roles given and taken
* `workspace`  settings, and what happens once per workspace
"""
