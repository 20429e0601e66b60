"""The front door of a local Hubbub: one address for REST, WebSocket and the web client.

It does what an ingress does in a cluster, no more: it picks a backend by path, keeps waiting
whom it cannot connect yet, and passes bytes. It is a process of its own, so that neither the
logs nor the restarts of the others slow a byte, and so that its cost is seen apart.
"""
