"""Side-by-side measurements: SNK against PostgreSQL's own replication and others, on the same servers and workload."""
