"""Whether a download can work, found out in seconds."""

import threading
import urllib.error
import urllib.request

_SOCKET_SECONDS = 4.0
_PATIENCE_SECONDS = 7.0  # looking up a name has no time limit of its own


def unreachable(url: str) -> str | None:
    """Why nothing can be fetched from `url`, or None if it answers; within about seven seconds.

    TensorFlow Datasets tries for minutes before it says so. The question is put from a thread that is left behind when
    it does not come back in time.
    """
    answer: list[str | None] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_SOCKET_SECONDS):
                answer.append(None)
        except urllib.error.HTTPError as error:
            # A server that dislikes HEAD is a server that can be reached; a file that is gone is gone.
            answer.append(f"HTTP {error.code} {error.reason}" if error.code in (404, 410) else None)
            error.close()
        except (OSError, ValueError) as error:
            answer.append(str(getattr(error, "reason", error)) or type(error).__name__)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_PATIENCE_SECONDS)
    return answer[0] if answer else f"no answer within {_PATIENCE_SECONDS:.0f} s"
