"""REST: endpoints under `/api/`, one module per family, and what they share.

Shared: `requests` (what was asked), `answers` (what is said), `router` (which endpoint),
`authentication` (who asks), `paging` (which part of a list), `selectors` (which room or user),
`rate_limit`, `validation`. `application` puts them together; `endpoints` lists the families.
"""
