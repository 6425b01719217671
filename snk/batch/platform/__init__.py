"""The platform: any number of nodes on one database, which call consumers until their work is complete."""
