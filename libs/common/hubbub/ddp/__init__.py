"""The wire protocol of realtime clients, without I/O.

* `ejson`     JSON with dates and bytes, as DDP and REST carry them
* `limits`    how deep and how wide a document from a stranger may be
* `messages`  DDP messages: what arrives, and ready bytes for what leaves
* `websocket` RFC 6455 frames, server side
* `sockjs`    SockJS framing of DDP messages
"""
