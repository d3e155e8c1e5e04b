"""Checks within seconds whether a download can work."""

import threading
import urllib.error
import urllib.request

_SOCKET_SECONDS = 4.0
_TOTAL_SECONDS = 7.0  # a name look-up has no time limit


def connection_error(url: str) -> str | None:
    """Returns why `url` cannot be fetched, or None if it answers; takes at most about seven seconds.

    TensorFlow Datasets retries for minutes before it fails. The request runs in a thread, which is abandoned after the
    time limit.
    """
    outcome: list[str | None] = []

    def request() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_SOCKET_SECONDS):
                outcome.append(None)
        except urllib.error.HTTPError as error:
            # A server that rejects HEAD can be reached; 404 and 410 mean that the file does not exist.
            outcome.append(f"HTTP {error.code} {error.reason}" if error.code in (404, 410) else None)
            error.close()
        except (OSError, ValueError) as error:
            outcome.append(str(getattr(error, "reason", error)) or type(error).__name__)

    thread = threading.Thread(target=request, daemon=True)
    thread.start()
    thread.join(_TOTAL_SECONDS)
    return outcome[0] if outcome else f"no answer within {_TOTAL_SECONDS:.0f} s"
