"""The pair: tables in two PostgreSQL databases, kept equal in both directions, in real time."""
