"""The streamer: clients on WebSockets, speaking DDP.

It keeps connections and sessions, forwards methods to the services that know, and gives every
socket the events that it may have. Owns no collection: all state ends with the process. Follows
the event log, listens to `presence.wanted`, and offers no action.
"""
