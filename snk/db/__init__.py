"""Access to PostgreSQL, through SQLAlchemy."""
