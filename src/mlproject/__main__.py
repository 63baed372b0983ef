"""The command line: ``mlproject``, or ``python -m mlproject``."""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # while modules are imported it ends this without a traceback

from mlproject.cli import main  # noqa: E402

if __name__ == "__main__":
    main()
