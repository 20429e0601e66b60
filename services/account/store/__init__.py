"""Every query of the account service.

* `users`      users as people see them
* `logins`     users as login sees them: tokens, password hashes
* `failures`   counts of failed logins
* `workspace`  settings, and what happens once per workspace
"""
