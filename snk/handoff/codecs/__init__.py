"""How writes are written in a log: as hustdb does, or as JSON, one object a line."""
