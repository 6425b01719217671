"""Minute frames pulled from one server, pushed record by record to another, each once, and proven."""
