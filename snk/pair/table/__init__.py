"""Reading and writing the rows of one table, through SQLAlchemy."""
