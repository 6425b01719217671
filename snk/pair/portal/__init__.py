"""The pair in a browser: both databases, what flows between them, what needs a person, and what that person may do."""
