"""Everything that speaks to PostgreSQL, through SQLAlchemy."""
