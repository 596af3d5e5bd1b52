"""One exchange of a client, whichever door it came in through: calls, opening and retry, header rules, refusals."""
