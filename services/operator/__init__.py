"""The operator: scales the streamers of a cluster in without cutting more people than needed, and
keeps declared apps installed.

It looks after the custom resource `StreamerPool`. In mode `Advise` it tells Kubernetes by an
annotation which streamer holds the fewest connections, so that a scale-in takes that one. In mode
`Manage` it chooses the pods that go, lets them drain, and only then lowers the replicas. In both
it can move connections off a streamer that is much fuller than the rest. Nothing depends on it:
streamers drain themselves when they are told to end, whoever tells them.

The custom resource `HubbubApp` is an app that the apps engine is to have. What it has is compared
with the object each minute; who changes it by hand is followed back.

Every fact it acts on is in the cluster: the deployment, its pods, and what the operator itself
wrote into the status of the pool before it did something. So it may be killed between any two
requests and goes on where it was.

* `service`     the process: bus, cluster, watch, health
* `handlers`    what kopf calls: an object was seen, credentials are needed
* `watching`    kopf in a thread of its own, and how long ago the API server was heard
* `pools`       a task per pool or app
* `app`         one pass over one app; `engine` speaks to the apps engine
* `declared`    the objects of apps, packages and settings
* `release`     what goes before a release does
* `pool`        one pass over one pool: read, decide, write
* `scale_in`    the steps of mode Manage, each written down before it is done
* `streamers`   what streamers say of themselves, and what they are asked to do
* `kubernetes`  the requests to the API server; `rights` lists them, `access` says who asks
* `resources`   the objects, as far as they are read or written
* `domain`      the rules: costs, scaling, balance, apps, conditions

`StreamerPool` has no finalizer: the operator keeps nothing outside the object that would have to
be taken back when it goes. Deleting it, or the operator first, never hangs. `HubbubApp` has one,
since the app has to go from the engine first; `release` takes it away where nobody else will.
"""
