"""Queries PostgreSQL's catalogs about the tables of a pair."""
