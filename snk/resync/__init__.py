"""S0: counters in Redis checked against rows in the database, explained, and repaired by adding only."""
