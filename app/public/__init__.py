"""One exchange of a client, from either door: HTTP calls, WebSockets, opening and retry, header rules, refusals."""
