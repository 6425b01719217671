"""``snk serve token``: a JWT for a client of the service."""

from snk.http.commands.token import token_command
from snk.serve.settings import load_keys, load_scopes

token = token_command("serve", load_keys, load_scopes)
