"""How many connections one daemon opens to each server, whatever the number of tables."""

CONNECTIONS = 8
LEAST_CONNECTIONS = 5
