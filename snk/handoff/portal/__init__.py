"""The hand-off in a browser: what waits for which backend, what became of the rest, and dead letters."""
