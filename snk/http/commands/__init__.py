"""Commands that several systems have: signing keys of a service, and tokens that it accepts."""
