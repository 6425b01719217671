"""`snk resync demo`, as a stranger runs it first."""

import subprocess
import sys


def test_the_demo_repairs_every_kind_of_damage() -> None:
    done = subprocess.run([sys.executable, "-m", "snk", "resync", "demo"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("second check:") == 2
    assert done.stdout.count("  equal\n") == 2
    for told in ("sync? [Y/N/D]: ", "sync cnt? [Y/N/D]: ", "sync mx? [Y/N/D]: ", " : absent -> "):
        assert told in done.stdout
