"""Exit codes of the command; every exception is reported in one sentence.

| code | meaning |
|---|---|
| 0 | every generation is finished, or the time limit ended the job |
| 1 | generations failed, none was made, or an error ended the job after it had begun |
| 2 | the command was refused before the job began |
| 130 | interrupted (Ctrl-C) |
| 143 | terminated (SIGTERM, or SIGUSR1 from a scheduler) |

The messages of this package are printed as they are. For any other exception, the
sentence gives the last cause, and the whole traceback is written to a file that the
sentence names. If the environment variable DOODL_TRACEBACK is set, and not to 0, the
exception is raised instead.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import FrameSummary
from types import FrameType
from typing import NoReturn

from doodl.files import write
from doodl.remedies import place, remedy
from doodl.terminal import line, shown
from doodl.tracebacks import message_of, raised_here, user_frame
from doodl.version import __version__

FAILED, MISTAKE = 1, 2
INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM

LOG = "error.log"
LONGEST = 2000
"""Number of characters of the longest sentence."""


class NothingMade(Exception):
    """Generations failed, or none was made; the message gives the reason."""


@contextmanager
def exit_in_one_sentence() -> Iterator[None]:
    """Turn every exception of the block into one sentence and an exit code.

    Raises:
        SystemExit: the block raised an exception.
    """
    with _two_interrupts(), _threads_in_one_sentence():
        try:
            yield
        except KeyboardInterrupt:
            _exit_quietly(INTERRUPTED)
        except SystemExit as error:  # Lightning's SIGTERMException is one
            if type(error).__name__ == "SIGTERMException":
                _exit_quietly(TERMINATED)
            if isinstance(error.__context__, KeyboardInterrupt):  # Lightning exits by 1
                _exit_quietly(INTERRUPTED)
            frame = user_frame(error)
            if frame and not wants_traceback():
                fail(_ended_by(frame), code_of(error))
            raise
        except BaseException as error:  # also of a class of the user's own
            if wants_traceback():
                raise
            fail(sentence(error), code_of(error))


def wants_traceback() -> bool:
    """Return whether the user wants tracebacks in place of sentences."""
    return os.environ.get("DOODL_TRACEBACK", "").lower() not in ("", "0", "false")


def _ended_by(frame: FrameSummary) -> str:
    """Return the sentence for a file of the user that has ended the program."""
    return (
        f"{Path(frame.filename).name}, line {frame.lineno}, ends the program: "
        f"'{frame.line}'; remove it, or put it below `if __name__ == \"__main__\":`."
    )


def fail(message: str, code: int = MISTAKE) -> NoReturn:
    """Print one sentence on stderr and exit.

    Raises:
        SystemExit: always.
    """
    say(message)
    raise SystemExit(code)


def say(message: object) -> None:
    """Print one sentence on stderr; the middle of a very long one is left out."""
    text = line(message)
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 500]} [...] {text[-500:]}"
    print(f"doodl: {text}", file=sys.stderr)


def remember_folder(error: BaseException, folder: Path) -> None:
    """Attach the results folder of a job that has begun; its log is written there."""
    error.__dict__["results_folder"] = folder


def code_of(error: BaseException) -> int:
    """Return the exit code of an exception: 1 if the job had begun, otherwise 2."""
    begun = "results_folder" in error.__dict__
    return FAILED if begun or isinstance(error, NothingMade) else MISTAKE


def sentence(error: BaseException) -> str:
    """Return the sentence for an exception; write the traceback of a foreign one.

    Foreign exceptions are all except messages of this package and of Lightning's checks
    of its settings.
    """
    if is_sentence(error):
        return str(error)
    cause = last_cause(error)
    if is_sentence(cause):  # the parser wraps exceptions of constructors
        return str(cause)
    kept = _keep(error)
    advice = remedy(cause, error.__dict__.get("results_folder"))
    if advice:
        return f"{advice} The traceback is in '{kept}'."
    text = message_of(cause).strip().rstrip(".") or "without a message"
    if len(text) > 500:
        text = f"{text[:497]}..."
    name = type(cause).__name__
    return f"{name}{place(cause)}: {text}; the traceback is in '{kept}'."


def is_sentence(error: BaseException) -> bool:
    """Return whether the message of an exception was written for the user."""
    lightnings = type(error).__name__ == "MisconfigurationException"
    if isinstance(error, NothingMade) or lightnings:
        return True
    return type(error) is ValueError and raised_here(error)


def last_cause(error: BaseException) -> BaseException:
    """Return the exception from which this one and all others were raised."""
    seen = {id(error)}
    while True:
        context = None if error.__suppress_context__ else error.__context__
        cause = error.__cause__ or context
        if cause is None or id(cause) in seen:
            return error
        error = cause
        seen.add(id(error))


def _keep(error: BaseException) -> Path:
    """Write the traceback to the results folder, or else to a temporary file."""
    text = f"doodl {__version__}: {' '.join(map(shown, sys.argv))}\n\n"
    text += "".join(traceback.format_exception(error))
    content = text.encode("utf-8", "backslashreplace")
    folder = error.__dict__.get("results_folder")
    if folder is not None:
        try:
            write(folder / LOG, content)
        except OSError:
            pass  # the folder may be the cause of the error
        else:
            return folder / LOG
    try:
        number, name = tempfile.mkstemp(prefix="doodl-error-", suffix=".log")
        with os.fdopen(number, "wb") as file:
            file.write(content)
    except OSError:
        return Path(os.devnull)  # no file can be written
    return Path(name)


def _exit_quietly(code: int) -> NoReturn:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise SystemExit(code)


@contextmanager
def _threads_in_one_sentence() -> Iterator[None]:
    """Print one sentence for an exception that ends another thread, as a logger's."""
    before, said = threading.excepthook, set()

    def report(ended: threading.ExceptHookArgs) -> None:
        error = ended.exc_value
        if wants_traceback() or error is None or isinstance(error, SystemExit):
            before(ended)
        elif (kind := (type(error), message_of(error))) not in said:
            said.add(kind)
            say(sentence(error))

    threading.excepthook = report
    try:
        yield
    finally:
        threading.excepthook = before


@contextmanager
def _two_interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt at the first two Ctrl-C; exit at once at the third."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    count = 0

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        # A module is listed as soon as its import begins, and has `run` at its end.
        if count > 2 or not hasattr(sys.modules.get("doodl.command"), "run"):
            os._exit(INTERRUPTED)  # nothing to save while importing
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, before)
