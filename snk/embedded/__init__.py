"""Two PostgreSQL servers and a Valkey out of wheels, for snk up and the tests."""
