"""``snk batch token``: a JWT for a client of the platform."""

from snk.batch.scopes import OF_PLATFORM
from snk.batch.settings import load_auth
from snk.http.commands.token import token_command

token = token_command("batch", load_auth, lambda _: OF_PLATFORM)
