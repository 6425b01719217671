"""``snk pipeline again``: pull and push frames once more."""

from typing import Annotated

import typer

from snk.core.words import counted
from snk.options import Config
from snk.pipeline.commands.frames import frame_of
from snk.pipeline.repeating import repeat
from snk.pipeline.settings import load_settings
from snk.pipeline.setup import space_of

Frames = Annotated[list[str], typer.Argument(metavar="FRAME...", help="Where it starts: 2026-11-25T00:00:00Z.")]
NewKeys = Annotated[
    bool,
    typer.Option(
        "--new-keys",
        help="Send other Idempotency-Keys than before. Only for a server that recognises the records themselves, as "
        "`snk serve` does; any other may store them twice.",
    ),
]


def again(frames: Frames, *, new_keys: NewKeys = False, config: Config = None) -> None:
    """Pull and push frames once more, as the source has them now, because the receiving end lacks records of them.

    What the receiving server has, it recognises. The new proof of a frame replaces its old ones.
    """
    space = space_of(load_settings(config))
    numbers = sorted({frame_of("FRAME", given, space.grid) for given in frames})
    repeat(space, numbers, new_keys=new_keys)
    print(f"{counted(len(numbers), 'frame')} will be pulled and pushed again")
