"""``snk batch consumer token``: a JWT for a client of the consumer."""

from snk.batch.consumer.settings import load_keys
from snk.batch.scopes import OF_CONSUMER
from snk.http.commands.token import token_command

token = token_command("consumer", load_keys, lambda _: OF_CONSUMER, "snk batch consumer")
