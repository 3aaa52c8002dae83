"""Hold back what C++ libraries write to the terminal behind Python's back."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

LAST_BYTES = 4000


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Inside, the process's stderr goes to a temporary file; its end is shown only if an error other than ours comes out.

    For one-off work at start-up: the redirection holds for every thread.
    """
    sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:  # there is no stderr to protect
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except (ValueError, RuntimeError):  # the runtime's verdict on a model: its message says it all
            raise
        except BaseException:
            held.seek(0)
            os.write(saved, held.read()[-LAST_BYTES:])
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
