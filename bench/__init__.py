"""Side-by-side measurements: SNK against the database's own replication and others, on the same servers and work."""
