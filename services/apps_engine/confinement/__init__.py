"""How a process gives up what an app does not need, and then becomes the app.

An app is somebody else's code. Nothing in Python keeps such code in; the kernel does, with
several means that overlap, because none of them is there everywhere: a container may refuse
namespaces, an old kernel knows no Landlock. Each means is tried, what was refused is reported,
and nothing is claimed that is not active.

* `plan`        what the engine tells the launcher
* `report`      what the launcher tells the engine
* `launcher`    the order in which everything happens
* `limits`      rlimits, niceness, who dies first when memory ends
* `privileges`  user id, capabilities, no new privileges
* `namespaces`  own users, network, processes, mounts, IPC
* `view`        the own tree of files in the mount namespace
* `landlock`    which files may be read and written
* `seccomp`     which system calls are refused
* `kernel`      the system calls themselves

Only the standard library is used here: all of it is in the app's memory afterwards.
"""
