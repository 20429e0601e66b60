"""The gateway: the REST door of Hubbub.

It answers HTTP requests with the operations of the account, authorization, presence and
messaging services. It owns no documents and decides nothing about rooms or messages; what is
decided here is who is calling, whether the request can be understood, and how an answer or a
refusal is written for REST clients.

* `http`      HTTP server that outlives slow and broken clients
* `rest`      endpoints, one module per family
* `service`   the process
"""
