"""The gateway: the REST door of Hubbub.

It answers HTTP requests with the operations of the account, authorization, presence and
messaging services. It decides nothing about rooms or messages; what is decided here is who is
calling, whether the request can be understood, and how an answer or a refusal is written for REST
clients. It keeps files and pictures, which other services know by their ids and tags only.

* `http`      HTTP server that outlives slow and broken clients
* `rest`      endpoints, one module per family
* `files`     files and pictures between a request and the store
* `store`     their bytes and records, and what gateways count together
* `domain`    rules about files and pictures
* `service`   the process
"""
