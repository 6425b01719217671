"""SNK's own schema, kept in both databases."""
