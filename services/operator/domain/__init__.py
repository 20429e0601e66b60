"""The rules of the operator. Pure: no clock, no cluster, no bus.

* `members`     what is known of a pod and of the streamer in it
* `costs`       which pod should go first, and when it is worth telling Kubernetes
* `scaling`     the next step of a pool towards its replicas
* `balance`     how uneven a pool is, and how many connections may be moved
* `conditions`  the conditions of a status, with the moments at which they changed
"""
