"""The platform's API over HTTP: the same functions as those of the commands, with scopes instead of an account."""
