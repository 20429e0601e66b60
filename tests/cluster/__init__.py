"""Tests on a real Kubernetes: chart, operator, autoscaler, upgrades and kills under load.

    export KUBECONFIG=…          # any cluster that can get the images below
    make cluster-test

They make one namespace (`hubbub-test-…`), install one release into it, and remove both; nothing
else is touched, but for the definitions of `StreamerPool` and `HubbubApp` when the cluster has
none. `kubectl` and `helm` have to be on the PATH. About twelve minutes on two cores. What can be
said from outside:

    HUBBUB_CLUSTER_IMAGE           what is installed (hubbub:dev)
    HUBBUB_CLUSTER_NEXT_IMAGE      what is upgraded to (hubbub:next); a `docker tag` of the same
                                   will do
    HUBBUB_CLUSTER_PROMETHEUS      one that scrapes all pods' ports `ops` and `metrics`; else panels
                                   are not asked
    HUBBUB_CLUSTER_EXPORTER_IMAGE  a natsio/prometheus-nats-exporter, to run beside NATS; else the
                                   panels of NATS servers are named as not asked
    HUBBUB_CLUSTER_REACH=node      when addresses of Services cannot be reached from here
    HUBBUB_CLUSTER_KEEP=1          leaves the namespace, to look into it
    HUBBUB_CLUSTER_REPORT          where the figures go as JSON (build/cluster-test.json)

The autoscaler needs `custom.metrics.k8s.io`, and kill -9 a node on this machine; without them
those tests are skipped.

* `target`       what is said from outside
* `kubernetes`   kubectl, helm, and looking through the API
* `release`      the installed chart; `pools` its operator; `declared` an app as an object; `drains`
                 what its streamers said last
* `load`         people who talk and read; `verdict` what became of all they said
* `sitters`      people who only sit there; `door` one address for both Services
* `expressions`  of dashboards and alerts
* `report`       the tables at the end
"""
