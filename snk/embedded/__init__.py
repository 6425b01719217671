"""Two PostgreSQL servers and a Valkey server, installed from wheels, for snk up and the tests."""
