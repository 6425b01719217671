"""Who may use the service: JWTs of issuers that it trusts, bearer tokens, and users with passwords."""
