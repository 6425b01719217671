"""The set of uuids SNK wrote, by which it recognises its own rows when they come back."""
