"""What PostgreSQL's catalogs tell about the tables of a pair."""
